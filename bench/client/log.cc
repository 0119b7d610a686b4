// SPDX-License-Identifier: Apache-2.0
// How fast what a container writes reaches its log file: /spew LINES writes lines of 100 bytes, in pieces of 64 KiB, and "END"
// last. Nothing is asked of the runtime meanwhile: the end is looked for in the file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/strings.h"
#include "commands.h"
#include "os/fd.h"

namespace berth::bench {

namespace {

constexpr std::string_view kEnd = " END\n";
constexpr double kLongest = 300'000;  // ms

// The container's last line is the file's.
bool HasEnd(int file, off_t size) {
  std::array<char, kEnd.size()> tail{};
  return size >= static_cast<off_t>(tail.size()) &&
         ::pread(file, tail.data(), tail.size(), size - static_cast<off_t>(tail.size())) ==
             static_cast<ssize_t>(tail.size()) &&
         std::string_view(tail.data(), tail.size()) == kEnd;
}

Result<> AwaitEnd(int file, Clock::time_point began) {
  off_t seen = -1;
  while (MillisecondsSince(began) < kLongest) {
    struct stat st{};
    if (::fstat(file, &st) < 0) return ErrnoError("log file");
    if (st.st_size != seen && HasEnd(file, st.st_size)) return Ok();
    seen = st.st_size;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return Error(Code::kDeadlineExceeded, "the log has no end");
}

// Of "TIME STREAM P|F CONTENT" those with F: conmon breaks a line where its buffer ends, and marks the pieces before the last P.
Result<int64_t> CountLines(int file) {
  std::string buffer(1U << 20, '\0');
  int64_t lines = 0;
  int field = 0;
  bool full = false;
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(file, buffer.data(), buffer.size(), at);
    if (n < 0) return ErrnoError("read log file");
    if (n == 0) return lines;
    for (const char c : std::string_view(buffer.data(), static_cast<size_t>(n))) {
      if (c == '\n') {
        lines += full;
        field = 0;
        full = false;
      } else if (c == ' ') {
        ++field;
      } else if (field == 2) {
        full = c == 'F';
      }
    }
    at += n;
  }
}

}  // namespace

Result<> Log(cli::Client& client, const Arguments& arguments, Samples& samples) {
  PodOptions options = TRY(Options(arguments));
  const int lines = TRY(Count(arguments, 5)) * 10'000;  // 1 MB each
  options.command = {"/spew", StrCat(lines)};
  Samples ignored;
  Pods pods(client, options, ignored);
  const Clock::time_point began = Clock::now();
  const Made made = TRY(pods.Start(arguments[4]));
  const std::string path = StrCat(options.log_directory, "/", arguments[4], "/main.log");
  os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return ErrnoError(path);
  TRY(AwaitEnd(file.get(), began));
  samples.Add("log", MillisecondsSince(pods.started_at()));
  const int64_t found = TRY(CountLines(file.get()));
  TRY(pods.Remove(made));
  ::unlink(path.c_str());
  if (found != int64_t{lines} + 1)
    return Error(Code::kDataLoss, StrCat(found, " lines of ", lines, " and END are in the log"));
  return Ok();
}

}  // namespace berth::bench

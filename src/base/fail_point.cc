// SPDX-License-Identifier: Apache-2.0
#include "base/fail_point.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"

// Made by the linker (ld(1), "orphan sections"); weak, since a program may have no fail point.
extern "C" {
extern const char* const __start_berth_fail_points[] __attribute__((weak));
extern const char* const __stop_berth_fail_points[] __attribute__((weak));
}

namespace berth {

namespace {

constexpr size_t kMaxAction = 64;
constexpr int64_t kMaxDelayMs = 3'600'000;

struct Action {
  std::string text;
  int64_t count = 1;  // 1: now
};

// Removes the file when its time has come. Nothing: not armed, or another thread or process was quicker.
bool Take(int dir, const char* name, Action* action) {
  const int fd = ::openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  std::string text(kMaxAction, '\0');
  const ssize_t n = ::read(fd, text.data(), text.size());
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  action->text = TrimSpace(text);
  const size_t at = action->text.rfind('@');
  if (at != std::string::npos) {
    Result<int64_t> count = ParseInt(action->text.substr(at + 1), 1, 1'000'000, "count");
    if (count) {
      action->count = *count;
      action->text.resize(at);
    }
  }
  if (action->count > 1) {
    const std::string less = StrCat(action->text, "@", action->count - 1);
    (void)!::ftruncate(fd, 0);
    (void)!::pwrite(fd, less.data(), less.size(), 0);
  }
  ::close(fd);
  return action->count == 1 && ::unlinkat(dir, name, 0) == 0;
}

void Note(int dir, const char* name) {
  const int fd =
      ::openat(dir, "reached", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  const std::string line = StrCat(::getpid(), " ", name, "\n");
  (void)!::write(fd, line.data(), line.size());
  ::close(fd);
}

Result<> Delay(std::string_view text) {
  const int64_t ms = TRY(ParseInt(text, 0, kMaxDelayMs, "delay"), "fail point");
  timespec left{.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  return Ok();
}

}  // namespace

namespace internal {

std::atomic<int> fail_points_dir{-1};

Result<> ReachArmedFailPoint(const char* name) {
  const int dir = fail_points_dir.load(std::memory_order_relaxed);
  Note(dir, name);
  Action action;
  if (!Take(dir, name, &action)) return Ok();
  const std::string_view text = action.text;
  if (text == "kill") {
    (void)::raise(SIGKILL);
    for (;;) ::pause();
  }
  if (text == "error") return Error(Code::kInternal, StrCat("fail point ", name));
  if (text.starts_with("errno ")) {
    const int64_t number = TRY(ParseInt(text.substr(6), 1, 4095, "errno"), "fail point");
    return ErrnoError(StrCat("fail point ", name), static_cast<int>(number));
  }
  if (text.starts_with("delay ")) return Delay(text.substr(6));
  return Error(Code::kInvalidArgument,
               StrCat("fail point ", name, ": unknown action ", Quote(text)));
}

}  // namespace internal

Result<> ArmFailPoints(const std::string& directory) {
  const std::string what = StrCat("fail points: directory ", Quote(directory));
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return ErrnoError(what);
  struct stat st{};
  if (::fstat(fd, &st) != 0 || st.st_uid != ::geteuid() || (st.st_mode & 0022) != 0) {
    ::close(fd);
    return Error(Code::kFailedPrecondition, StrCat(what, ": others may write to it"));
  }
  const int before = internal::fail_points_dir.exchange(fd);
  if (before >= 0) ::close(before);
  return Ok();
}

Result<> ArmFailPointsFromEnvironment() {
  const char* directory = std::getenv(kFailPointsVariable);
  if (directory == nullptr || *directory == '\0') return Ok();
  return ArmFailPoints(directory);
}

std::vector<std::string> FailPointNames() {
  std::vector<std::string> names;
  if (__start_berth_fail_points == nullptr) return names;
  for (const char* const* name = __start_berth_fail_points; name != __stop_berth_fail_points;
       ++name)
    names.emplace_back(*name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace berth

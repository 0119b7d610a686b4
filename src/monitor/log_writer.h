// SPDX-License-Identifier: Apache-2.0
// CRI logs: "<RFC 3339 time> <stdout|stderr> <F|P> <text>\n" (cri-api constants.go, kubelet's log
// reader). A LogFile belongs to a container, a LogStream to one of its streams; monitor thread. No
// allocation after Open.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "monitor/buffers.h"
#include "os/dir_fd.h"
#include "os/fd.h"

namespace berth::monitor {

// The log file, below a directory that is held open: whatever the container does to the path, no
// other file is written.
class LogFile {
 public:
  LogFile() = default;  // discards
  explicit LogFile(os::Fd file) : file_(std::move(file)) {}
  // Opens or makes `rel` (0640) below `dir`, making missing directories (0755). FailedPrecondition
  // when it is no regular file, or a file that has a second name.
  static Result<LogFile> Open(os::DirFd dir, std::string rel);
  // The same name anew (after a rotation). On an error no file was made and the old one stays in
  // use.
  Result<> Reopen();

  // Whole records. Never fails: what the disk does not take is dropped and counted, and a record
  // that was cut is closed by a newline before the next one.
  void Write(const char* records, size_t size);
  uint64_t dropped_bytes() const { return dropped_; }

 private:
  os::DirFd dir_;
  std::string rel_;
  os::Fd file_;
  bool torn_ = false;
  uint64_t dropped_ = 0;
};

// Turns what was read from a pipe or terminal into records: one time per Feed, as few writes as the out
// buffer allows. A line ("\n" or "\r\n") longer than kMaxLine bytes becomes P records and a last F; an
// unterminated rest is kept until it is ended, or written as P by End.
class LogStream {
 public:
  static constexpr size_t kMaxLine = 16U << 10;

  // `name` is "stdout" or "stderr". Without memory for the rest of a line, lines are cut where a
  // read ends.
  LogStream(LogFile* file, const char* name) : file_(file), name_(name), carry_(kMaxLine + 1) {}

  void Feed(const char* data, size_t size);
  void End();
  // Nothing is pending: gives the pages of the last long line back.
  void Idle() const;

 private:
  void Begin();
  void AddPiece(const char* data, size_t size, bool complete);
  void Emit(char tag, const char* data, size_t size);
  void Flush();

  LogFile* file_;
  const char* name_;
  Pages carry_;
  size_t carried_ = 0;
  size_t filled_ = 0;  // of the out buffer; 0 between calls
  char prefix_[48] = {};
  size_t prefix_size_ = 0;
};

// "2024-05-06T07:08:09.000000010Z": 30 characters into `out`; the year is within 1970..9999.
void FormatTime(int64_t seconds, int64_t nanos, char* out);

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
// The one owner of a file descriptor: move-only, closes in its destructor and when something else
// is moved into it. Every fd of Berth is close-on-exec from birth. Owned by one object; moving
// between threads is fine.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/result.h"

namespace berth::os {

class Fd {
 public:
  Fd() = default;
  // Takes ownership of `fd`, which the caller must not use again; -1 is the empty Fd.
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1) {
    // Linux closes the fd even when close(2) reports an error; retrying would close somebody
    // else's.
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  // A second, independent close-on-exec descriptor of the same open file (F_DUPFD_CLOEXEC).
  Result<Fd> Duplicate() const;

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
};
// pipe2(2) with O_CLOEXEC and `flags` (O_NONBLOCK).
Result<Pipe> MakePipe(int flags = 0);

// An anonymous file in memory with the bytes in it, at offset 0 (memfd_create(2)); sealed against
// change if `seal`.
Result<Fd> MakeMemFile(const char* name, std::string_view bytes, bool seal = true);

Result<> SetNonBlocking(int fd, bool on);

}  // namespace berth::os

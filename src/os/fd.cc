// SPDX-License-Identifier: Apache-2.0
#include "os/fd.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <string_view>

#include "os/dir_fd.h"

namespace berth::os {

Result<Fd> Fd::Duplicate() const {
  // From 3 up: a duplicate must not become somebody's stdin because 0 happened to be free.
  int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return ErrnoError("duplicate fd");
  return Fd(copy);
}

Result<Pipe> MakePipe(int flags) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | flags) < 0) return ErrnoError("make pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> MakeMemFile(const char* name, std::string_view bytes, bool seal) {
  Fd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return ErrnoError("make memory file");
  TRY(WriteAll(file.get(), bytes), "fill memory file");
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return ErrnoError("rewind memory file");
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (seal && ::fcntl(file.get(), F_ADD_SEALS, kSeals) < 0) return ErrnoError("seal memory file");
  return file;
}

Result<> SetNonBlocking(int fd, bool on) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return ErrnoError("get fd flags");
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) < 0) return ErrnoError("set fd flags");
  return Ok();
}

}  // namespace berth::os

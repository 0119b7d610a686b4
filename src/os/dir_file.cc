// SPDX-License-Identifier: Apache-2.0
// Whole files below a DirFd: read with a limit, written by rename. A write that a crash interrupts
// leaves
// ".berth-tmp-<16 hex>" beside the file, never half a file.
#include <fcntl.h>

#include <array>
#include <cerrno>

#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/dir_internal.h"

namespace berth::os {

Result<std::string> ReadAll(int fd, size_t limit) {
  std::string bytes;
  std::array<char, 16384> buffer;
  for (;;) {
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("read");
    }
    if (n == 0) return bytes;
    const auto count = static_cast<size_t>(n);
    if (count > limit - bytes.size())
      return Error(Code::kResourceExhausted, StrCat("larger than ", limit, " bytes"));
    bytes.append(buffer.data(), count);
  }
}

Result<> WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("write");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Ok();
}

Result<std::string> DirFd::ReadFile(std::string_view rel, size_t limit, Resolve resolve) const {
  // O_PATH touches neither a FIFO's writer nor a device's driver. Inside a foreign root a last
  // symlink is followed (as seen from inside); in our own tree it is taken for what it is, and
  // refused.
  const int flags = O_PATH | (resolve == Resolve::kOwn ? O_NOFOLLOW : 0);
  Fd found = TRY(Open(rel, flags, 0, resolve));
  struct stat st{};
  if (::fstat(found.get(), &st) < 0) return ErrnoError(Quote(rel));
  if (!S_ISREG(st.st_mode))
    return Error(Code::kFailedPrecondition, StrCat(Quote(rel), ": not a regular file"));
  const std::string path = StrCat("/proc/self/fd/", found.get());
  int fd;
  do fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError(Quote(rel));
  Fd file(fd);
  return TRY(ReadAll(file.get(), limit), Quote(rel));
}

namespace {

Result<> FillTemporary(int dir, const std::string& name, std::string_view bytes, mode_t mode,
                       Durability durability) {
  Fd file(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return ErrnoError("make temporary file");
  TRY(WriteAll(file.get(), bytes));
  if (::fchmod(file.get(), mode) < 0) return ErrnoError("set mode");
  if (durability == Durability::kDurable && ::fsync(file.get()) < 0) return ErrnoError("sync");
  return Ok();
}

}  // namespace

Result<> DirFd::WriteFile(std::string_view rel, std::string_view bytes, mode_t mode,
                          Durability durability) const {
  internal::Place place = TRY(internal::FindPlace(fd_.get(), rel));
  const std::string temporary = StrCat(".berth-tmp-", TRY(internal::RandomName()));
  auto write = [&]() -> Result<> {
    TRY(FillTemporary(place.dir, temporary, bytes, mode, durability));
    if (::renameat(place.dir, temporary.c_str(), place.dir, place.name.c_str()) < 0)
      return ErrnoError("rename temporary file");
    return Ok();
  };
  Result<> written = write();
  if (!written) {
    ::unlinkat(place.dir, temporary.c_str(), 0);
    return std::move(written.error()).Wrap(StrCat("write ", Quote(rel)));
  }
  if (durability == Durability::kDurable && ::fsync(place.dir) < 0)
    return ErrnoError(StrCat("write ", Quote(rel), ": sync directory"));
  return Ok();
}

}  // namespace berth::os

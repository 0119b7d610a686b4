// SPDX-License-Identifier: Apache-2.0
#include "os/sealed_program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/strings.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3
#endif

namespace berth::os {

namespace {

constexpr uint64_t kLargest = 64 << 20;
// What crun and runc take for a copy that is safe already, neither more nor less.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

FileIdentity IdentityOf(const struct stat& st) {
  return {st.st_dev, st.st_ino, static_cast<uint64_t>(st.st_size),
          st.st_ctim.tv_sec * 1'000'000'000 + st.st_ctim.tv_nsec};
}

Result<Fd> MakeExecutableMemFile() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // Without the flag, the sysctl vm.memfd_noexec decides; older kernels do not know it.
  int fd = ::memfd_create("program", kFlags | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("program", kFlags);
  if (fd < 0) return ErrnoError("make memory file");
  return Fd(fd);
}

Result<> CheckProgram(int fd, const struct stat& st) {
  if (!S_ISREG(st.st_mode)) return Error(Code::kInvalidArgument, "not a regular file");
  // The copy could be: an operator's chmod and a noexec mount must hold for it too.
  if (::faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
    return ErrnoError("may not be executed");
  if (static_cast<uint64_t>(st.st_size) > kLargest)
    return Error(Code::kInvalidArgument, StrCat("larger than ", kLargest, " bytes"));
  char magic[4] = {};
  if (::pread(fd, magic, sizeof magic, 0) != sizeof magic || std::memcmp(magic,
                                                                         "\x7f"
                                                                         "ELF",
                                                                         4) != 0)
    return Error(Code::kInvalidArgument, "not an ELF program");
  return Ok();
}

Result<> Copy(int from, int to, uint64_t size) {
  off_t at = 0;
  while (static_cast<uint64_t>(at) < size) {
    const ssize_t n = ::sendfile(to, from, &at, size - static_cast<uint64_t>(at));
    if (n < 0 && errno != EINTR) return ErrnoError("copy");
    if (n == 0) return Error(Code::kAborted, "was changed while it was copied");
  }
  return Ok();
}

}  // namespace

Result<FileIdentity> IdentityOf(const char* path) {
  struct stat st{};
  if (::stat(path, &st) < 0) return ErrnoError(path);
  return IdentityOf(st);
}

Result<SealedProgram> SealProgram(const char* path) {
  Fd source(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!source) return ErrnoError(path);
  struct stat before{}, after{};
  if (::fstat(source.get(), &before) < 0) return ErrnoError(path);
  TRY(CheckProgram(source.get(), before), path);
  Fd file = TRY(MakeExecutableMemFile(), path);
  TRY(Copy(source.get(), file.get(), static_cast<uint64_t>(before.st_size)), path);
  if (::fstat(source.get(), &after) < 0) return ErrnoError(path);
  if (!(IdentityOf(after) == IdentityOf(before)))
    return Error(Code::kAborted, StrCat(path, ": was changed while it was copied"));
  if (::fcntl(file.get(), F_ADD_SEALS, kSeals) < 0) return ErrnoError("seal memory file");
  return SealedProgram{std::move(file), IdentityOf(before)};
}

}  // namespace berth::os

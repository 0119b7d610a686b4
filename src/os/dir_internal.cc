// SPDX-License-Identifier: Apache-2.0
#include "os/dir_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/strings.h"

namespace berth::os::internal {

Result<Fd> OpenAt2(int dir, std::string_view rel, int flags, mode_t mode, uint64_t resolve) {
  if (rel.find('\0') != std::string_view::npos)
    return Error(Code::kInvalidArgument, StrCat(Quote(rel), ": name with a NUL byte"));
  const std::string name(rel);
  struct open_how how{};
  how.flags = static_cast<uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  how.mode = creates ? mode & 07777U : 0;  // the kernel refuses a mode that is not used
  how.resolve = resolve;
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    long fd = ::syscall(SYS_openat2, dir, name.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    if (errno != EINTR && errno != EAGAIN) break;
  }
  const int err = errno;
  Error error = ErrnoError(Quote(rel), err);
  if (err == EXDEV || err == ELOOP) return std::move(error).WithCode(Code::kFailedPrecondition);
  return error;
}

Result<Place> FindPlace(int dir, std::string_view rel) {
  const size_t slash = rel.rfind('/');
  std::string_view last = slash == std::string_view::npos ? rel : rel.substr(slash + 1);
  if (last.empty() || last == "." || last == ".." || rel.find('\0') != std::string_view::npos)
    return Error(Code::kInvalidArgument, StrCat(Quote(rel), ": does not end in a plain name"));
  Place place;
  place.name = last;
  if (slash == std::string_view::npos) {
    place.dir = dir;
    return place;
  }
  // With "/name" the parent is "/", which RESOLVE_BENEATH refuses: as it must.
  std::string_view parent = slash == 0 ? rel.substr(0, 1) : rel.substr(0, slash);
  place.holder =
      TRY(OpenAt2(dir, parent, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  place.dir = place.holder.get();
  return place;
}

Result<> ForEachEntry(int dir, const std::function<bool(std::string_view, unsigned char)>& visit) {
  if (::lseek(dir, 0, SEEK_SET) < 0) return ErrnoError("rewind directory");
  std::vector<char> buffer(32768);
  for (;;) {
    ssize_t n = ::getdents64(dir, buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("read directory");
    }
    if (n == 0) return Ok();
    for (size_t at = 0; at < static_cast<size_t>(n);) {
      // Records are laid out and aligned by the kernel for exactly this cast.
      auto* entry = reinterpret_cast<const struct dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      std::string_view name(entry->d_name);
      if (name == "." || name == "..") continue;
      if (!visit(name, entry->d_type)) return Ok();
    }
  }
}

Result<std::string> RandomName() {
  std::array<char, 8> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return ErrnoError("get random bytes");
  return HexEncode(std::string_view(bytes.data(), bytes.size()));
}

}  // namespace berth::os::internal

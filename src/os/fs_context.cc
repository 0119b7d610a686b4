// SPDX-License-Identifier: Apache-2.0
#include "os/fs_context.h"

#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/strings.h"

namespace berth::os::internal {

Result<FsContext> FsContext::Open(const char* type) {
  Fd fd(::fsopen(type, FSOPEN_CLOEXEC));
  if (!fd) return ErrnoError(StrCat("open file system ", type));
  return FsContext(type, std::move(fd));
}

// Each read(2) of the fd gives one message such as "e overlay: ..."; ENODATA after the last.
Error FsContext::Explain(std::string_view what, int err) const {
  std::string text = StrCat(type_, ": ", what);
  std::array<char, 512> line;
  constexpr int kLines = 16;
  for (int i = 0; i < kLines; ++i) {
    ssize_t n = ::read(fd_.get(), line.data(), line.size());
    if (n <= 0) break;
    const std::string_view words = TrimSpace({line.data(), static_cast<size_t>(n)});
    text += StrCat(" (kernel: ", words, ")");
  }
  return ErrnoError(text, err);
}

Result<> FsContext::SetString(const char* key, const std::string& value) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return Ok();
  return Explain(StrCat("set ", key, " to ", Quote(value)), errno);
}

Result<> FsContext::SetFlag(const char* key) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) == 0) return Ok();
  return Explain(StrCat("set ", key), errno);
}

Result<> FsContext::SetFd(const char* key, int fd) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FD, key, nullptr, fd) == 0) return Ok();
  return Explain(StrCat("set ", key, " to fd ", fd), errno);
}

Result<> FsContext::CreateFs() {
  if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) return Ok();
  return Explain("create", errno);
}

Result<Mount> FsContext::Finish(MountAttributes attributes) {
  Fd mount(::fsmount(fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount) return Explain("mount", errno);
  return Mount(std::move(mount));
}

}  // namespace berth::os::internal

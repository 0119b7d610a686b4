// SPDX-License-Identifier: Apache-2.0
// Overlay and tmpfs as detached mounts (Documentation/filesystems/overlayfs.rst of the kernel).
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/strings.h"
#include "os/fs_context.h"
#include "os/mount_internal.h"
#include "os/thread_internal.h"

namespace berth::os {

namespace {

using internal::FsContext;
using internal::OverlayStyle;

Result<> CheckOptions(const OverlayOptions& options) {
  if (options.lower.empty()) return Error(Code::kInvalidArgument, "overlay: no lower directory");
  if (!options.upper.valid() && options.lower.size() < 2)
    return Error(Code::kInvalidArgument,
                 "overlay: without an upper directory it takes two lower ones");
  if (options.upper.valid() != options.work.valid())
    return Error(Code::kInvalidArgument, "overlay: upper and work go together");
  return Ok();
}

Result<> SetLower(OverlayStyle style, const OverlayOptions& options, FsContext& fs) {
  if (style == OverlayStyle::kOption) {
    // Numbers only, so there is nothing to escape. fsconfig(2) takes 255 characters: some 60
    // layers.
    std::string all;
    for (const DirFd& lower : options.lower) all += StrCat(all.empty() ? "" : ":", lower.get());
    if (all.size() > 255)
      return Error(Code::kResourceExhausted,
                   StrCat("overlay: ", options.lower.size(),
                          " lower directories are more than this kernel takes"));
    return fs.SetString("lowerdir", all);
  }
  for (const DirFd& lower : options.lower) {
    if (style == OverlayStyle::kFd)
      TRY(fs.SetFd("lowerdir+", lower.get()));
    else
      TRY(fs.SetString("lowerdir+", StrCat(lower.get())));
  }
  return Ok();
}

Result<> SetUpper(OverlayStyle style, const OverlayOptions& options, FsContext& fs) {
  if (!options.upper.valid()) return Ok();
  if (style == OverlayStyle::kFd) {
    TRY(fs.SetFd("upperdir", options.upper.get()));
    TRY(fs.SetFd("workdir", options.work.get()));
  } else {
    TRY(fs.SetString("upperdir", StrCat(options.upper.get())));
    TRY(fs.SetString("workdir", StrCat(options.work.get())));
  }
  if (options.volatile_upper) TRY(fs.SetFlag("volatile"));
  return Ok();
}

Result<Mount> Assemble(OverlayStyle style, const OverlayOptions& options,
                       MountAttributes attributes, bool& unknown_style) {
  FsContext fs = TRY(FsContext::Open("overlay"));
  TRY(fs.SetString("source", options.source));
  Result<> lower = SetLower(style, options, fs);
  if (!lower) {
    // Before 6.5 overlay takes no descriptor at all: EOPNOTSUPP.
    const int error = lower.error().sys_errno();
    unknown_style = style != OverlayStyle::kOption && (error == EINVAL || error == EOPNOTSUPP);
    return std::move(lower.error());
  }
  TRY(SetUpper(style, options, fs));
  Result<> created = fs.CreateFs();
  if (!created) {
    // Before 6.5 overlay hears of a string option only now, and may not know "lowerdir+".
    unknown_style = style == OverlayStyle::kPath && created.error().sys_errno() == EINVAL;
    return std::move(created.error());
  }
  return fs.Finish(attributes);
}

}  // namespace

Result<Mount> internal::OverlayBy(OverlayStyle style, const OverlayOptions& options,
                                  MountAttributes attributes, bool& unknown_style) {
  unknown_style = false;
  TRY(CheckOptions(options));
  if (style == OverlayStyle::kFd) return Assemble(style, options, attributes, unknown_style);
  // By path, a directory is its number as seen from /proc/self/fd: short, and no name that could be
  // replaced or that needs escaping. That takes a working directory of our own.
  std::optional<Mount> mount;
  TRY(RunOnThread([&]() -> Result<> {
    if (::unshare(CLONE_FS) < 0) return ErrnoError("overlay: unshare working directory");
    if (::chdir("/proc/self/fd") < 0) return ErrnoError("overlay: /proc/self/fd");
    mount.emplace(TRY(Assemble(style, options, attributes, unknown_style)));
    return Ok();
  }));
  return std::move(*mount);
}

Result<Mount> Mount::Overlay(const OverlayOptions& options, MountAttributes attributes) {
  bool unknown = false;
  Result<Mount> by_fd = internal::OverlayBy(OverlayStyle::kFd, options, attributes, unknown);
  if (by_fd || !unknown) return by_fd;
  // Such a kernel knows no "lowerdir+" either, and would say so in its log each time.
  if (by_fd.error().sys_errno() == EOPNOTSUPP)
    return internal::OverlayBy(OverlayStyle::kOption, options, attributes, unknown);
  Result<Mount> by_path = internal::OverlayBy(OverlayStyle::kPath, options, attributes, unknown);
  if (by_path || !unknown) return by_path;
  return internal::OverlayBy(OverlayStyle::kOption, options, attributes, unknown);
}

Result<Mount> Mount::Tmpfs(std::string_view size, std::string_view mode,
                           MountAttributes attributes) {
  FsContext fs = TRY(FsContext::Open("tmpfs"));
  TRY(fs.SetString("source", "tmpfs"));
  if (!size.empty()) TRY(fs.SetString("size", std::string(size)));
  if (!mode.empty()) TRY(fs.SetString("mode", std::string(mode)));
  TRY(fs.CreateFs());
  return fs.Finish(attributes);
}

}  // namespace berth::os

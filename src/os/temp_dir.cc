// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/dir_fd.h"
#include "os/dir_internal.h"

namespace berth::os {

TempDir::TempDir(DirFd parent, std::string name, std::string path, DirFd dir)
    : parent_(std::move(parent)),
      name_(std::move(name)),
      path_(std::move(path)),
      dir_(std::move(dir)) {}

TempDir::TempDir(TempDir&&) noexcept = default;

Result<TempDir> TempDir::Make() {
  const char* configured = ::getenv("TMPDIR");
  const std::string base =
      configured != nullptr && configured[0] == '/' ? std::string(configured) : "/tmp";
  DirFd parent = TRY(DirFd::OpenTrusted(base), "temporary directory");
  std::string name = StrCat("berth-", TRY(internal::RandomName()));
  DirFd dir = TRY(parent.MakeDir(name, 0700), "temporary directory");
  std::string path = StrCat(base, "/", name);
  return TempDir(std::move(parent), std::move(name), std::move(path), std::move(dir));
}

TempDir::~TempDir() {
  if (!dir_.valid()) return;  // moved from
  Result<> removed = parent_.RemoveTree(name_);
  if (!removed) LogWarn(removed.error().message());
}

}  // namespace berth::os

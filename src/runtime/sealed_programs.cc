// SPDX-License-Identifier: Apache-2.0
#include "runtime/sealed_programs.h"

#include "base/log.h"
#include "base/strings.h"

namespace berth::runtime {

std::shared_ptr<const os::SealedProgram> SealedPrograms::Of(const std::string& path) {
  const Result<os::FileIdentity> now = os::IdentityOf(path.c_str());
  if (!now) return nullptr;  // running it says why
  auto copies = copies_.Lock();
  std::shared_ptr<const os::SealedProgram>& copy = (*copies)[path];
  if (copy && copy->source == *now) return copy;
  copy = nullptr;
  Result<os::SealedProgram> made = os::SealProgram(path.c_str());
  if (!made) {
    LogDebug(StrCat("OCI runtime: no sealed copy: ", made.error().message()));
    return nullptr;
  }
  copy = std::make_shared<const os::SealedProgram>(std::move(*made));
  return copy;
}

std::shared_ptr<const os::SealedProgram> SealedPrograms::OfMissing(const std::string& path) {
  const Result<os::FileIdentity> now = os::IdentityOf(path.c_str());
  if (now || now.error().code() != Code::kNotFound) return nullptr;
  auto copies = copies_.Lock();
  auto found = copies->find(path);
  return found == copies->end() ? nullptr : found->second;
}

}  // namespace berth::runtime

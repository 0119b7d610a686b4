// SPDX-License-Identifier: Apache-2.0
// Paths of requests and of CDI files.
#include "base/strings.h"
#include "oci/build_spec_parts.h"

namespace berth::oci {

Result<std::string> CleanContainerPath(std::string_view path) {
  auto fail = [&](std::string_view problem) {
    return Error(Code::kInvalidArgument, StrCat("container path ", Quote(path), ": ", problem));
  };
  if (path.empty()) return fail("is empty");
  if (path.find('\0') != std::string_view::npos) return fail("contains a zero byte");
  std::vector<std::string_view> kept;
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string out;
  for (std::string_view part : kept) out += StrCat('/', part);
  return out.empty() ? "/" : out;
}

Result<> CheckHostPath(std::string_view path, std::string_view what) {
  auto fail = [&](std::string_view problem) {
    return Error(Code::kInvalidArgument, StrCat(what, ": host path ", Quote(path), " ", problem));
  };
  if (path.empty()) return fail("is empty");
  if (path[0] != '/') return fail("is not absolute");
  if (path.find('\0') != std::string_view::npos) return fail("contains a zero byte");
  for (std::string_view part : Split(path, '/')) {
    if (part == "..") return fail("contains \"..\"");
  }
  return Ok();
}

}  // namespace berth::oci

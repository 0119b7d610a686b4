// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/tar_entry.h"

#include <string_view>

#include "base/strings.h"

namespace berth::image::unpack {

Result<std::string> CleanPath(const std::string& path, const Limits& limits) {
  if (path.find('\0') != std::string::npos)
    return Error(Code::kInvalidArgument, StrCat("path ", Quote(path), " has a NUL byte"));
  // "a/./b" and "a/b" are equal, so the limit holds for what is left; but nobody needs megabytes of
  // dots either.
  if (path.size() > 2 * limits.path)
    return Error(Code::kResourceExhausted,
                 StrCat("path ", Quote(path, 64), ": longer than ", limits.path, " bytes"));
  std::vector<std::string_view> kept;
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
      continue;
    }
    if (part.size() > limits.component)
      return Error(Code::kResourceExhausted,
                   StrCat("path ", Quote(path, 64), ": an element is too long"));
    kept.push_back(part);
  }
  if (kept.size() > limits.depth)
    return Error(Code::kResourceExhausted,
                 StrCat("path ", Quote(path, 64), ": deeper than ", limits.depth));
  std::string clean;
  for (std::string_view part : kept) {
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  if (clean.size() > limits.path)
    return Error(Code::kResourceExhausted,
                 StrCat("path ", Quote(path, 64), ": longer than ", limits.path, " bytes"));
  return clean;
}

}  // namespace berth::image::unpack

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/strings.h"
#include "os/mount.h"

namespace berth::os {

namespace {

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes space, tab, newline and backslash as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && IsOctal(text[i + 1]) &&
        IsOctal(text[i + 2]) && IsOctal(text[i + 3])) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// 36 35 98:0 /root /mount rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
Result<MountInfo> ParseLine(std::string_view line) {
  auto malformed = [&] {
    return Error(Code::kInternal, StrCat("mountinfo: malformed line ", Quote(line)));
  };
  const std::vector<std::string_view> pieces = Split(line, ' ');
  if (pieces.size() < 10) return malformed();
  auto dash = std::find(pieces.begin() + 6, pieces.end(), "-");
  if (pieces.end() - dash < 4) return malformed();
  const bool ids = ParseInt(pieces[0], 0, INT64_MAX, "mount id").has_value() &&
                   ParseInt(pieces[1], 0, INT64_MAX, "parent id").has_value();
  if (!ids || pieces[2].find(':') == std::string_view::npos || pieces[3].empty() ||
      !pieces[4].starts_with('/') || dash[1].empty())
    return malformed();
  MountInfo info;
  info.root = Unescape(pieces[3]);
  info.mount_point = Unescape(pieces[4]);
  info.fs_type = Unescape(dash[1]);
  info.source = Unescape(dash[2]);
  info.super_options = Unescape(dash[3]);
  return info;
}

}  // namespace

Result<std::vector<MountInfo>> ParseMountInfo(std::string_view text) {
  std::vector<MountInfo> all;
  for (std::string_view line : Split(text, '\n'))
    if (!line.empty()) all.push_back(TRY(ParseLine(line)));
  return all;
}

}  // namespace berth::os

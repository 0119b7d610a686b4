// SPDX-License-Identifier: Apache-2.0
#include "oci/cni.h"

#include <algorithm>
#include <array>

namespace berth::oci {

namespace {

constexpr std::array<std::string_view, 5> kVersions{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
constexpr size_t kMaxName = 255;  // NAME_MAX: both become file names

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsFileWord(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace

std::span<const std::string_view> SupportedCniVersions() { return kVersions; }

bool IsSupportedCniVersion(std::string_view version) {
  return std::find(kVersions.begin(), kVersions.end(), version) != kVersions.end();
}

int CompareCniVersions(std::string_view a, std::string_view b) {
  auto rank = [](std::string_view version) {
    auto found = std::find(kVersions.begin(), kVersions.end(), version);
    return found == kVersions.end() ? -1 : static_cast<int>(found - kVersions.begin());
  };
  return rank(a) - rank(b);
}

bool IsValidPluginType(std::string_view type) {
  return IsFileWord(type) && type != "." && type != "..";
}

bool IsValidNetworkName(std::string_view name) { return IsFileWord(name) && IsAlnum(name.front()); }

bool CniVersionInfo::Supports(std::string_view version) const {
  return std::find(supported_versions.begin(), supported_versions.end(), version) !=
         supported_versions.end();
}

}  // namespace berth::oci

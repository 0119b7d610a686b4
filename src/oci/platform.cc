// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <utility>

#include "base/strings.h"
#include "oci/image.h"

namespace berth::oci {

namespace {

constexpr std::string_view kReferenceTypeKey = "vnd.docker.reference.type";

// 7 for "v7"; 0 for anything else.
int VariantNumber(std::string_view variant) {
  if (variant.size() != 2 || variant[0] != 'v' || variant[1] < '1' || variant[1] > '9') return 0;
  return variant[1] - '0';
}

// arm is written out down to v5, the oldest that Linux distributions built for.
void AppendOlder(std::vector<Platform>& out, Platform platform, int newest, int oldest) {
  for (int number = newest; number >= oldest; --number) {
    platform.variant = StrCat("v", number);
    out.push_back(NormalizePlatform(platform));
  }
}

// Everything that runs on `want`, best first.
std::vector<Platform> RunsOn(const Platform& want) {
  std::vector<Platform> out{want};
  int number = VariantNumber(want.variant);
  if (want.architecture == "amd64") {
    AppendOlder(out, want, number - 1, 1);
  } else if (want.architecture == "arm") {
    AppendOlder(out, want, number - 1, 5);
  } else if (want.architecture == "arm64") {
    AppendOlder(out, want, number - 1, 8);
    AppendOlder(out, {want.os, "arm", "", ""}, 8, 5);
  }
  return out;
}

bool IsCandidate(const Descriptor& entry) {
  return (IsManifestType(entry.media_type) || IsIndexType(entry.media_type)) &&
         entry.artifact_type.empty() && !entry.annotations.contains(std::string(kReferenceTypeKey));
}

bool Same(const Platform& a, const Platform& b) {
  return a.os == b.os && a.architecture == b.architecture && a.variant == b.variant;
}

Error NothingFits(const Index& index, const Platform& want) {
  constexpr size_t kShown = 16;
  std::string have;
  size_t shown = 0;
  for (const Descriptor& entry : index.manifests) {
    if (!entry.platform || !IsCandidate(entry)) continue;
    if (++shown > kShown) break;
    have += StrCat(have.empty() ? "" : ", ", Quote(PlatformText(*entry.platform), 64));
  }
  if (shown > kShown) have += ", ...";
  return Error(Code::kNotFound,
               StrCat("no image for platform ", PlatformText(want), " in the index (it has ",
                      have.empty() ? "none" : have, ")"));
}

}  // namespace

std::string PlatformText(const Platform& platform) {
  std::string out = StrCat(platform.os, "/", platform.architecture);
  if (!platform.variant.empty()) out += StrCat("/", platform.variant);
  return out;
}

Platform NormalizePlatform(Platform platform) {
  platform.os = ToLower(platform.os);
  platform.architecture = ToLower(platform.architecture);
  platform.variant = ToLower(platform.variant);
  std::string& arch = platform.architecture;
  std::string& variant = platform.variant;
  if (variant.size() == 1 && variant[0] >= '1' && variant[0] <= '9') variant = StrCat("v", variant);
  if (arch == "x86_64" || arch == "x86-64") arch = "amd64";
  if (arch == "aarch64") arch = "arm64";
  if (arch == "i386" || arch == "i686") arch = "386";
  if (arch == "armhf") arch = "arm", variant = "v7";
  if (arch == "armel") arch = "arm", variant = "v6";
  if (arch == "arm" && variant.empty()) variant = "v7";
  if (arch == "arm64" && variant == "v8") variant.clear();
  if (arch == "amd64" && variant == "v1") variant.clear();
  return platform;
}

Result<const Descriptor*> ChoosePlatform(const Index& index, const Platform& want) {
  for (const Platform& accepted : RunsOn(NormalizePlatform(want))) {
    for (const Descriptor& entry : index.manifests) {
      if (!entry.platform || !IsCandidate(entry)) continue;
      if (Same(NormalizePlatform(*entry.platform), accepted)) return &entry;
    }
  }
  // The config tells what such an entry is for; the caller checks it.
  for (const Descriptor& entry : index.manifests) {
    if (!entry.platform && IsCandidate(entry)) return &entry;
  }
  return NothingFits(index, want);
}

}  // namespace berth::oci

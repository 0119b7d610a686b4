// SPDX-License-Identifier: Apache-2.0
// Reference: an image name as users write it, checked and completed as Docker does ("busybox" is
// docker.io/library/busybox:latest). A value that was made is safe in a URL path. Any thread.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"

namespace berth::oci {

// Grammar: https://github.com/distribution/reference (reference.go, normalize.go).
//
//   registry.example:5000/team/app:v1@sha256:...
//   `---- domain -------' `-path-' |  `- digest
//                                  `tag
//
// A reference with neither tag nor digest gets the tag "latest"; one with a digest gets no tag.
class Reference {
 public:
  static constexpr size_t kMaxDomain = 261;  // a DNS name, ':' and a port
  static constexpr size_t kMaxPath = 255;
  static constexpr size_t kMaxTag = 128;

  // InvalidArgument ("image reference ...: ...").
  static Result<Reference> Parse(std::string_view text);

  // "docker.io", "registry.example:5000", "[::1]:5000".
  const std::string& domain() const { return domain_; }
  // "library/busybox".
  const std::string& path() const { return path_; }
  const std::optional<std::string>& tag() const { return tag_; }
  const std::optional<Digest>& digest() const { return digest_; }

  // "docker.io/library/busybox".
  std::string Name() const;
  // The whole canonical text: name[:tag][@digest].
  std::string str() const;
  // "name:tag"; nothing when there is no tag. What CRI reports in repo_tags.
  std::optional<std::string> TagForm() const;
  // "name@digest" with the digest given: what CRI reports in repo_digests.
  std::string DigestForm(const Digest& digest) const;
  // Same name, this digest and no tag.
  Reference WithDigest(const Digest& digest) const;

  // What follows /v2/<path>/manifests/: the digest when there is one, else the tag.
  std::string ManifestName() const;
  // Host (and port) that serves the domain: registry-1.docker.io for docker.io, else the domain
  // itself.
  std::string RegistryHost() const;

  friend bool operator==(const Reference&, const Reference&) = default;

 private:
  Reference() = default;
  std::string domain_;
  std::string path_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

// True for "<64 hex>" and "sha256:<64 hex>", lower case: these name a local image, never one to
// pull.
bool LooksLikeImageId(std::string_view text);
// The digest that such a text names; nothing for any other text.
std::optional<Digest> ParseImageId(std::string_view text);

}  // namespace berth::oci

// SPDX-License-Identifier: Apache-2.0
// Which images of which registries are let in: the operator's file. Values and pure functions but for
// reading; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::image {

// The word by which the kubelet knows such a failure (cri-api pkg/errors).
inline constexpr std::string_view kSignatureWord = "SignatureValidationFailed: ";

struct SignatureRule {
  enum class Kind { kAccept, kReject, kKey };
  Kind kind = Kind::kAccept;
  std::string key_pem;  // kKey
  // Tells this key from others; part of what is remembered of a checked image.
  std::string fingerprint;  // kKey: sha256 of the PEM, in hex
};

class SignaturePolicy {
 public:
  // Accepts everything.
  SignaturePolicy() = default;
  //   default = "accept"                               or "reject"
  //   [repository."registry.example.com/team"]         a registry, or a repository and those below
  //   policy = "key"                                   it: the longest name that fits counts
  //   key = "/etc/berth/team.pub"
  // Registries are compared in their canonical spelling (registry_host.h).
  // FailedPrecondition beginning with kSignatureWord, naming file and place, for what cannot be read or
  // understood: then nothing is let in.
  static Result<SignaturePolicy> Read(const std::string& path);
  // `repository` is one as in oci::Reference::Name(): "docker.io/library/busybox".
  const SignatureRule& For(std::string_view repository) const;

 private:
  SignatureRule default_;
  std::map<std::string, SignatureRule, std::less<>> rules_;
};

}  // namespace berth::image

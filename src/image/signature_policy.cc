// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "base/strings.h"
#include "image/hash.h"
#include "image/registry_host.h"
#include "image/signature_policy.h"
#include "oci/toml.h"
#include "oci/toml_library.h"
#include "os/dir_fd.h"

namespace berth::image {

namespace {

constexpr size_t kMaxPolicy = 1u << 20;
constexpr size_t kMaxKey = 64u << 10;

Error Bad(std::string_view where, std::string_view what) {
  return Error(Code::kInvalidArgument, StrCat(where, ": ", what));
}

Result<std::string> ReadTrusted(const std::string& path, size_t limit) {
  const size_t slash = path.rfind('/');
  if (path.empty() || path[0] != '/') return Bad(Quote(path), "not an absolute path");
  const os::DirFd dir = TRY(os::DirFd::OpenTrusted(path.substr(0, slash + 1)));
  return dir.ReadFile(path.substr(slash + 1), limit, os::Resolve::kInRoot);
}

Result<SignatureRule> ReadRule(const toml::node* policy, const toml::node* key,
                               std::string_view where) {
  const std::optional<std::string> kind = policy->value<std::string>();
  SignatureRule rule;
  if (kind == "accept") return rule;
  if (kind == "reject") {
    rule.kind = SignatureRule::Kind::kReject;
    return rule;
  }
  if (kind != "key") return Bad(where, "policy is neither accept, reject nor key");
  const std::optional<std::string> path =
      key != nullptr ? key->value<std::string>() : std::optional<std::string>();
  if (!path) return Bad(where, "policy key without a key");
  rule.kind = SignatureRule::Kind::kKey;
  rule.key_pem = TRY(ReadTrusted(*path, kMaxKey), where);
  if (rule.key_pem.find("-----BEGIN PUBLIC KEY-----") == std::string::npos)
    return Bad(where, StrCat(Quote(*path), " is no public key in PEM"));
  rule.fingerprint = Sha256::Of(rule.key_pem).hex();
  return rule;
}

}  // namespace

Result<SignaturePolicy> SignaturePolicy::Read(const std::string& path) {
  SignaturePolicy policy;
  Result<> read = [&]() -> Result<> {
    const std::string text = TRY(ReadTrusted(path, kMaxPolicy));
    TRY(oci::CheckToml(text));
    const toml::parse_result parsed = toml::parse(text);
    if (!parsed)
      return Bad(StrCat("line ", parsed.error().source().begin.line), parsed.error().description());
    for (const auto& [key, value] : parsed.table()) {
      if (key == "default") {
        policy.default_ = TRY(ReadRule(&value, nullptr, "default"));
        continue;
      }
      const toml::table* repositories = key == "repository" ? value.as_table() : nullptr;
      if (repositories == nullptr) return Bad(Quote(key.str()), "unknown key");
      for (const auto& [name, entry] : *repositories) {
        const toml::table* table = entry.as_table();
        if (table == nullptr || table->get("policy") == nullptr)
          return Bad(Quote(name.str()), "without a policy");
        for (const auto& [field, unused] : *table)
          if (field != "policy" && field != "key")
            return Bad(Quote(name.str()), StrCat("unknown key ", Quote(field.str())));
        SignatureRule rule =
            TRY(ReadRule(table->get("policy"), table->get("key"), Quote(name.str())));
        if (!policy.rules_.emplace(CanonicalPrefix(name.str()), std::move(rule)).second)
          return Bad(Quote(name.str()), "stands there twice, in two spellings");
      }
    }
    return Ok();
  }();
  // A policy that cannot be read lets nothing in, and the kubelet is told that it is about that.
  if (!read)
    return Error(Code::kFailedPrecondition,
                 StrCat(kSignatureWord, "signature policy: ", path, ": ", read.error().message()));
  return policy;
}

const SignatureRule& SignaturePolicy::For(std::string_view repository) const {
  const std::string canonical = CanonicalRepository(repository);
  for (std::string_view name = canonical;;) {
    const auto at = rules_.find(name);
    if (at != rules_.end()) return at->second;
    const size_t slash = name.rfind('/');
    if (slash == std::string_view::npos) return default_;
    name = name.substr(0, slash);
  }
}

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// ImageStore and the signature policy: before a pull, and again when a container is made of what was
// pulled, since the policy may have changed. Signatures themselves are checked in berth-fetch.
#include <set>
#include <utility>

#include "base/strings.h"
#include "image/image_store.h"
#include "oci/reference.h"

namespace berth::image {

Result<SignaturePolicy> ImageStore::Policy() const {
  if (options_.signature_policy.empty()) return SignaturePolicy();
  return SignaturePolicy::Read(options_.signature_policy);
}

Result<SignatureRule> ImageStore::RuleFor(const oci::Reference& reference) const {
  const SignaturePolicy policy = TRY(Policy());
  const SignatureRule& rule = policy.For(reference.Name());
  if (rule.kind == SignatureRule::Kind::kReject)
    return Error(Code::kFailedPrecondition,
                 StrCat(kSignatureWord, reference.Name(), ": the signature policy rejects it"));
  return rule;
}

Result<> ImageStore::CheckPolicy(State& state, const ImageRecord& image) const {
  if (options_.signature_policy.empty()) return Ok();
  const SignaturePolicy policy = TRY(Policy());
  const ImageInfo info = TRY(state.records.Info(image));
  std::set<std::string> repositories;
  for (const auto* names : {&info.tags, &info.digests})
    for (const std::string& name : *names)
      if (const auto reference = oci::Reference::Parse(name))
        repositories.insert(reference->Name());
  for (const std::string& repository : repositories) {
    const SignatureRule& rule = policy.For(repository);
    if (rule.kind == SignatureRule::Kind::kAccept) return Ok();
    if (rule.kind == SignatureRule::Kind::kKey &&
        TRY(state.records.HasSignature(image.id, repository, rule.fingerprint)))
      return Ok();
  }
  return Error(Code::kFailedPrecondition,
               StrCat(kSignatureWord, "image ", image.id,
                      ": no name of it is let in by the signature policy; pull it again if it is "
                      "signed by a new key"));
}

Result<> ImageStore::RecordSignature(const std::string& id, const oci::Reference& reference,
                                     const std::string& fingerprint) {
  if (fingerprint.empty()) return Ok();
  return state_.Lock()->records.PutSignature(id, reference.Name(), fingerprint);
}

}  // namespace berth::image

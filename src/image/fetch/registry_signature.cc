// SPDX-License-Identifier: Apache-2.0
// The signatures beside an image: fetched like any other document, checked before a layer is asked
// for.
#include <optional>

#include "base/strings.h"
#include "image/fetch/registry.h"
#include "image/fetch/signature.h"

namespace berth::image::fetch {

Result<> RegistryContent::CheckSignatures(const oci::Digest& manifest, const std::string& key_pem) {
  auto checked = FindSignature(manifest, key_pem);
  // A registry that cannot answer just now says nothing about the image.
  if (checked || checked.error().code() == Code::kUnavailable) return checked;
  return std::move(checked.error())
      .Wrap(kSignaturePrefix.substr(0, kSignaturePrefix.size() - 2))
      .WithCode(Code::kFailedPrecondition);
}

// The error is what is wrong with the last of them.
Result<> RegistryContent::FindSignature(const oci::Digest& manifest, const std::string& key_pem) {
  std::optional<Document> document;
  auto found = AskPatiently(false, [&](Server& server) -> Result<> {
    document = TRY(GetDocument(server, SignatureTag(manifest)));
    return Ok();
  });
  Error failure(Code::kNotFound, "the image has no signature");
  if (!found && found.error().code() == Code::kNotFound) return failure;
  if (!found) return found;
  for (const SignatureLayer& layer : TRY(ParseSignatureManifest(document->bytes))) {
    Result<> checked = [&]() -> Result<> {
      const std::string payload = TRY(GetBlob(layer.payload, kMaxSignedPayload));
      return CheckSignature(layer, payload, key_pem, manifest, reference_);
    }();
    if (checked || checked.error().code() == Code::kUnavailable) return checked;
    failure = std::move(checked.error());
  }
  return failure;
}

}  // namespace berth::image::fetch

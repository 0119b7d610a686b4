// SPDX-License-Identifier: Apache-2.0
// The signatures beside an image: fetched like any other document, checked before a layer is asked
// for.
#include "base/strings.h"
#include "image/fetch/registry.h"
#include "image/fetch/signature.h"

namespace berth::image::fetch {

Result<> RegistryContent::CheckSignatures(const oci::Digest& manifest, const std::string& key_pem) {
  std::optional<Document> document;
  auto found = AskPatiently(false, [&](Server& server) -> Result<> {
    document = TRY(GetDocument(server, SignatureTag(manifest)));
    return Ok();
  });
  Error failure(Code::kFailedPrecondition, "the image has no signature");
  if (!found && found.error().code() != Code::kNotFound) return found;
  if (found) {
    for (const SignatureLayer& layer : TRY(ParseSignatureManifest(document->bytes))) {
      auto payload = GetBlob(layer.payload, kMaxSignedPayload);
      Result<> checked;
      if (payload)
        checked = CheckSignature(layer, *payload, key_pem, manifest, reference_);
      else
        checked = std::move(payload.error());
      if (checked) return Ok();
      if (checked.error().code() == Code::kUnavailable) return checked;
      failure = std::move(checked.error());
    }
  }
  return std::move(failure).Wrap(kSignaturePrefix.substr(0, kSignaturePrefix.size() - 2));
}

}  // namespace berth::image::fetch

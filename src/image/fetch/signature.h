// SPDX-License-Identifier: Apache-2.0
// Signatures of images as cosign makes them with a key: "simple signing" documents, ECDSA on P-256 over
// SHA-256. Pure functions over untrusted bytes, run in berth-fetch; any thread.
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"
#include "oci/image.h"
#include "oci/reference.h"

namespace berth::image::fetch {

inline constexpr size_t kMaxSignatures = 32;
inline constexpr size_t kMaxSignedPayload = 64u << 10;

// "sha256-<hex>.sig": where the signatures of a manifest are, beside it in its repository.
std::string SignatureTag(const oci::Digest& manifest);

struct SignatureLayer {
  oci::Descriptor payload;
  std::string signature;  // base64 of the DER form
};
// The signatures in the manifest under that tag; other layers in it are passed over.
Result<std::vector<SignatureLayer>> ParseSignatureManifest(std::string_view bytes);

// The payload was signed by the key (PEM) and says that it is about this manifest under this name.
// FailedPrecondition says which of it does not hold; InvalidArgument for a key that is none.
Result<> CheckSignature(const SignatureLayer& layer, std::string_view payload,
                        const std::string& key_pem, const oci::Digest& manifest,
                        const oci::Reference& name);

}  // namespace berth::image::fetch

// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "oci/json.h"

namespace berth::image::fetch {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kPayloadType = "application/vnd.dev.cosign.simplesigning.v1+json";
constexpr const char* kSignature = "dev.cosignproject.cosign/signature";
constexpr std::string_view kContentType = "cosign container image signature";
constexpr size_t kMaxSignatureText = 1024;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

Result<Json> Parse(std::string_view bytes, size_t limit, std::string_view what) {
  const oci::JsonLimits limits{.max_bytes = limit,
                               .max_depth = 16,
                               .max_values = 8192,
                               .duplicate_keys = oci::DuplicateKeys::kReject};
  TRY(oci::CheckJson(bytes, limits, what));
  return Json::parse(bytes, nullptr, false);
}

// The text at a path of member names; "" when something on it is missing or of another type.
std::string TextAt(const Json& json, std::initializer_list<const char*> path) {
  const Json* at = &json;
  for (const char* name : path) {
    if (!at->is_object() || !at->contains(name)) return "";
    at = &(*at)[name];
  }
  return at->is_string() ? at->get<std::string>() : "";
}

Error Fails(std::string_view why) { return Error(Code::kFailedPrecondition, std::string(why)); }

Result<std::unique_ptr<EVP_PKEY, FreeKey>> ReadKey(const std::string& pem) {
  const std::unique_ptr<BIO, FreeBio> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<size_t>(pem.size(), 1U << 20))));
  if (!bio) return Error(Code::kResourceExhausted, "key: no memory");
  std::unique_ptr<EVP_PKEY, FreeKey> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  char group[64] = "";
  size_t size = 0;
  if (!key || EVP_PKEY_is_a(key.get(), "EC") != 1 ||
      EVP_PKEY_get_group_name(key.get(), group, sizeof group, &size) != 1 ||
      std::string_view(group) != "prime256v1")
    return Error(Code::kInvalidArgument, "key: not a public ECDSA key on P-256 in PEM");
  return key;
}

Result<std::string> DecodeBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > kMaxSignatureText)
    return Fails("signature is not base64");
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return Fails("signature is not base64");
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

Result<> CheckKey(const std::string& signature, std::string_view payload,
                  const std::string& key_pem) {
  const auto key = TRY(ReadKey(key_pem));
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  if (!context ||
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1)
    return Error(Code::kInternal, "signature check does not start");
  if (EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(payload.data()),
                       payload.size()) != 1)
    return Fails("signature is not by this key");
  return Ok();
}

}  // namespace

std::string SignatureTag(const oci::Digest& manifest) {
  return StrCat(manifest.algorithm_name(), "-", manifest.hex(), ".sig");
}

Result<std::vector<SignatureLayer>> ParseSignatureManifest(std::string_view bytes) {
  const Json json = TRY(Parse(bytes, oci::kMaxManifestBytes, "signature manifest"));
  std::vector<SignatureLayer> found;
  if (!json.is_object() || !json.contains("layers") || !json["layers"].is_array())
    return Error(Code::kInvalidArgument, "signature manifest has no layers");
  for (const Json& layer : json["layers"]) {
    if (TextAt(layer, {"mediaType"}) != kPayloadType) continue;
    if (found.size() == kMaxSignatures)
      return Error(Code::kResourceExhausted, "signature manifest has too many signatures");
    const oci::Digest digest = TRY(oci::Digest::Parse(TextAt(layer, {"digest"})), "signature");
    if (!layer.contains("size") || !layer["size"].is_number_unsigned())
      return Error(Code::kInvalidArgument, "signature without its payload's size");
    const uint64_t size = layer["size"].get<uint64_t>();
    if (size > kMaxSignedPayload)
      return Error(Code::kResourceExhausted, "signature's payload is too large");
    oci::Descriptor payload{std::string(kPayloadType), digest, static_cast<int64_t>(size)};
    found.push_back({std::move(payload), TextAt(layer, {"annotations", kSignature})});
  }
  return found;
}

Result<> CheckSignature(const SignatureLayer& layer, std::string_view payload,
                        const std::string& key_pem, const oci::Digest& manifest,
                        const oci::Reference& name) {
  TRY(CheckKey(TRY(DecodeBase64(layer.signature)), payload, key_pem));
  // Only now are the bytes worth reading.
  const Json json = TRY(Parse(payload, kMaxSignedPayload, "signed document"));
  if (TextAt(json, {"critical", "type"}) != kContentType)
    return Fails("signed document is of another type");
  if (TextAt(json, {"critical", "image", "docker-manifest-digest"}) != manifest.str())
    return Fails("signed document is about another image");
  const std::string identity = TextAt(json, {"critical", "identity", "docker-reference"});
  if (identity.empty()) return Ok();
  const auto signed_name = oci::Reference::Parse(identity);
  if (!signed_name || signed_name->Name() != name.Name())
    return Fails(StrCat("signed document is about ", Quote(identity, 128)));
  return Ok();
}

}  // namespace berth::image::fetch

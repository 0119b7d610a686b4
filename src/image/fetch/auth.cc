// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "image/fetch_protocol.h"

namespace berth::image::fetch {

namespace {

constexpr size_t kMaxChallenges = 8;
constexpr size_t kMaxParams = 16;
constexpr size_t kMaxChallengeHeader = 8192;

bool IsTokenChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  void SkipSpace() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }
  void SkipSpaceAndCommas() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t,"), rest_.size()));
  }
  bool Take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string Token() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), IsTokenChar);
    std::string token(rest_.begin(), end);
    rest_.remove_prefix(token.size());
    return token;
  }
  // A token or a quoted string.
  std::optional<std::string> Value() {
    if (!Take('"')) return Token();
    std::string value;
    while (!rest_.empty()) {
      if (Take('"')) return value;
      if (Take('\\') && rest_.empty()) return {};
      value += rest_.front();
      rest_.remove_prefix(1);
    }
    return {};
  }

 private:
  std::string_view rest_;
};

std::string HostOfAddress(std::string_view address) {
  if (const size_t at = address.find("://"); at != std::string_view::npos) {
    address.remove_prefix(at + 3);
  }
  return ToLower(address.substr(0, address.find('/')));
}

// docker login writes the index, not the registry.
bool IsDockerHub(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

Error BadRealm(const Url& registry, std::string_view why) {
  return Error(Code::kPermissionDenied,
               StrCat("registry ", registry.host(), ": token service ", why));
}

bool IsScopeName(std::string_view name) {
  return !name.empty() && name.size() <= 512 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._/").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view header) {
  std::vector<Challenge> out;
  Scanner scanner(header.substr(0, kMaxChallengeHeader));
  scanner.SkipSpaceAndCommas();
  while (!scanner.done()) {
    const std::string word = ToLower(scanner.Token());
    if (word.empty()) break;
    scanner.SkipSpace();
    if (!scanner.Take('=')) {
      if (out.size() == kMaxChallenges) break;
      out.push_back({word, {}});
    } else {
      scanner.SkipSpace();
      auto value = scanner.Value();
      if (!value || out.empty() || out.back().params.size() == kMaxParams) break;
      out.back().params.emplace(word, std::move(*value));
    }
    scanner.SkipSpaceAndCommas();
  }
  return out;
}

bool HasCredentials(const Credentials& c) {
  return !c.username.empty() || !c.password.empty() || !c.identity_token.empty() ||
         !c.registry_token.empty();
}

Result<> UnpackAuth(Credentials& c) {
  const std::string_view auth = TrimSpace(c.auth);
  if (auth.empty() || !c.username.empty()) return Ok();
  const Error bad(Code::kInvalidArgument, "credentials: auth is not base64 of user:password");
  if (auth.size() % 4 != 0) return bad.Clone();
  std::string plain(auth.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(plain.data()),
                                   reinterpret_cast<const unsigned char*>(auth.data()),
                                   static_cast<int>(auth.size()));
  const size_t padding = auth.ends_with("==") ? 2 : auth.ends_with("=") ? 1 : 0;
  const size_t colon = plain.find(':');
  if (size < 0 || colon == std::string::npos || colon == 0) {
    Wipe(plain);
    return bad.Clone();
  }
  plain.resize(static_cast<size_t>(size) - padding);
  c.username = plain.substr(0, colon);
  c.password = plain.substr(std::min(colon + 1, plain.size()));
  Wipe(plain);
  return Ok();
}

bool CredentialsAreFor(const Credentials& c, const RegistryEndpoint& endpoint,
                       const oci::Reference& reference) {
  if (!HasCredentials(c)) return false;
  if (c.server_address.empty()) return endpoint.origin;
  const std::string host = HostOfAddress(c.server_address);
  if (host == ToLower(endpoint.host)) return true;
  if (!endpoint.origin) return false;
  return host == ToLower(reference.domain()) ||
         (IsDockerHub(host) && IsDockerHub(reference.domain()));
}

bool SameSite(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto x = Split(a, '.');
  const auto y = Split(b, '.');
  if (x.size() < 2 || y.size() < 2) return false;
  // "co.uk", "com.au": a short second level below a country belongs to nobody.
  const size_t needed = x.back().size() == 2 && x[x.size() - 2].size() <= 3 ? 3 : 2;
  if (x.size() < needed || y.size() < needed) return false;
  return std::equal(x.end() - static_cast<std::ptrdiff_t>(needed), x.end(),
                    y.end() - static_cast<std::ptrdiff_t>(needed));
}

Result<Url> CheckRealm(const Url& registry, std::string_view realm, bool with_credentials) {
  auto parsed = Url::Parse(realm);
  if (!parsed) return BadRealm(registry, "is not an http or https URL without credentials in it");
  const Url& url = *parsed;
  const bool same_host = url.host() == registry.host();
  const bool both_internal = url.IsInternal() && registry.MayLeadTo(url);
  if (!url.https() && (registry.https() || !(same_host || both_internal))) {
    return BadRealm(registry, StrCat(url.Shown(), " is not https"));
  }
  if (url.IsInternal() && !both_internal) {
    return BadRealm(registry, StrCat(url.Shown(), " is inside this machine or link"));
  }
  if (url.IsAddress() && !same_host && !both_internal) {
    return BadRealm(registry, StrCat(url.Shown(), " is another server's address"));
  }
  if (with_credentials && !same_host && !both_internal &&
      (url.IsAddress() || registry.IsAddress() || !SameSite(url.host(), registry.host()))) {
    return BadRealm(registry,
                    StrCat(url.Shown(), " is of another site, which must not see the credentials"));
  }
  return parsed;
}

std::string TokenScope(const Challenge& challenge, const std::string& path) {
  constexpr std::string_view kKind = "repository:";
  std::string name = path;
  const auto found = challenge.params.find("scope");
  // A mirror may have the image under another name; that it may only be pulled is ours to say.
  if (found != challenge.params.end() && found->second.starts_with(kKind)) {
    const std::string_view rest = std::string_view(found->second).substr(kKind.size());
    const std::string_view theirs = rest.substr(0, rest.rfind(':'));
    if (IsScopeName(theirs)) name = theirs;
  }
  return StrCat(kKind, name, ":pull");
}

std::string Base64Encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace berth::image::fetch

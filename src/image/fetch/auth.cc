// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "image/fetch_protocol.h"
#include "image/registry_host.h"

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

// Registries whose token service is a host beside them. '*' is one label, the same in both names.
constexpr std::pair<std::string_view, std::string_view> kTokenServices[] = {
    {"registry-1.docker.io", "auth.docker.io"},
    {"index.docker.io", "auth.docker.io"},
    {"registry.hub.docker.com", "auth.docker.io"},
    {"registry.digitalocean.com", "api.digitalocean.com"},
    {"registry.*.aliyuncs.com", "dockerauth.*.aliyuncs.com"},
};

// `host` is `pattern`; what its '*' stands for goes to `star`.
bool Fits(std::string_view host, std::string_view pattern, std::string_view& star) {
  const size_t at = pattern.find('*');
  if (at == std::string_view::npos) return host == pattern;
  const std::string_view before = pattern.substr(0, at);
  const std::string_view after = pattern.substr(at + 1);
  if (host.size() <= before.size() + after.size() || !host.starts_with(before) ||
      !host.ends_with(after))
    return false;
  star = host.substr(at, host.size() - before.size() - after.size());
  return star.find('.') == std::string_view::npos;
}

bool IsBelow(std::string_view name, std::string_view above) {
  return name.size() > above.size() + 1 && name.ends_with(above) &&
         name[name.size() - above.size() - 1] == '.';
}

// Who holds such a name rules over all names below it. "com" and "co.uk" belong to nobody.
bool HasAnOwner(std::string_view name) {
  const auto labels = Split(name, '.');
  const bool country =
      labels.back().size() == 2 && labels.size() >= 2 && labels[labels.size() - 2].size() <= 3;
  return labels.size() >= (country ? 3U : 2U);
}

// Domains under which anybody can have a name: neighbours there are strangers (most are in publicsuffix.org's list).
constexpr std::string_view kShared[] = {
    "aliyuncs.com",   "amazonaws.com",    "appspot.com",  "azurecr.io",  "azurewebsites.net",
    "cloudfront.net", "cloudsmith.io",    "fly.dev",      "gcr.io",      "github.io",
    "gitlab.io",      "herokuapp.com",    "icr.io",       "jfrog.io",    "netlify.app",
    "ngrok.io",       "ocir.io",          "onrender.com", "pages.dev",   "pkg.dev",
    "run.app",        "scw.cloud",        "vercel.app",   "windows.net", "workers.dev",
    "googleapis.com", "myhuaweicloud.com"};

// "registry.example.com" and "gitlab.example.com".
bool AreNeighbours(std::string_view a, std::string_view b) {
  const size_t dot = a.find('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view above = a.substr(dot + 1);
  if (!IsBelow(b, above) || b.find('.') != b.size() - above.size() - 1) return false;
  return HasAnOwner(above) &&
         std::none_of(std::begin(kShared), std::end(kShared),
                      [&](auto shared) { return above == shared || IsBelow(above, shared); });
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
  const std::string named = RegistryOfAddress(c.server_address);
  if (named == CanonicalRegistry(endpoint.host, endpoint.scheme)) return true;
  return endpoint.origin && named == CanonicalRegistry(reference.domain());
}

bool MaySeeCredentials(std::string_view service, std::string_view registry) {
  if (service == registry) return true;
  if (IsBelow(registry, service)) return HasAnOwner(service);
  if (IsBelow(service, registry)) return HasAnOwner(registry);
  if (AreNeighbours(service, registry)) return true;
  return std::any_of(std::begin(kTokenServices), std::end(kTokenServices), [&](const auto& pair) {
    std::string_view ours, theirs;
    return Fits(registry, pair.first, ours) && Fits(service, pair.second, theirs) && ours == theirs;
  });
}

Result<Url> CheckRealm(const Url& registry, std::string_view realm, bool with_credentials,
                       const std::vector<std::string>& token_hosts) {
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
  const bool known =
      !url.IsAddress() && !registry.IsAddress() &&
      (MaySeeCredentials(url.host(), registry.host()) ||
       std::find(token_hosts.begin(), token_hosts.end(), url.host()) != token_hosts.end());
  if (with_credentials && !same_host && !both_internal && !known) {
    return BadRealm(registry, StrCat(url.Shown(),
                                     " is of another site, which must not see the "
                                     "credentials: token_hosts in hosts.toml names "
                                     "those that may"));
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

// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/authorizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/strings.h"
#include "image/fetch_protocol.h"
#include "oci/json.h"

namespace berth::image::fetch {

namespace {

std::string BasicHeader(const Credentials& c) {
  std::string plain = StrCat(c.username, ":", c.password);
  std::string header = StrCat("Authorization: Basic ", Base64Encode(plain));
  Wipe(plain);
  return header;
}

std::string Param(const Challenge& challenge, const std::string& name) {
  const auto found = challenge.params.find(name);
  return found == challenge.params.end() ? "" : found->second;
}

// RFC 6750 b64token: nothing that could end the header line.
bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= 64u << 10 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Result<std::string> ParseToken(const std::string& body) {
  const oci::JsonLimits limits{.max_bytes = Authorizer::kMaxTokenBody,
                               .max_depth = 16,
                               .max_values = 1024,
                               .duplicate_keys = oci::DuplicateKeys::kReject};
  TRY(oci::CheckJson(body, limits, "token answer"));
  const auto json = nlohmann::json::parse(body, nullptr, false);
  for (const char* key : {"token", "access_token"}) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) continue;
    const auto& token = json[key].get_ref<const std::string&>();
    if (token.empty()) continue;
    if (!IsToken(token)) break;
    return token;
  }
  return Error(Code::kInvalidArgument, "token answer: no usable token");
}

}  // namespace

Authorizer::Authorizer(HttpClient& http, const Endpoint& endpoint, Credentials credentials,
                       std::string repository)
    : http_(http),
      endpoint_(endpoint),
      credentials_(std::move(credentials)),
      repository_(std::move(repository)) {
  if (!credentials_.registry_token.empty() && IsToken(credentials_.registry_token)) {
    *header_.Lock() = StrCat("Authorization: Bearer ", credentials_.registry_token);
  }
}

Authorizer::~Authorizer() {
  Wipe(credentials_);
  Wipe(*header_.Lock());
}

std::string Authorizer::Header() { return *header_.Lock(); }

Result<bool> Authorizer::Answer(const std::string& used, const HttpResponse& response) {
  if (Header() != used) return true;  // another layer's transfer has a new token already
  std::optional<Challenge> basic, bearer;
  const auto [begin, end] = response.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    for (Challenge& challenge : ParseChallenges(header->second)) {
      if (challenge.scheme == "basic" && !basic)
        basic = std::move(challenge);
      else if (challenge.scheme == "bearer" && !bearer)
        bearer = std::move(challenge);
    }
  }
  std::string fresh;
  if (bearer && credentials_.registry_token.empty()) {
    fresh = StrCat("Authorization: Bearer ", TRY(FetchToken(*bearer)));
  } else if (basic && !credentials_.username.empty()) {
    fresh = BasicHeader(credentials_);
  }
  if (fresh.empty() || fresh == used) return false;
  *header_.Lock() = std::move(fresh);
  return true;
}

HttpRequest Authorizer::TokenRequest(const Url& realm) const {
  return {.url = realm,
          .headers = {"Accept: application/json"},
          .tls = &endpoint_.TlsFor(realm),
          .connect_timeout = endpoint_.connect_timeout,
          .stall_timeout = endpoint_.stall_timeout,
          .body_limit = kMaxTokenBody,
          .sink = {},
          .proxy = &endpoint_.proxy,
          .peers = endpoint_.base.PeersOf(realm)};
}

// distribution spec, auth/token.md: anonymous or with Basic.
Result<HttpResponse> Authorizer::AskByGet(const Url& realm, const Challenge& challenge) {
  std::string text = realm.text();
  text += text.find('?') == std::string::npos ? '?' : '&';
  if (const std::string service = Param(challenge, "service"); !service.empty()) {
    text += StrCat("service=", PercentEncode(service), "&");
  }
  text += StrCat("scope=", PercentEncode(TokenScope(challenge, repository_)));
  HttpRequest request = TokenRequest(TRY(Url::Parse(text), "token service"));
  const bool basic = !credentials_.username.empty();
  if (basic) request.headers.push_back(BasicHeader(credentials_));
  auto response = http_.Get(request);
  if (basic) Wipe(request.headers.back());
  return response;
}

// distribution spec, auth/oauth.md: an identity token is OAuth2's refresh token; user and password
// are its password grant.
Result<HttpResponse> Authorizer::AskByPost(const Url& realm, const Challenge& challenge) {
  HttpRequest request = TokenRequest(realm);
  const Credentials& c = credentials_;
  request.form.reserve(4096 +
                       3 * (c.identity_token.size() + c.username.size() + c.password.size()));
  request.form +=
      StrCat("service=", PercentEncode(Param(challenge, "service")),
             "&scope=", PercentEncode(TokenScope(challenge, repository_)), "&client_id=berth");
  const auto field = [&request](std::string_view name, const std::string& secret) {
    std::string encoded = PercentEncode(secret);
    request.form.append("&").append(name).append("=").append(encoded);
    Wipe(encoded);
  };
  if (!c.identity_token.empty()) {
    request.form += "&grant_type=refresh_token";
    field("refresh_token", c.identity_token);
  } else {
    request.form += "&grant_type=password";
    field("username", c.username);
    field("password", c.password);
  }
  auto response = http_.Get(request);
  Wipe(request.form);
  return response;
}

Result<std::string> Authorizer::FetchToken(const Challenge& challenge) {
  const bool refresh = !credentials_.identity_token.empty();
  const bool with_credentials = refresh || !credentials_.username.empty();
  const Url realm = TRY(CheckRealm(endpoint_.base, Param(challenge, "realm"), with_credentials,
                                   endpoint_.config.token_hosts));
  HttpResponse response = TRY(refresh ? AskByPost(realm, challenge) : AskByGet(realm, challenge));
  // Some services know only the OAuth2 form.
  if (!refresh && with_credentials && (response.status == 404 || response.status == 405))
    response = TRY(AskByPost(realm, challenge));
  const long status = response.status;
  const std::string what = StrCat("token service ", realm.Shown(), ": HTTP status ", status);
  // A redirect is an answer like any other here: no second server gets to see the credentials.
  if (status == 401) return Error(Code::kUnauthenticated, what);
  if (status == 403) return Error(Code::kPermissionDenied, what);
  if (status == 429 || status >= 500) {
    return Error(Code::kUnavailable, StrCat(kUnavailablePrefix, what));
  }
  if (status != 200) return Error(Code::kUnknown, what);
  auto token = ParseToken(response.body);
  Wipe(response.body);
  return TRY(std::move(token), StrCat("token service ", realm.Shown()));
}

}  // namespace berth::image::fetch

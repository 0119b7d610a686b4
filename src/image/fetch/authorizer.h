// SPDX-License-Identifier: Apache-2.0
// One server's Authorization header: none, Basic, or a Bearer token that was fetched for the
// image's repository. Owned by the endpoint of one pull; any thread, several exchanges at once
// share the token.
#pragma once

#include <string>

#include "base/guarded.h"
#include "base/result.h"
#include "image/fetch/auth.h"
#include "image/fetch/http.h"

namespace berth::image::fetch {

// A server of the pull with everything an exchange with it needs.
struct Endpoint {
  RegistryEndpoint config;
  Url base;               // scheme://host/path
  TlsSettings own;        // for this host
  TlsSettings elsewhere;  // for redirects and token services on another host: never skip_verify, no
                          // client key
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds stall_timeout{60'000};
  ProxySettings proxy;

  const TlsSettings& TlsFor(const Url& url) const {
    return url.host() == base.host() ? own : elsewhere;
  }
};

class Authorizer {
 public:
  static constexpr size_t kMaxTokenBody = 1u << 20;

  // Keeps references. `credentials` empty: anonymous.
  Authorizer(HttpClient& http, const Endpoint& endpoint, Credentials credentials,
             std::string repository);
  ~Authorizer();
  Authorizer(const Authorizer&) = delete;
  Authorizer& operator=(const Authorizer&) = delete;

  // "Authorization: ..." for the next request to this server; empty for none. To nobody else, ever.
  std::string Header();
  // After a 401 to a request sent with `used`: true when Header() is now another one and worth a
  // try.
  Result<bool> Answer(const std::string& used, const HttpResponse& response);

 private:
  Result<std::string> FetchToken(const Challenge& challenge);
  HttpRequest TokenRequest(const Url& realm) const;
  // The two ways to ask for a token; an answer of any status.
  Result<HttpResponse> AskByGet(const Url& realm, const Challenge& challenge);
  Result<HttpResponse> AskByPost(const Url& realm, const Challenge& challenge);

  HttpClient& http_;
  const Endpoint& endpoint_;
  Credentials credentials_;
  const std::string repository_;
  Guarded<std::string> header_;
};

}  // namespace berth::image::fetch

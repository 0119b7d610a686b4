// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange at a time through libcurl, everything bounded; redirects and authentication are
// the caller's. Owned by the session; any thread (each exchange takes a libcurl handle, and with it
// a kept connection, from a pool).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "image/fetch/url.h"
#include "image/fetcher.h"

namespace berth::image::fetch {

inline constexpr size_t kMaxErrorBody = 64u << 10;
inline constexpr size_t kMaxHeaderBytes = 256u << 10;

// How the peer of one exchange is trusted.
struct TlsSettings {
  bool skip_verify = false;
  std::string ca_pem;  // all that is trusted
  std::string client_cert_pem;
  std::string client_key_pem;
};

// Takes body bytes as they come; an error ends the exchange and is returned from Get.
using BodySink = std::function<Result<>(std::string_view)>;

struct HttpResponse;

struct HttpRequest {
  Url url;
  std::vector<std::string> headers;  // "Name: value"
  const TlsSettings* tls = nullptr;
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds stall_timeout{60'000};
  size_t body_limit = 0;  // of a 2xx answer that is kept; more is ResourceExhausted
  BodySink sink;          // instead of keeping the body of a 2xx answer
  // Sees status and headers of a 2xx answer before the first byte of its body; an error as from
  // the sink.
  std::function<Result<>(const HttpResponse&)> begin = {};
  std::string form = {};  // "application/x-www-form-urlencoded" body: makes it a POST
  const ProxySettings* proxy = nullptr;
  // FailedPrecondition for a name that leads elsewhere. A proxy looks names up itself: with one this is
  // its to refuse.
  Peers peers = Peers::kAny;
};

struct HttpResponse {
  long status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;                                 // not 2xx: its first kMaxErrorBody bytes

  // The first one; empty when missing.
  std::string Header(const std::string& name) const;
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // GET, or POST of a form. Any status is a success here. Unavailable ("RegistryUnavailable: ...") when no whole answer
  // came: name not found, refused, TLS, cut short, no byte for stall_timeout. InvalidArgument for
  // an answer that is not HTTP.
  Result<HttpResponse> Get(const HttpRequest& request);

 private:
  struct Handle;
  std::unique_ptr<Handle> Take();
  void Give(std::unique_ptr<Handle> handle);
  Guarded<std::vector<std::unique_ptr<Handle>>> idle_;
};

// The prefix by which the kubelet knows that the registry, not the image, is the trouble (cri-api
// pkg/errors).
inline constexpr std::string_view kUnavailablePrefix = "RegistryUnavailable: ";
// The same for an image that its signature does not let in.
inline constexpr std::string_view kSignaturePrefix = "SignatureValidationFailed: ";

}  // namespace berth::image::fetch

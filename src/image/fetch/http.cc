// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/http.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include <optional>

#include "base/strings.h"

namespace berth::image::fetch {

namespace {

using Clock = std::chrono::steady_clock;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// What the callbacks of one exchange share. They run inside curl_easy_perform, on the caller's
// thread.
struct Exchange {
  const HttpRequest* request = nullptr;
  HttpResponse response;
  CURL* curl = nullptr;
  size_t header_bytes = 0;
  std::optional<Error> failure;
  bool begun = false;   // `begin` was called
  bool enough = false;  // the body of an error answer was long enough
  Clock::time_point last_move = Clock::now();
  curl_off_t seen = 0;
};

bool IsSuccess(long status) { return status >= 200 && status < 300; }

void TakeHeader(Exchange& x, std::string_view line) {
  if (line.starts_with("HTTP/")) {  // a new answer: the one before was 1xx
    x.response.headers.clear();
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  x.response.headers.emplace(ToLower(TrimSpace(line.substr(0, colon))),
                             std::string(TrimSpace(line.substr(colon + 1))));
}

size_t OnHeader(char* data, size_t, size_t size, void* user) noexcept {
  auto& x = *static_cast<Exchange*>(user);
  x.header_bytes += size;
  if (x.header_bytes > kMaxHeaderBytes) {
    x.failure = Error(Code::kResourceExhausted, "headers larger than 256 KiB");
    return 0;
  }
  TakeHeader(x, {data, size});
  return size;
}

Result<> TakeBody(Exchange& x, std::string_view bytes) {
  long status = 0;
  curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &status);
  std::string& body = x.response.body;
  if (!IsSuccess(status)) {
    body += bytes.substr(0, kMaxErrorBody - body.size());
    x.enough = body.size() == kMaxErrorBody;
    return Ok();
  }
  if (!x.begun && x.request->begin) {
    x.response.status = status;
    TRY(x.request->begin(x.response));
  }
  x.begun = true;
  if (x.request->sink) return x.request->sink(bytes);
  if (bytes.size() > x.request->body_limit - body.size()) {
    return Error(Code::kResourceExhausted,
                 StrCat("answer larger than ", x.request->body_limit, " bytes"));
  }
  body += bytes;
  return Ok();
}

size_t OnBody(char* data, size_t, size_t size, void* user) noexcept {
  auto& x = *static_cast<Exchange*>(user);
  auto taken = TakeBody(x, {data, size});
  // The sink may have waited for the unpacker: that time is not the registry's.
  x.last_move = Clock::now();
  if (!taken) x.failure = std::move(taken.error());
  return taken && !x.enough ? size : 0;
}

int OnProgress(void* user, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) noexcept {
  auto& x = *static_cast<Exchange*>(user);
  const auto now = Clock::now();
  if (received != x.seen) {
    x.seen = received;
    x.last_move = now;
  }
  if (now - x.last_move < x.request->stall_timeout) return 0;
  x.failure = Error(Code::kUnavailable,
                    StrCat(kUnavailablePrefix, x.request->url.Shown(), ": no answer for ",
                           x.request->stall_timeout.count() / 1000, " s"));
  return 1;
}

void RefusePeer(Exchange& x) {
  x.failure = Error(Code::kFailedPrecondition,
                    StrCat(x.request->url.Shown(),
                           ": its name leads to a local address, where no registry may send us"));
}

curl_socket_t OnSocket(void* user, curlsocktype, curl_sockaddr* to) noexcept {
  auto& x = *static_cast<Exchange*>(user);
  if (IsAllowed(x.request->peers, to->addr))
    return ::socket(to->family, to->socktype, to->protocol);
  RefusePeer(x);
  return CURL_SOCKET_BAD;
}

// A kept connection was opened under another request's rules.
int OnRequest(void* user, char* peer, char*, int, int) noexcept {
  auto& x = *static_cast<Exchange*>(user);
  if (IsAllowed(x.request->peers, std::string(peer))) return CURL_PREREQFUNC_OK;
  RefusePeer(x);
  return CURL_PREREQFUNC_ABORT;
}

curl_blob Blob(const std::string& pem) {
  return {const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
}

// Each option is one that this libcurl knows, so only memory can fail: all are checked.
class Options {
 public:
  explicit Options(CURL* curl) : curl_(curl) {}
  template <class T>
  void Set(CURLoption option, T value) {
    if (code_ == CURLE_OK) code_ = curl_easy_setopt(curl_, option, value);
  }
  CURLcode code() const { return code_; }

 private:
  CURL* curl_;
  CURLcode code_ = CURLE_OK;
};

void SetTls(Options& options, const TlsSettings& tls) {
  options.Set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  options.Set(CURLOPT_SSL_VERIFYPEER, tls.skip_verify ? 0L : 1L);
  options.Set(CURLOPT_SSL_VERIFYHOST, tls.skip_verify ? 0L : 2L);
  options.Set(CURLOPT_CAINFO, nullptr);
  options.Set(CURLOPT_CAPATH, nullptr);
  curl_blob ca = Blob(tls.ca_pem);
  if (!tls.ca_pem.empty()) options.Set(CURLOPT_CAINFO_BLOB, &ca);
  if (tls.client_cert_pem.empty()) return;
  curl_blob cert = Blob(tls.client_cert_pem);
  curl_blob key = Blob(tls.client_key_pem);
  options.Set(CURLOPT_SSLCERT_BLOB, &cert);
  options.Set(CURLOPT_SSLKEY_BLOB, &key);
}

// Only what the operator configured: nothing from the environment of this process. A proxy with TLS
// is trusted as the server behind it.
void SetProxy(Options& options, const HttpRequest& request) {
  const ProxySettings* proxy = request.proxy;
  const bool direct = proxy == nullptr || request.url.IsInternal();
  options.Set(CURLOPT_PROXY,
              direct ? "" : (request.url.https() ? proxy->https : proxy->http).c_str());
  if (direct) return;
  options.Set(CURLOPT_NOPROXY, proxy->none.c_str());
  options.Set(CURLOPT_PROXY_CAINFO, nullptr);
  options.Set(CURLOPT_PROXY_CAPATH, nullptr);
  if (request.tls == nullptr || request.tls->ca_pem.empty()) return;
  curl_blob ca = Blob(request.tls->ca_pem);
  options.Set(CURLOPT_PROXY_CAINFO_BLOB, &ca);
}

void SetPeers(Options& options, Exchange& x) {
  const HttpRequest& request = *x.request;
  const bool proxied = request.proxy != nullptr && !request.url.IsInternal() &&
                       !(request.url.https() ? request.proxy->https : request.proxy->http).empty();
  if (request.peers == Peers::kAny || proxied) return;
  options.Set(CURLOPT_OPENSOCKETFUNCTION, &OnSocket);
  options.Set(CURLOPT_OPENSOCKETDATA, &x);
  options.Set(CURLOPT_PREREQFUNCTION, &OnRequest);
  options.Set(CURLOPT_PREREQDATA, &x);
}

CURLcode Prepare(Exchange& x, curl_slist* headers, char* error_text) {
  const HttpRequest& request = *x.request;
  Options options(x.curl);
  options.Set(CURLOPT_URL, request.url.text().c_str());
  options.Set(CURLOPT_PROTOCOLS_STR, request.url.scheme().c_str());
  options.Set(CURLOPT_FOLLOWLOCATION, 0L);
  // HTTP/2 where TLS lets it be agreed on.
  options.Set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});
  options.Set(CURLOPT_HTTP09_ALLOWED, 0L);
  options.Set(CURLOPT_HTTPHEADER, headers);
  SetProxy(options, request);
  SetPeers(options, x);
  if (!request.form.empty()) {
    options.Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.form.size()));
    options.Set(CURLOPT_POSTFIELDS, request.form.c_str());  // not copied
  }
  options.Set(CURLOPT_NOSIGNAL, 1L);
  options.Set(CURLOPT_ERRORBUFFER, error_text);
  options.Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  options.Set(CURLOPT_BUFFERSIZE, 256L << 10);
  options.Set(CURLOPT_HEADERFUNCTION, &OnHeader);
  options.Set(CURLOPT_HEADERDATA, &x);
  options.Set(CURLOPT_WRITEFUNCTION, &OnBody);
  options.Set(CURLOPT_WRITEDATA, &x);
  options.Set(CURLOPT_XFERINFOFUNCTION, &OnProgress);
  options.Set(CURLOPT_XFERINFODATA, &x);
  options.Set(CURLOPT_NOPROGRESS, 0L);
  if (request.tls != nullptr) SetTls(options, *request.tls);
  return options.code();
}

// The proxy's own refusal, of a request or of a tunnel (RFC 9110 section 15.5.8).
bool ProxyRefused(CURL* curl, long status) {
  long tunnel = 0;
  curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &tunnel);
  return status == 407 || tunnel == 407;
}

Error Failed(const Url& url, CURLcode code, std::string_view text) {
  const std::string what =
      StrCat(url.Shown(), ": ", text.empty() ? curl_easy_strerror(code) : text);
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
      return Error(Code::kInvalidArgument, StrCat(what, ": not an HTTP answer"));
    case CURLE_OUT_OF_MEMORY:
      return Error(Code::kResourceExhausted, what);
    default:
      return Error(Code::kUnavailable, StrCat(kUnavailablePrefix, what));
  }
}

}  // namespace

struct HttpClient::Handle {
  std::unique_ptr<CURL, FreeCurl> curl;
};

HttpClient::HttpClient() = default;
HttpClient::~HttpClient() = default;

std::string HttpResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::unique_ptr<HttpClient::Handle> HttpClient::Take() {
  auto idle = idle_.Lock();
  if (!idle->empty()) {
    auto handle = std::move(idle->back());
    idle->pop_back();
    return handle;
  }
  return std::make_unique<Handle>(Handle{std::unique_ptr<CURL, FreeCurl>(curl_easy_init())});
}

void HttpClient::Give(std::unique_ptr<Handle> handle) {
  curl_easy_reset(handle->curl.get());  // keeps its connections
  idle_.Lock()->push_back(std::move(handle));
}

Result<HttpResponse> HttpClient::Get(const HttpRequest& request) {
  auto handle = Take();
  if (!handle->curl) return Error(Code::kResourceExhausted, "libcurl: no memory");
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    if (longer == nullptr) return Error(Code::kResourceExhausted, "libcurl: no memory");
    (void)headers.release();
    headers.reset(longer);
  }
  Exchange x;
  x.request = &request;
  x.curl = handle->curl.get();
  char text[CURL_ERROR_SIZE] = "";
  CURLcode code = Prepare(x, headers.get(), text);
  if (code != CURLE_OK) {
    return Error(Code::kInternal, StrCat("libcurl: ", curl_easy_strerror(code)));
  }
  code = curl_easy_perform(x.curl);
  curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &x.response.status);
  if (ProxyRefused(x.curl, x.response.status))
    return Error(Code::kUnauthenticated,
                 StrCat(request.url.Shown(), ": the proxy asks for other credentials (407)"));
  if (code == CURLE_OK || x.enough) {
    Give(std::move(handle));
    return std::move(x.response);
  }
  // The handle goes, and its connection in an unknown state with it.
  if (x.failure) return std::move(*x.failure);
  return Failed(request.url, code, text);
}

}  // namespace berth::image::fetch

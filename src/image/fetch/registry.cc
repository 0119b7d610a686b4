// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/registry.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/strings.h"
#include "oci/json.h"

namespace berth::image::fetch {

namespace {

std::string ManifestAccept() {
  return StrCat(oci::kOciIndexType, ", ", oci::kDockerIndexType, ", ", oci::kOciManifestType, ", ",
                oci::kDockerManifestType);
}

// {"errors":[{"code":"MANIFEST_UNKNOWN","message":"..."}]}; "" for anything else.
std::string ErrorText(const std::string& body) {
  const oci::JsonLimits limits{.max_bytes = kMaxErrorBody,
                               .max_depth = 16,
                               .max_values = 4096,
                               .duplicate_keys = oci::DuplicateKeys::kLastWins};
  if (!oci::CheckJson(body, limits, "error answer")) return "";
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("errors") || !json["errors"].is_array()) return "";
  std::string text;
  for (const auto& error : json["errors"]) {
    if (!error.is_object() || text.size() > 512) break;
    for (const char* key : {"code", "message"}) {
      if (!error.contains(key) || !error[key].is_string()) continue;
      text += StrCat(": ", CleanText(error[key].get_ref<const std::string&>().substr(0, 256)));
    }
  }
  return text;
}

bool IsRedirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Result<Endpoint> MakeEndpoint(const RegistryEndpoint& config, const ResolveRequest& request,
                              const std::string& system_ca) {
  const std::string text = StrCat(config.scheme, "://", config.host, config.path);
  const Url base = TRY(Url::Parse(text), StrCat("registry ", Quote(config.host)));
  TlsSettings elsewhere{false, system_ca + "\n" + config.ca_pem, "", ""};
  TlsSettings own{config.skip_verify, elsewhere.ca_pem, config.client_cert_pem,
                  config.client_key_pem};
  const auto connect =
      config.dial_timeout.count() > 0 ? config.dial_timeout : request.connect_timeout;
  return Endpoint{
      config,       base, std::move(own), std::move(elsewhere), connect, request.stall_timeout,
      request.proxy};
}

}  // namespace

Error StatusError(std::string_view what, const HttpResponse& response) {
  const long status = response.status;
  const std::string text = StrCat(what, ": HTTP status ", status, ErrorText(response.body));
  if (status == 401) return Error(Code::kUnauthenticated, text);
  if (status == 403) return Error(Code::kPermissionDenied, text);
  if (status == 404) return Error(Code::kNotFound, text);
  if (status == 408 || status == 429 || status >= 500) {
    return Error(Code::kUnavailable, StrCat(kUnavailablePrefix, text));
  }
  return Error(Code::kUnknown, text);
}

Result<Url> CheckRedirect(const Url& server, const Url& from, std::string_view location) {
  auto resolved = from.Resolve(location);
  if (!resolved) {
    return Error(Code::kFailedPrecondition,
                 StrCat(from.Shown(), ": redirect to something that is no http or https URL"));
  }
  if (!resolved->https() && (from.https() || server.https())) {
    return Error(Code::kFailedPrecondition,
                 StrCat(from.Shown(), ": redirect from https to http refused"));
  }
  if (!server.MayLeadTo(*resolved)) {
    return Error(Code::kFailedPrecondition,
                 StrCat(from.Shown(), ": redirect to a local address refused"));
  }
  return resolved;
}

Result<std::unique_ptr<RegistryContent>> RegistryContent::Make(const ResolveRequest& request,
                                                               Credentials credentials,
                                                               const std::string& system_ca) {
  auto reference = TRY(oci::Reference::Parse(request.reference));
  auto wipe = [&](auto result) {
    Wipe(credentials);
    return result;
  };
  if (auto unpacked = UnpackAuth(credentials); !unpacked) {
    return wipe(Result<std::unique_ptr<RegistryContent>>(std::move(unpacked.error())));
  }
  std::unique_ptr<RegistryContent> content(new RegistryContent(std::move(reference)));
  content->retry_delay_ = request.retry_delay;
  content->stall_timeout_ = request.stall_timeout;
  for (const RegistryEndpoint& config : request.endpoints) {
    auto endpoint = MakeEndpoint(config, request, system_ca);
    if (!endpoint) {
      return wipe(Result<std::unique_ptr<RegistryContent>>(std::move(endpoint.error())));
    }
    auto server = std::make_unique<Server>(Server{std::move(*endpoint), nullptr});
    const bool theirs = CredentialsAreFor(credentials, config, content->reference_);
    server->authorizer = std::make_unique<Authorizer>(content->http_, server->endpoint,
                                                      theirs ? credentials : Credentials{},
                                                      content->reference_.path());
    content->servers_.push_back(std::move(server));
  }
  return wipe(Result<std::unique_ptr<RegistryContent>>(std::move(content)));
}

Result<Url> RegistryContent::FirstUrl(const Server& server, const std::string& path) const {
  const RegistryEndpoint& config = server.endpoint.config;
  // A mirror of several registries learns which one is meant, as containerd tells it.
  const std::string which =
      config.host == reference_.RegistryHost() ? "" : StrCat("?ns=", reference_.domain());
  return Url::Parse(StrCat(config.scheme, "://", config.host, config.path, "/", reference_.path(),
                           "/", path, which));
}

Result<HttpResponse> RegistryContent::Ask(Server& server, const Want& want) {
  const Endpoint& endpoint = server.endpoint;
  Url url = TRY(FirstUrl(server, want.path));
  int challenges = 0;
  for (int redirects = 0; redirects <= kMaxRedirects;) {
    const bool at_home = url.SameOrigin(endpoint.base);
    std::string authorization;
    HttpRequest request{.url = url,
                        .headers = {},
                        .tls = &endpoint.TlsFor(url),
                        .connect_timeout = endpoint.connect_timeout,
                        .stall_timeout = endpoint.stall_timeout,
                        .body_limit = want.body_limit,
                        .sink = want.sink,
                        .begin = want.begin,
                        .proxy = &endpoint.proxy,
                        .peers = endpoint.base.PeersOf(url)};
    if (!want.range.empty()) request.headers.push_back("Range: " + want.range);
    if (!want.accept.empty()) request.headers.push_back("Accept: " + want.accept);
    if (at_home) {
      for (const auto& [name, value] : endpoint.config.headers) {
        request.headers.push_back(StrCat(name, ": ", value));
      }
      authorization = server.authorizer->Header();
      if (!authorization.empty()) request.headers.push_back(authorization);
    }
    HttpResponse response = TRY(http_.Get(request));
    if (response.status == 401 && at_home && challenges < kMaxChallenges) {
      ++challenges;
      if (TRY(server.authorizer->Answer(authorization, response))) continue;
    }
    NoteRetryAfter(response);
    if (!IsRedirect(response.status)) return response;
    url = TRY(CheckRedirect(endpoint.base, url, response.Header("location")));
    ++redirects;
  }
  return Error(Code::kFailedPrecondition,
               StrCat(endpoint.base.Shown(), ": more than ", kMaxRedirects, " redirects"));
}

// RFC 9110 section 10.2.3; a date instead of seconds is not worth reading a clock for.
void RegistryContent::NoteRetryAfter(const HttpResponse& response) {
  if (response.status != 429 && response.status != 503) return;
  const auto seconds =
      ParseInt(response.Header("retry-after"), 0, kMaxRetryAfter.count(), "retry-after");
  if (seconds) retry_after_ = *seconds;
}

Result<> RegistryContent::AskInTurn(bool by_digest, const Visit& visit) {
  std::optional<Error> failure;
  const size_t first = preferred_;
  for (size_t i = 0; i < servers_.size(); ++i) {
    // The preferred one, then the rest in the operator's order.
    const size_t at = i == 0 ? first : i <= first ? i - 1 : i;
    Server& server = *servers_[at];
    const RegistryEndpoint& config = server.endpoint.config;
    if (by_digest ? !config.pull : !config.resolve) continue;
    auto done = LieOf(server);
    if (done) done = visit(server);
    if (done) {
      preferred_ = at;
      return Ok();
    }
    if (done.error().code() == Code::kAborted) return done;
    if (!failure || config.origin) failure = Named(server, std::move(done.error()));
  }
  if (failure) return std::move(*failure);
  return Error(Code::kFailedPrecondition,
               StrCat("registry ", reference_.domain(), ": no server is configured for this"));
}

Result<> RegistryContent::AskPatiently(bool by_digest, const Visit& visit,
                                       const std::function<bool()>& moved) {
  auto delay = retry_delay_;
  int idle = 0;
  for (int round = 0;; ++round) {
    retry_after_ = 0;
    const auto began = std::chrono::steady_clock::now();
    auto done = AskInTurn(by_digest, visit);
    if (done || done.error().code() != Code::kUnavailable) return done;
    if (moved && moved()) {
      idle = 0;
      delay = retry_delay_;
    }
    // Silence was waited for long enough already.
    const bool silent = std::chrono::steady_clock::now() - began >= stall_timeout_ && idle > 0;
    if (++idle >= kMaxRounds || round >= kMaxResumptions || silent) return done;
    std::this_thread::sleep_for(
        std::max<std::chrono::milliseconds>(delay, std::chrono::seconds(retry_after_)));
    delay *= 2;
  }
}

Result<Document> RegistryContent::GetDocument(Server& server, const std::string& name,
                                              oci::Digest::Algorithm algorithm) {
  const Want want{StrCat("manifests/", name), ManifestAccept(), oci::kMaxManifestBytes, {}};
  HttpResponse response = TRY(Ask(server, want), StrCat("manifest ", name));
  if (response.status != 200) {
    const std::string unknown = response.status == 404 ? ": manifest unknown" : "";
    return StatusError(StrCat("manifest ", reference_.Name(), " ", name, unknown), response);
  }
  const oci::Digest digest = Hash::Of(algorithm, response.body);
  Document document{std::move(response.body), response.Header("content-type"), digest};
  // One of another algorithm is not comparable; what was asked for is what counts.
  const std::string claimed = response.Header("docker-content-digest");
  if (claimed.starts_with(StrCat(digest.algorithm_name(), ":")) && claimed != digest.str()) {
    return Error(Code::kDataLoss, StrCat("manifest ", name, ": digest is ", document.digest.str(),
                                         " where the registry says ", Quote(claimed, 128)));
  }
  return document;
}

Result<Document> RegistryContent::GetRoot() {
  std::optional<Document> found;
  const auto& digest = reference_.digest();
  auto visit = [&](Server& server) -> Result<> {
    Document document =
        TRY(GetDocument(server, reference_.ManifestName(),
                        digest ? digest->algorithm() : oci::Digest::Algorithm::kSha256));
    if (digest && document.digest != *digest) {
      return Error(Code::kDataLoss,
                   StrCat("manifest ", digest->str(), ": wrong content, its digest is ",
                          document.digest.str()));
    }
    TRY(ParseDocument(
        document));  // a page that says "log in" is no manifest: the next server may have it
    found = std::move(document);
    return Ok();
  };
  TRY(AskPatiently(digest.has_value(), visit));
  return std::move(*found);
}

Result<Document> RegistryContent::GetManifest(const oci::Descriptor& descriptor) {
  std::optional<Document> found;
  auto visit = [&](Server& server) -> Result<> {
    Document document =
        TRY(GetDocument(server, descriptor.digest.ToString(), descriptor.digest.algorithm()));
    Verifier verifier(descriptor);
    TRY(verifier.Update(document.bytes), "manifest");
    TRY(verifier.Finish(), "manifest");
    TRY(ParseDocument(document));
    found = std::move(document);
    return Ok();
  };
  TRY(AskPatiently(true, visit));
  return std::move(*found);
}

Result<std::string> RegistryContent::GetBlob(const oci::Descriptor& descriptor, size_t limit) {
  if (descriptor.size > static_cast<int64_t>(limit)) {
    return Error(Code::kResourceExhausted, StrCat("blob ", descriptor.digest.str(), ": ",
                                                  descriptor.size, " bytes are more than ", limit));
  }
  std::string bytes;
  auto visit = [&](Server& server) -> Result<> {
    bytes.clear();
    Verifier verifier(descriptor);
    const Want want{StrCat("blobs/", descriptor.digest.str()), "", 0,
                    [&](std::string_view part) -> Result<> {
                      TRY(verifier.Update(part));
                      bytes += part;
                      return Ok();
                    }};
    const HttpResponse response = TRY(Ask(server, want), StrCat("blob ", descriptor.digest.str()));
    if (response.status != 200) {
      return StatusError(StrCat("blob ", descriptor.digest.str()), response);
    }
    return verifier.Finish();
  };
  TRY(AskPatiently(true, visit));
  return bytes;
}

}  // namespace berth::image::fetch

// SPDX-License-Identifier: Apache-2.0
// A repository as seen through its servers, mirrors first: manifests and blobs by the distribution
// protocol. Owned by the session of one pull; any thread.
// https://github.com/opencontainers/distribution-spec v1.1.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "image/fetch/authorizer.h"
#include "image/fetch/content.h"
#include "image/fetch_protocol.h"

namespace berth::image::fetch {

class RegistryContent final : public Content {
 public:
  static constexpr int kMaxRedirects = 10;
  static constexpr int kMaxChallenges = 2;  // per request: one for an old token, one for a new one
  // Rounds through all servers in which nothing new arrived; each waits twice as long as the one
  // before, or as long as Retry-After says, at most kMaxRetryAfter.
  static constexpr int kMaxRounds = 4;
  static constexpr std::chrono::seconds kMaxRetryAfter{30};
  static constexpr int kMaxResumptions = 100;  // of one blob

  // `system_ca` is the system's bundle (PEM). Takes the credentials; each server gets them only if
  // they are its own.
  static Result<std::unique_ptr<RegistryContent>> Make(const ResolveRequest& request,
                                                       Credentials credentials,
                                                       const std::string& system_ca);

  // What the reference names, from the first server that has it. Its digest was checked against the
  // reference and the server's own Docker-Content-Digest.
  Result<Document> GetRoot();

  // One of the signatures beside the manifest is by this key; FailedPrecondition beginning with
  // kSignaturePrefix otherwise, whatever the reason, but Unavailable while the registry cannot answer.
  // See signature.h.
  Result<> CheckSignatures(const oci::Digest& manifest, const std::string& key_pem);

  Result<Document> GetManifest(const oci::Descriptor& descriptor) override;
  Result<std::string> GetBlob(const oci::Descriptor& descriptor, size_t limit) override;
  // DataLoss after bytes of a lying server were passed on ends in kAskAgain while there is another server:
  // the one that lied is not asked again.
  Result<> StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) override;

 private:
  struct Server {
    Endpoint endpoint;
    std::unique_ptr<Authorizer> authorizer;
  };
  struct Want {
    std::string path;  // "manifests/latest", below the repository
    std::string accept;
    size_t body_limit = 0;
    BodySink sink;
    std::string range = {};  // value of the Range header
    std::function<Result<>(const HttpResponse&)> begin = {};
  };
  class Download;
  using Visit = std::function<Result<>(Server&)>;

  RegistryContent(oci::Reference reference) : reference_(std::move(reference)) {}
  // Asks the servers in turn until one succeeds; the one that succeeded last is the first next
  // time. The error is the registry's own when it was asked. Aborted ends the round: see Download.
  Result<> AskInTurn(bool by_digest, const Visit& visit);
  // What a server sent that was not what its digest said, for one that is not asked again.
  Result<> LieOf(const Server& server);
  // A mirror's error names it.
  static Error Named(const Server& server, Error error);
  // Once more when no server could answer just now, after a while. `moved` (may be empty) says
  // whether the round brought something; then the count starts anew.
  Result<> AskPatiently(bool by_digest, const Visit& visit,
                        const std::function<bool()>& moved = {});
  // One request to one server: its challenges answered, its redirects followed.
  Result<HttpResponse> Ask(Server& server, const Want& want);
  void NoteRetryAfter(const HttpResponse& response);
  Result<Url> FirstUrl(const Server& server, const std::string& path) const;
  // `algorithm`: of the document's digest.
  Result<Document> GetDocument(Server& server, const std::string& name,
                               oci::Digest::Algorithm algorithm = oci::Digest::Algorithm::kSha256);
  Result<> FindSignature(const oci::Digest& manifest, const std::string& key_pem);

  const oci::Reference reference_;
  std::chrono::milliseconds retry_delay_{250};
  std::chrono::milliseconds stall_timeout_{60'000};
  HttpClient http_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::atomic<size_t> preferred_{0};
  Guarded<std::map<const Server*, Error>> liars_;  // and what they did
  std::atomic<int64_t> retry_after_{0};            // seconds, what a server said last
};

// Where a redirect may lead: never from https to http, nor to a loopback or link-local address from
// elsewhere.
Result<Url> CheckRedirect(const Url& server, const Url& from, std::string_view location);
// The error for a status that is no success; quotes the registry's own error codes. `what` begins
// the message.
Error StatusError(std::string_view what, const HttpResponse& response);

}  // namespace berth::image::fetch

// SPDX-License-Identifier: Apache-2.0
// Layers: large, streamed, and taken up again where a transfer broke off (RFC 9110 section 14).
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "base/strings.h"
#include "image/fetch/registry.h"

namespace berth::image::fetch {

// One blob on its way, from whichever server goes on with it. What the sink has seen cannot be taken
// back: each further answer must continue there, and the digest says at the end whether it all
// belongs together.
class RegistryContent::Download {
 public:
  // `verify_to_the_end`: also when the sink has enough. It may have stopped over a lie, and then another
  // server may know better.
  Download(const oci::Descriptor& descriptor, const BodySink& sink, bool verify_to_the_end)
      : descriptor_(descriptor),
        sink_(sink),
        verify_to_the_end_(verify_to_the_end),
        verifier_(descriptor) {}

  Want Next(const Server& server) {
    server_ = &server;
    taken_ = skip_ = 0;
    asked_ = verifier_.seen();
    Want want{StrCat("blobs/", descriptor_.digest.str()),
              "",
              0,
              [this](std::string_view part) { return Take(part); },
              "",
              [this](const HttpResponse& response) { return Begin(response); }};
    if (asked_ > 0) want.range = StrCat("bytes=", asked_, "-");
    return want;
  }
  // After an answer that ended as it said it would.
  Result<> Finish(const HttpResponse& response) {
    if (response.status != 200 && response.status != 206) {
      if (response.status == 416)
        return Error(Code::kDataLoss, StrCat("blob ", descriptor_.digest.str(),
                                             ": shorter than its descriptor says"));
      return StatusError(StrCat("blob ", descriptor_.digest.str()), response);
    }
    TRY(verifier_.Finish());
    if (gone_) return gone_->Clone();
    return Ok();
  }
  // After a failure. An answer that brought nothing and one that was cut short leave all as it was: it
  // can go on elsewhere. Any other failure may have spoiled what was hashed: Aborted ends it, and
  // failure() is what it was.
  Error Judge(Error error) {
    if (gone_ && error.code() != Code::kDataLoss) error = gone_->Clone();
    const bool whole = taken_ == 0 || error.code() == Code::kUnavailable;
    if (whole && error.code() != Code::kAborted) return error;
    failure_ = Named(*server_, std::move(error));
    return Error(Code::kAborted, "");
  }
  // Who may have sent what is not the blob: mirrors rather than the registry itself.
  std::set<const Server*> Suspects() const {
    std::set<const Server*> mirrors;
    for (const Server* server : senders_)
      if (!server->endpoint.config.origin) mirrors.insert(server);
    return mirrors.empty() ? senders_ : mirrors;
  }
  std::optional<Error>& failure() { return failure_; }
  // Something arrived since the last call.
  bool Moved() { return std::exchange(last_seen_, verifier_.seen()) != verifier_.seen(); }

 private:
  Result<> Begin(const HttpResponse& response) {
    if (asked_ == 0) {
      if (response.status != 206) return CheckLength(response);
      return Error(Code::kInvalidArgument, "a partial answer that nobody asked for");
    }
    // The whole again: what was seen is passed over.
    if (response.status == 200) {
      skip_ = asked_;
      return Ok();
    }
    const std::string range = response.Header("content-range");
    const std::string right = StrCat("bytes ", asked_, "-", descriptor_.size - 1, "/");
    if (range.starts_with(right)) return Ok();
    return Error(Code::kDataLoss,
                 StrCat("blob ", descriptor_.digest.str(), ": asked for bytes from ", asked_,
                        ", got ", Quote(range, 64)));
  }
  // Another length is another blob: not a byte of it is passed on.
  Result<> CheckLength(const HttpResponse& response) const {
    const std::string length = response.Header("content-length");
    if (length.empty() || length == StrCat(descriptor_.size)) return Ok();
    const auto bytes = ParseInt(length, 0, INT64_MAX, "content-length");
    const std::string what = StrCat("blob ", descriptor_.digest.str(), ": ");
    if (bytes && *bytes > descriptor_.size)
      return Error(Code::kDataLoss,
                   StrCat(what, "longer than the ", descriptor_.size, " bytes of its descriptor"));
    return Error(Code::kDataLoss, StrCat(what, bytes ? StrCat(*bytes) : Quote(length, 32),
                                         " bytes instead of ", descriptor_.size));
  }
  Result<> Take(std::string_view part) {
    const size_t passed = static_cast<size_t>(std::min<uint64_t>(skip_, part.size()));
    skip_ -= passed;
    part.remove_prefix(passed);
    if (part.empty()) return Ok();
    taken_ += part.size();
    senders_.insert(server_);
    TRY(verifier_.Update(part));
    if (gone_) return Ok();
    auto passed_on = sink_(part);
    if (passed_on || !verify_to_the_end_ || passed_on.error().code() != Code::kAborted)
      return passed_on;
    gone_ = std::move(passed_on.error());
    return Ok();
  }

  const oci::Descriptor& descriptor_;
  const BodySink& sink_;
  const bool verify_to_the_end_;
  Verifier verifier_;
  const Server* server_ = nullptr;   // that answers now
  uint64_t taken_ = 0;               // from its answer
  std::set<const Server*> senders_;  // of all that was taken
  std::optional<Error> gone_;        // what the sink said when it had enough
  uint64_t asked_ = 0;               // where the current answer was to begin
  uint64_t skip_ = 0;
  uint64_t last_seen_ = 0;
  std::optional<Error> failure_;
};

Error RegistryContent::Named(const Server& server, Error error) {
  if (server.endpoint.config.origin) return error;
  return std::move(error).Wrap(StrCat("mirror ", server.endpoint.base.Shown()));
}

Result<> RegistryContent::LieOf(const Server& server) {
  auto liars = liars_.Lock();
  const auto found = liars->find(&server);
  if (found == liars->end()) return Ok();
  return found->second.Clone();
}

Result<> RegistryContent::StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) {
  const auto usable = std::count_if(servers_.begin(), servers_.end(), [&](const auto& server) {
    return server->endpoint.config.pull && LieOf(*server);
  });
  Download download(descriptor, sink, usable > 1);
  auto transfer = [&](Server& server) -> Result<> {
    const Want want = download.Next(server);
    return download.Finish(TRY(Ask(server, want), StrCat("blob ", descriptor.digest.str())));
  };
  auto visit = [&](Server& server) -> Result<> {
    auto done = transfer(server);
    if (!done) return download.Judge(std::move(done.error()));
    return done;
  };
  auto done = AskPatiently(true, visit, [&] { return download.Moved(); });
  if (done || !download.failure()) return done;
  Error failure = std::move(*download.failure());
  if (failure.code() != Code::kDataLoss || usable < 2) return failure;
  auto liars = liars_.Lock();
  for (const Server* server : download.Suspects()) liars->emplace(server, failure.Clone());
  return Error(Code::kDataLoss, StrCat(failure.message(), kAskAgain));
}

}  // namespace berth::image::fetch

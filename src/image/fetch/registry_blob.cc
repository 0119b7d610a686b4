// SPDX-License-Identifier: Apache-2.0
// Layers: large, streamed, and taken up again where a transfer broke off (RFC 9110 section 14).
#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "image/fetch/registry.h"

namespace berth::image::fetch {

// One blob on its way, from whichever server goes on with it. What the sink has seen cannot be taken
// back: each further answer must continue there, and the digest says at the end whether it all
// belongs together.
class RegistryContent::Download {
 public:
  Download(const oci::Descriptor& descriptor, const BodySink& sink)
      : descriptor_(descriptor), sink_(sink), verifier_(descriptor) {}

  Want Next() {
    skip_ = 0;
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
    return verifier_.Finish();
  }
  // After a failure with something seen: only a transfer that was cut short can go on elsewhere. Any
  // other failure may have spoiled what was hashed: Aborted ends it, and failure() is what it was.
  Error Judge(Error error) {
    if (verifier_.seen() == 0 || error.code() == Code::kUnavailable) return error;
    failure_ = std::move(error);
    return Error(Code::kAborted, "");
  }
  std::optional<Error>& failure() { return failure_; }
  // Something arrived since the last call.
  bool Moved() { return std::exchange(last_seen_, verifier_.seen()) != verifier_.seen(); }

 private:
  Result<> Begin(const HttpResponse& response) {
    if (asked_ == 0) {
      if (response.status != 206) return Ok();
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
  Result<> Take(std::string_view part) {
    const size_t passed = static_cast<size_t>(std::min<uint64_t>(skip_, part.size()));
    skip_ -= passed;
    part.remove_prefix(passed);
    if (part.empty()) return Ok();
    TRY(verifier_.Update(part));
    return sink_(part);
  }

  const oci::Descriptor& descriptor_;
  const BodySink& sink_;
  Verifier verifier_;
  uint64_t asked_ = 0;  // where the current answer was to begin
  uint64_t skip_ = 0;
  uint64_t last_seen_ = 0;
  std::optional<Error> failure_;
};

Result<> RegistryContent::StreamBlob(const oci::Descriptor& descriptor, const BodySink& sink) {
  Download download(descriptor, sink);
  auto transfer = [&](Server& server) -> Result<> {
    const Want want = download.Next();
    return download.Finish(TRY(Ask(server, want), StrCat("blob ", descriptor.digest.str())));
  };
  auto visit = [&](Server& server) -> Result<> {
    auto done = transfer(server);
    if (!done) return download.Judge(std::move(done.error()));
    return done;
  };
  auto done = AskPatiently(true, visit, [&] { return download.Moved(); });
  if (!done && download.failure()) return std::move(*download.failure());
  return done;
}

}  // namespace berth::image::fetch

// SPDX-License-Identifier: Apache-2.0
// What one pull does: layers in parallel, then the image's record.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "image/early_flush.h"
#include "image/image_store.h"

namespace berth::image {

namespace {

Error Cancelled() { return Error(Code::kCancelled, "the pull was cancelled"); }

// An error that explains is better than one that only follows from it.
bool IsConsequence(Code code) { return code == Code::kCancelled || code == Code::kAborted; }

// The registry: what stands before the first slash of a canonical name.
std::string SourceName(const RemoteImage& image) {
  if (image.digests.empty()) return {};
  return image.digests.front().substr(0, image.digests.front().find('/'));
}

// Of one layer, from one server after the other that sends something else.
constexpr int kMaxTries = 8;

}  // namespace

class ImageStore::Lease {
 public:
  Lease(Guarded<State>& state, const RemoteImage& image) : state_(state) {
    auto locked = state_.Lock();
    for (const RemoteLayer& layer : image.layers) {
      ids_.emplace_back(layer.diff_id.hex());
      ++locked->leases[ids_.back()];
    }
  }
  ~Lease() {
    auto locked = state_.Lock();
    for (const std::string& id : ids_)
      if (--locked->leases[id] == 0) locked->leases.erase(id);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  Guarded<State>& state_;
  std::vector<std::string> ids_;
};

Result<std::vector<std::string>> ImageStore::Import(os::Fd source, const std::string& name) {
  PullProgress progress;
  return FetchAll(LocalSource{std::move(source), name}, {}, progress);
}

Result<std::vector<std::string>> ImageStore::FetchAll(RemoteSource source, std::stop_token stop,
                                                      PullProgress& progress) {
  const std::unique_ptr<FetchSession> session = TRY(fetcher_.Open(std::move(source)));
  const PullProgress::Following following(progress, *session);
  const std::stop_callback cancel(stop, [&session] { session->Cancel(); });
  const std::vector<RemoteImage> images = TRY(session->Resolve());
  std::vector<std::string> ids;
  for (size_t i = 0; i < images.size(); ++i) {
    TRY(AddImage(*session, i, images[i], stop, progress));
    ids.push_back(images[i].config_digest.ToString());
  }
  return ids;
}

Result<> ImageStore::AddImage(FetchSession& session, size_t index, const RemoteImage& remote,
                              std::stop_token stop, PullProgress& progress) {
  ImageRecord record;
  record.id = remote.config_digest.ToString();
  record.config_json = remote.config_json;
  record.process = remote.process;
  record.labels = remote.labels;
  for (const RemoteLayer& layer : remote.layers) record.layers.emplace_back(layer.diff_id.hex());
  // From here on no removal takes a layer that is found to be there.
  const Lease lease(state_, remote);
  const std::vector<LayerFlights::Staged> staged =
      TRY(FetchLayers(session, index, remote, stop, progress));
  if (stop.stop_requested()) return Cancelled();
  return Commit(remote, record, staged);
}

Result<> ImageStore::Commit(const RemoteImage& remote, const ImageRecord& record,
                            const std::vector<LayerFlights::Staged>& staged) {
  const std::lock_guard commit(commit_);
  // Another pull may have published layers that this one shares with it.
  std::vector<LayerFlights::Staged> news;
  std::vector<LayerRecord> layers;
  for (const LayerFlights::Staged& layer : staged) {
    if (TRY(state_.Lock()->records.HasLayer(layer->result.diff_id))) continue;
    news.push_back(layer);
    layers.push_back({layer->result.diff_id, layer->result});
  }
  const uint64_t room = TRY(Room());
  uint64_t bytes = 0;
  for (const LayerRecord& layer : layers) bytes += layer.result.bytes;
  if (bytes > room)
    return Error(Code::kResourceExhausted, StrCat("its new layers have ", bytes,
                                                  " bytes, the image store has room for ", room));
  TRY(layers_.Publish(news));
  auto state = state_.Lock();
  Result<> done =
      FAIL_STEP("image.commit", state->records.Commit(record, layers, remote.tags, remote.digests));
  if (done) return Ok();
  for (const LayerRecord& layer : layers) {
    Result<> removed = layers_.Remove(layer.diff_id);
    if (!removed) LogWarn(removed.error().message());
  }
  return done;
}

Result<std::set<size_t>> ImageStore::MissingLayers(const RemoteImage& remote,
                                                   const std::vector<size_t>& wanted) {
  auto state = state_.Lock();
  std::set<size_t> missing;
  for (size_t i : wanted)
    if (!TRY(state->records.HasLayer(std::string(remote.layers[i].diff_id.hex()))))
      missing.insert(i);
  return missing;
}

Result<std::vector<LayerFlights::Staged>> ImageStore::FetchLayers(FetchSession& session,
                                                                  size_t index,
                                                                  const RemoteImage& remote,
                                                                  std::stop_token stop,
                                                                  PullProgress& progress) {
  // The same layer can stand in an image twice.
  std::vector<size_t> wanted;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < remote.layers.size(); ++i)
    if (seen.insert(remote.layers[i].diff_id.hex()).second) wanted.push_back(i);

  progress.layers += wanted.size();
  const std::set<size_t> missing = TRY(MissingLayers(remote, wanted));
  for (size_t i : missing) progress.total_bytes += remote.layers[i].size;
  const EarlyFlush flush(layers_.containers().get(), flushing_,
                         [&session] { return session.received(); });
  const std::string source = SourceName(remote);
  std::mutex mutex;
  std::vector<LayerFlights::Staged> staged;
  std::optional<Error> failure;
  std::stop_source all;  // one layer's failure ends the others
  const std::stop_callback chain(stop, [&all] { all.request_stop(); });
  const std::stop_callback cancel(all.get_token(), [&session] { session.Cancel(); });
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < wanted.size(); i = next++) {
      const RemoteLayer& layer = remote.layers[wanted[i]];
      const std::string id(layer.diff_id.hex());
      bool ours = false;
      Result<LayerFlights::Staged> got = flights_.Get(
          {id, source}, all.get_token(), [&] { return state_.Lock()->records.HasLayer(id); },
          [&] {
            ours = true;
            return FetchLayer(session, index, wanted[i], layer);
          });
      if (got) {
        ++progress.layers_done;
        if (!ours && missing.contains(wanted[i])) progress.total_bytes -= layer.size;
        const std::lock_guard lock(mutex);
        if (*got) staged.push_back(std::move(*got));
        continue;
      }
      {
        const std::lock_guard lock(mutex);
        if (!failure || (IsConsequence(failure->code()) && !IsConsequence(got.error().code())))
          failure = std::move(got.error());
      }
      all.request_stop();
      return;
    }
  };
  const size_t most = std::min(std::max<size_t>(options_.parallel_layers, 1), wanted.size());
  std::vector<std::thread> threads;
  try {
    while (threads.size() + 1 < most) threads.emplace_back(work);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
    // Fewer threads take longer; this one always works.
  }
  work();
  for (std::thread& thread : threads) thread.join();
  if (stop.stop_requested()) return Cancelled();
  if (failure) return std::move(*failure);
  return staged;
}

Result<LayerFlights::Staged> ImageStore::FetchLayer(FetchSession& session, size_t index,
                                                    size_t layer, const RemoteLayer& remote) {
  const std::string what = StrCat("layer ", remote.digest.str());
  for (int tries = 1;; ++tries) {
    LayerBudget budget = options_.budget;
    budget.bytes = std::min(budget.bytes, TRY(Room(), what));
    LayerFlights::Staged staged = TRY(layers_.Stage(), what);
    os::Pipe pipe = TRY(os::MakePipe());
    // Larger than the default: fewer switches between the two processes. Refused for some users; then
    // it stays as it is.
    (void)::fcntl(pipe.write.get(), F_SETPIPE_SZ, 1 << 20);
    std::unique_ptr<RunningUnpack> unpack =
        TRY(FAIL_STEP("layer.unpack", unpacker_.Start(staged->fs(), std::move(pipe.read), budget)),
            what);
    Result<> fetched = session.FetchLayer(index, layer, std::move(pipe.write));
    if (!fetched && fetched.error().code() == Code::kDataLoss && tries < kMaxTries &&
        fetched.error().message().ends_with(kAskAgain)) {
      LogWarn(StrCat(what, ": ", fetched.error().message()));
      continue;
    }
    // Aborted: the unpacker stopped reading, and knows why.
    if (!fetched && fetched.error().code() != Code::kAborted)
      return std::move(fetched.error()).Wrap(what);
    Result<LayerResult> result = FAIL_STEP("layer.unpacked", unpack->Wait());
    if (!result) return std::move(result.error()).Wrap(what);
    if (!fetched) return std::move(fetched.error()).Wrap(what);
    if (result->diff_id != remote.diff_id.hex())
      return Error(Code::kDataLoss, StrCat(what, ": its diff_id is sha256:", result->diff_id,
                                           ", the image says ", remote.diff_id.str()));
    staged->result = std::move(*result);
    return staged;
  }
}

}  // namespace berth::image

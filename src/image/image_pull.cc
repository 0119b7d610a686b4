// SPDX-License-Identifier: Apache-2.0
// ImageStore's pulls: joining them, layers in parallel, committing an image.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "base/wire.h"
#include "image/image_store.h"
#include "oci/reference.h"

namespace berth::image {

namespace {

// A pull may be joined only by one that would have made the very same requests.
std::string JobKey(const oci::Reference& reference, const Credentials& c) {
  wire::Writer key;
  for (const std::string& text : {reference.str(), c.username, c.password, c.auth, c.server_address,
                                  c.identity_token, c.registry_token})
    key.Text(text);
  return key.Take();
}

Result<std::string> Copy(const Result<std::string>& result) {
  if (!result) return result.error().Clone();
  return *result;
}

Error Cancelled() { return Error(Code::kCancelled, "the pull was cancelled"); }

// An error that explains is better than one that only follows from it.
bool IsConsequence(Code code) { return code == Code::kCancelled || code == Code::kAborted; }

}  // namespace

struct ImageStore::Job {
  std::stop_source stop;
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  std::optional<Result<std::string>> result;
  std::thread thread;  // joined by ReapJobs
};

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

ImageStore::~ImageStore() {
  std::list<std::shared_ptr<Job>> all;
  {
    auto jobs = jobs_.Lock();
    all.swap(jobs->all);
  }
  for (const std::shared_ptr<Job>& job : all) job->stop.request_stop();
  for (const std::shared_ptr<Job>& job : all) job->thread.join();
}

void ImageStore::ReapJobs() {
  std::list<std::shared_ptr<Job>> over;
  {
    auto jobs = jobs_.Lock();
    for (auto at = jobs->all.begin(); at != jobs->all.end();) {
      auto next = std::next(at);
      const std::lock_guard lock((*at)->mutex);
      if ((*at)->result) over.splice(over.end(), jobs->all, at);
      at = next;
    }
  }
  for (const std::shared_ptr<Job>& job : over) job->thread.join();
}

Result<std::shared_ptr<ImageStore::Job>> ImageStore::JoinOrStart(const oci::Reference& reference,
                                                                 const PullRequest& request) {
  const std::string key = JobKey(reference, request.credentials);
  auto jobs = jobs_.Lock();
  const auto at = jobs->joinable.find(key);
  if (at != jobs->joinable.end()) {
    const std::lock_guard lock(at->second->mutex);
    ++at->second->waiting;
    return at->second;
  }
  auto job = std::make_shared<Job>();
  job->waiting = 1;
  RegistrySource source{reference, request.credentials};
  try {
    job->thread =
        std::thread([this, job, key, source]() mutable { RunJob(job, key, std::move(source)); });
  } catch (const std::exception& e) {
    return Error(Code::kResourceExhausted, StrCat("start thread: ", e.what()));
  }
  jobs->joinable[key] = job;
  jobs->all.push_back(job);
  return job;
}

void ImageStore::RunJob(const std::shared_ptr<Job>& job, const std::string& key,
                        RegistrySource source) {
  const std::string name = source.reference.str();
  Result<std::vector<std::string>> ids = FetchAll(std::move(source), job->stop.get_token());
  Result<std::string> result = [&]() -> Result<std::string> {
    if (!ids) return std::move(ids.error()).Wrap(StrCat("pull ", name));
    if (ids->empty()) return Error(Code::kInternal, StrCat("pull ", name, ": nothing came"));
    return ids->front();
  }();
  {
    auto jobs = jobs_.Lock();
    const auto at = jobs->joinable.find(key);
    if (at != jobs->joinable.end() && at->second == job) jobs->joinable.erase(at);
  }
  const std::lock_guard lock(job->mutex);
  job->result = std::move(result);
  job->changed.notify_all();
}

Result<std::string> ImageStore::Pull(const PullRequest& request) {
  ReapJobs();
  if (oci::LooksLikeImageId(request.reference))
    return Error(Code::kInvalidArgument,
                 StrCat("pull ", Quote(request.reference), ": an image id names no registry"));
  const oci::Reference reference = TRY(oci::Reference::Parse(request.reference), "pull");
  if (request.cancel.stop_requested()) return Cancelled();
  const std::shared_ptr<Job> job = TRY(JoinOrStart(reference, request), "pull");
  const std::stop_callback wake(request.cancel, [&job] {
    const std::lock_guard lock(job->mutex);
    job->changed.notify_all();
  });
  bool last = false;
  {
    std::unique_lock lock(job->mutex);
    job->changed.wait(lock, [&] { return job->result || request.cancel.stop_requested(); });
    last = --job->waiting == 0;
    if (job->result) return Copy(*job->result);
  }
  if (last) {
    auto jobs = jobs_.Lock();
    const std::lock_guard lock(job->mutex);
    // Somebody may have joined in between.
    if (job->waiting == 0) {
      std::erase_if(jobs->joinable, [&](const auto& entry) { return entry.second == job; });
      job->stop.request_stop();
    }
  }
  return Cancelled();
}

Result<std::vector<std::string>> ImageStore::Import(os::Fd source, const std::string& name) {
  return FetchAll(LocalSource{std::move(source), name}, {});
}

Result<std::vector<std::string>> ImageStore::FetchAll(RemoteSource source, std::stop_token stop) {
  const std::unique_ptr<FetchSession> session = TRY(fetcher_.Open(std::move(source)));
  const std::stop_callback cancel(stop, [&session] { session->Cancel(); });
  const std::vector<RemoteImage> images = TRY(session->Resolve());
  std::vector<std::string> ids;
  for (size_t i = 0; i < images.size(); ++i) {
    TRY(AddImage(*session, i, images[i], stop));
    ids.push_back(images[i].config_digest.ToString());
  }
  return ids;
}

Result<> ImageStore::AddImage(FetchSession& session, size_t index, const RemoteImage& remote,
                              std::stop_token stop) {
  ImageRecord record;
  record.id = remote.config_digest.ToString();
  record.config_json = remote.config_json;
  record.process = remote.process;
  record.labels = remote.labels;
  for (const RemoteLayer& layer : remote.layers) record.layers.emplace_back(layer.diff_id.hex());
  // From here on no removal takes a layer that is found to be there.
  const Lease lease(state_, remote);
  const std::vector<LayerFlights::Staged> staged = TRY(FetchLayers(session, index, remote, stop));
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
  TRY(layers_.Publish(news));
  auto state = state_.Lock();
  Result<> done = state->records.Commit(record, layers, remote.tags, remote.digests);
  if (done) return Ok();
  for (const LayerRecord& layer : layers) {
    Result<> removed = layers_.Remove(layer.diff_id);
    if (!removed) LogWarn(removed.error().message());
  }
  return done;
}

Result<std::vector<LayerFlights::Staged>> ImageStore::FetchLayers(FetchSession& session,
                                                                  size_t index,
                                                                  const RemoteImage& remote,
                                                                  std::stop_token stop) {
  // The same layer can stand in an image twice.
  std::vector<size_t> wanted;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < remote.layers.size(); ++i)
    if (seen.insert(remote.layers[i].diff_id.hex()).second) wanted.push_back(i);

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
      Result<LayerFlights::Staged> got = flights_.Get(
          id, all.get_token(), [&] { return state_.Lock()->records.HasLayer(id); },
          [&] { return FetchLayer(session, index, wanted[i], layer); });
      if (got) {
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
  LayerFlights::Staged staged = TRY(layers_.Stage(), what);
  os::Pipe pipe = TRY(os::MakePipe());
  // Larger than the default: fewer switches between the two processes. Refused for some users; then
  // it stays as it is.
  (void)::fcntl(pipe.write.get(), F_SETPIPE_SZ, 1 << 20);
  std::unique_ptr<RunningUnpack> unpack =
      TRY(unpacker_.Start(staged->fs(), std::move(pipe.read), options_.budget), what);
  Result<> fetched = session.FetchLayer(index, layer, std::move(pipe.write));
  // Aborted: the unpacker stopped reading, and knows why.
  if (!fetched && fetched.error().code() != Code::kAborted)
    return std::move(fetched.error()).Wrap(what);
  Result<LayerResult> result = unpack->Wait();
  if (!result) return std::move(result.error()).Wrap(what);
  if (!fetched) return std::move(fetched.error()).Wrap(what);
  if (result->diff_id != remote.diff_id.hex())
    return Error(Code::kDataLoss, StrCat(what, ": its diff_id is sha256:", result->diff_id,
                                         ", the image says ", remote.diff_id.str()));
  staged->result = std::move(*result);
  return staged;
}

}  // namespace berth::image

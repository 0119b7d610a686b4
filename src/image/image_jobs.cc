// SPDX-License-Identifier: Apache-2.0
// ImageStore's pulls as jobs: joined by whoever asks for the same, cancelled with the last that
// waits.
#include <algorithm>
#include <cstdio>
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
std::string JobKey(const oci::Reference& reference, const Credentials& c,
                   const std::string& fingerprint) {
  wire::Writer key;
  for (const std::string& text : {reference.str(), c.username, c.password, c.auth, c.server_address,
                                  c.identity_token, c.registry_token, fingerprint})
    key.Text(text);
  return key.Take();
}

Result<std::string> Copy(const Result<std::string>& result) {
  if (!result) return result.error().Clone();
  return *result;
}

Error Cancelled() { return Error(Code::kCancelled, "the pull was cancelled"); }

}  // namespace

struct ImageStore::Job {
  std::string reference;
  std::string fingerprint;  // of the key that signed the image; "": no key is asked for
  PullProgress progress;
  std::stop_source stop;
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  std::optional<Result<std::string>> result;
  std::chrono::steady_clock::time_point logged = std::chrono::steady_clock::now();
  bool ended = false;  // counted in Jobs::ended; guarded by jobs_
  std::thread thread;  // joined by ReapJobs
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
                                                                 const PullRequest& request,
                                                                 const SignatureRule& rule) {
  const std::string key = JobKey(reference, request.credentials, rule.fingerprint);
  auto jobs = jobs_.Lock();
  const auto at = jobs->joinable.find(key);
  if (at != jobs->joinable.end()) {
    const std::lock_guard lock(at->second->mutex);
    ++at->second->waiting;
    return at->second;
  }
  auto job = std::make_shared<Job>();
  job->waiting = 1;
  job->reference = reference.str();
  RegistrySource source{reference, request.credentials, rule.key_pem};
  job->fingerprint = rule.fingerprint;
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

// With the job's mutex held.
PullStatus ImageStore::StatusOf(const Job& job) {
  return {.reference = job.reference,
          .seconds = static_cast<int64_t>(job.progress.seconds()),
          .waiting = job.waiting,
          .received_bytes = job.progress.received(),
          .total_bytes = job.progress.total_bytes,
          .layers_done = job.progress.layers_done,
          .layers = job.progress.layers};
}

std::vector<PullStatus> ImageStore::Pulls() {
  std::vector<PullStatus> running;
  auto jobs = jobs_.Lock();
  for (const std::shared_ptr<Job>& job : jobs->all) {
    const std::lock_guard lock(job->mutex);
    if (!job->result) running.push_back(StatusOf(*job));
  }
  return running;
}

PullTotals ImageStore::Totals() {
  auto jobs = jobs_.Lock();
  PullTotals totals = jobs->ended;
  for (const std::shared_ptr<Job>& job : jobs->all)
    if (!job->ended) totals.received_bytes += job->progress.received();
  return totals;
}

std::string PullLine(const PullStatus& pull) {
  return StrCat(pull.reference, ": ", pull.layers_done, "/", pull.layers, " layers, ",
                pull.received_bytes, " of ", pull.total_bytes, " bytes, ", pull.seconds, " s, ",
                pull.waiting, pull.waiting == 1 ? " caller" : " callers");
}

void ImageStore::LogPull(const std::string& name, PullProgress& progress, bool good) {
  char seconds[32];
  (void)std::snprintf(seconds, sizeof seconds, "%.1f", progress.seconds());
  LogInfo(StrCat("pull ", name, good ? ": done in " : ": failed after ", seconds, " s, ",
                 progress.layers_done.load(), " of ", progress.layers.load(), " layers, ",
                 progress.received(), " bytes received"));
}

void ImageStore::RunJob(const std::shared_ptr<Job>& job, const std::string& key,
                        RegistrySource source) {
  const oci::Reference reference = source.reference;
  const std::string name = reference.str();
  Result<std::vector<std::string>> ids =
      FetchAll(std::move(source), job->stop.get_token(), job->progress);
  LogPull(name, job->progress, ids.has_value());
  Result<std::string> result = [&]() -> Result<std::string> {
    if (!ids) return std::move(ids.error()).Wrap(StrCat("pull ", name));
    if (ids->empty()) return Error(Code::kInternal, StrCat("pull ", name, ": nothing came"));
    TRY(RecordSignature(ids->front(), reference, job->fingerprint), StrCat("pull ", name));
    return ids->front();
  }();
  EndJob(job, key, std::move(result));
}

void ImageStore::EndJob(const std::shared_ptr<Job>& job, const std::string& key,
                        Result<std::string> result) {
  {
    auto jobs = jobs_.Lock();
    const auto at = jobs->joinable.find(key);
    if (at != jobs->joinable.end() && at->second == job) jobs->joinable.erase(at);
    uint64_t& count = result                                      ? jobs->ended.done
                      : result.error().code() == Code::kCancelled ? jobs->ended.cancelled
                                                                  : jobs->ended.failed;
    ++count;
    jobs->ended.received_bytes += job->progress.received();
    job->ended = true;
  }
  const std::lock_guard lock(job->mutex);
  job->result = std::move(result);
  job->changed.notify_all();
}

// Until it has ended or its caller has gone. Whoever waits says now and then how far it is.
void ImageStore::WaitForJob(Job& job, const std::stop_token& cancel,
                            std::unique_lock<std::mutex>& lock) const {
  const auto over = [&] { return job.result || cancel.stop_requested(); };
  while (!job.changed.wait_for(lock, options_.progress_period, over)) {
    const auto now = std::chrono::steady_clock::now();
    if (now - job.logged < options_.progress_period) continue;  // another caller has said it
    job.logged = now;
    LogInfo(StrCat("pull ", PullLine(StatusOf(job))));
  }
}

Result<std::string> ImageStore::Pull(const PullRequest& request) {
  ReapJobs();
  if (oci::LooksLikeImageId(request.reference))
    return Error(Code::kInvalidArgument,
                 StrCat("pull ", Quote(request.reference), ": an image id names no registry"));
  const oci::Reference reference = TRY(oci::Reference::Parse(request.reference), "pull");
  if (request.cancel.stop_requested()) return Cancelled();
  const SignatureRule rule = TRY(RuleFor(reference), "pull");
  const std::shared_ptr<Job> job = TRY(JoinOrStart(reference, request, rule), "pull");
  const std::stop_callback wake(request.cancel, [&job] {
    const std::lock_guard lock(job->mutex);
    job->changed.notify_all();
  });
  bool last = false;
  {
    std::unique_lock lock(job->mutex);
    WaitForJob(*job, request.cancel, lock);
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

}  // namespace berth::image

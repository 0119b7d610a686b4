// SPDX-License-Identifier: Apache-2.0
// Images on disk: pulls them through a Fetcher and an Unpacker, keeps them, gives containers their
// root file systems. Owned by the daemon; any thread. Its destructor cancels the pulls that run and
// waits for them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "image/fetcher.h"
#include "image/image_records.h"
#include "image/images.h"
#include "image/layer_flights.h"
#include "image/layer_store.h"
#include "image/maintenance.h"
#include "image/pull_progress.h"
#include "image/rootfs_usage.h"
#include "image/signature_policy.h"
#include "image/unpacker.h"

namespace berth::image {

struct ImageStoreOptions {
  std::string root;  // absolute; made with 0700 if missing. The tree is drawn in layer_store.h.
  size_t parallel_layers = 3;  // of one pull
  LayerBudget budget = {};     // of one layer
  // Never to be collected: ids, names as users write them, or patterns with * ? [ over the canonical
  // name.
  std::vector<std::string> pinned = {};
  uint64_t max_bytes = 0;  // of all layers together; 0: no limit
  // Absolute path of the signature policy, see signature_policy.h; read anew for each pull and each new
  // container. "": everything is accepted.
  std::string signature_policy = {};
  // How often the log says how far a pull is.
  std::chrono::milliseconds progress_period{10'000};
};

class ImageStore final : public Images, public Maintenance {
 public:
  // Puts right what a crash left: removes layers without a record, forgets records of layers
  // without a directory (their images are neither found nor listed until a pull makes them whole
  // again; names, and what containers use, stay). `fetcher` and
  // `unpacker` must outlive the store.
  static Result<std::unique_ptr<ImageStore>> Open(ImageStoreOptions options, Fetcher& fetcher,
                                                  Unpacker& unpacker);
  ~ImageStore() override;

  Result<std::string> Pull(const PullRequest& request) override;
  Result<std::optional<FoundImage>> Find(const std::string& reference) override;
  Result<std::vector<ImageInfo>> List() override;
  Result<> Remove(const std::string& reference) override;
  Result<StoreUsage> FsInfo() override;
  std::vector<PullStatus> Pulls() override;
  PullTotals Totals() override;
  Result<std::vector<std::string>> Import(os::Fd source, const std::string& name) override;
  Result<ResolvedUser> ResolveUser(const std::string& image_id, const UserQuery& query) override;
  Result<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id,
                               const std::optional<IdShift>& shift = std::nullopt) override;
  Result<> TryIdShift(int user_ns) override;
  Result<ImageVolume> PrepareVolume(const VolumeRequest& request) override;
  Result<> RemoveRootfs(const std::string& container_id) override;
  Result<std::map<std::string, RootfsUsage>> RootfsUsages(
      const std::vector<std::string>& container_ids) override;
  Result<std::vector<std::string>> ListRootfs() override;
  Result<std::vector<LayerCheck>> Verify(const std::string& reference, bool heal) override;

 private:
  struct State {
    explicit State(ImageRecords r) : records(std::move(r)) {}
    ImageRecords records;
    // Layers that pulls in progress count on, with how many do.
    std::map<std::string, int> leases;
    std::set<std::string> LeasedLayers() const;
  };
  // Holds an image's layers for one pull.
  class Lease;
  // One pull that any number of callers wait for.
  struct Job;
  struct Jobs {
    std::map<std::string, std::shared_ptr<Job>> joinable;
    std::list<std::shared_ptr<Job>> all;
    PullTotals ended;
  };

  ImageStore(ImageStoreOptions options, ImageRecords records, LayerStore layers, Fetcher& fetcher,
             Unpacker& unpacker);
  Result<> Repair();
  // image_uses.cc: what a container has of which image, kept beside its files, should the records be lost.
  static Result<> NoteUse(const os::DirFd& container, const std::string& use);
  Result<> RestoreUses(State& state);

  // image_jobs.cc
  Result<std::shared_ptr<Job>> JoinOrStart(const oci::Reference& reference,
                                           const PullRequest& request, const SignatureRule& rule);
  void RunJob(const std::shared_ptr<Job>& job, const std::string& key, RegistrySource source);
  void EndJob(const std::shared_ptr<Job>& job, const std::string& key, Result<std::string> result);
  void WaitForJob(Job& job, const std::stop_token& cancel,
                  std::unique_lock<std::mutex>& lock) const;
  static PullStatus StatusOf(const Job& job);
  static void LogPull(const std::string& name, PullProgress& progress, bool good);
  void ReapJobs();

  // image_pull.cc
  Result<std::vector<std::string>> FetchAll(RemoteSource source, std::stop_token stop,
                                            PullProgress& progress);
  Result<> AddImage(FetchSession& session, size_t index, const RemoteImage& remote,
                    std::stop_token stop, PullProgress& progress);
  Result<std::vector<LayerFlights::Staged>> FetchLayers(FetchSession& session, size_t index,
                                                        const RemoteImage& remote,
                                                        std::stop_token stop,
                                                        PullProgress& progress);
  // Which of these layers are not there already.
  Result<std::set<size_t>> MissingLayers(const RemoteImage& remote,
                                         const std::vector<size_t>& wanted);
  Result<LayerFlights::Staged> FetchLayer(FetchSession& session, size_t index, size_t layer,
                                          const RemoteLayer& remote);
  Result<> Commit(const RemoteImage& remote, const ImageRecord& record,
                  const std::vector<LayerFlights::Staged>& staged);
  // Remembers by which key the image was found to be signed when it was pulled as this.
  Result<> RecordSignature(const std::string& id, const oci::Reference& reference,
                           const std::string& fingerprint);

  // image_store.cc
  Result<std::optional<std::string>> IdOf(State& state, const std::string& reference);
  bool IsPinned(const ImageInfo& info) const;
  // What may still be added to the store; ResourceExhausted when it is full.
  Result<uint64_t> Room();
  Result<bool> ContainersLieApart() const;
  void DiscardLayers(const std::vector<std::string>& unused);

  // image_verify.cc
  Result<LayerCheck> CheckLayer(const std::string& diff_id);
  void Heal(LayerCheck& check);
  Result<> FetchAgain(const std::string& diff_id);
  static Result<std::string> SourceOf(State& state, const std::string& diff_id);

  // image_signatures.cc
  Result<SignaturePolicy> Policy() const;
  // The rule that a pull of `reference` is under; FailedPrecondition when it rejects.
  Result<SignatureRule> RuleFor(const oci::Reference& reference) const;
  // At the start of a container: some name of the image is let in by the policy as it is now.
  Result<> CheckPolicy(State& state, const ImageRecord& image) const;

  // image_rootfs.cc
  Result<ImageRecord> ImageFor(const std::string& image_id);
  // Base first, each layer once.
  Result<std::vector<LayerRecord>> LayerRecords(const std::vector<std::string>& diff_ids);
  Result<std::vector<os::DirFd>> Lowers(const LayerStore::Images& images, os::DirFd top,
                                        const std::vector<LayerRecord>& layers);
  Result<os::DirFd> PrepareTop(const os::DirFd& dir, const std::string& name,
                               const std::vector<LayerRecord>& layers,
                               const std::optional<IdShift>& shift);

  const ImageStoreOptions options_;
  const LayerStore layers_;
  const SystemClock clock_;
  RootfsUsageMeter rootfs_usage_{layers_.containers(), clock_};
  Fetcher& fetcher_;
  Unpacker& unpacker_;
  Guarded<State> state_;
  LayerFlights flights_;
  // Publishing and recording layers is one step against another pull's and against removal.
  std::mutex commit_;
  std::mutex flushing_;  // held by the pull that writes to disk early
  Guarded<Jobs> jobs_;
  Guarded<std::map<std::string, ResolvedUser>> users_;  // by image id and query
};

}  // namespace berth::image

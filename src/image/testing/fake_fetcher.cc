// SPDX-License-Identifier: Apache-2.0
#include "image/testing/fake_fetcher.h"

#include <algorithm>
#include <condition_variable>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "image/hash.h"
#include "os/dir_fd.h"

namespace berth::image {

namespace {

struct Failure {
  Code code;
  std::string message;
};

// A stand-in for the config document: different for different images, so that ids differ.
std::string ConfigText(const FakeImage& image) {
  std::string text = "{\"fake\":true";
  for (const FakeLayer& layer : image.layers) {
    text += StrCat(",\"", Sha256::Of(layer.tar.empty() ? layer.blob : layer.tar).str(), "\":1");
  }
  for (const auto& [key, value] : image.labels) text += StrCat(",\"", key, "\":\"", value, "\"");
  return text + StrCat(",\"User\":\"", image.process.user, "\"}");
}

RemoteImage Describe(const FakeImage& image) {
  const std::string config = ConfigText(image);
  RemoteImage out{Sha256::Of(config), {}, {}, config, image.process, image.labels, {}};
  for (const FakeLayer& layer : image.layers) {
    out.layers.push_back({Sha256::Of(layer.blob),
                          Sha256::Of(layer.tar.empty() ? layer.blob : layer.tar), layer.blob.size(),
                          layer.compression});
  }
  return out;
}

void AddNames(RemoteImage& out, const oci::Reference& reference) {
  if (auto tag = reference.TagForm(); tag && !reference.digest()) out.tags.push_back(*tag);
  // The manifest has no bytes here; a digest in the reference is taken at its word.
  const oci::Digest manifest =
      reference.digest().value_or(Sha256::Of(StrCat("manifest of ", out.config_json)));
  out.digests.push_back(reference.DigestForm(manifest));
}

// The image, which was added under `name`, is the one that `reference` names by digest.
bool Answers(const std::string& name, const FakeImage& image, const oci::Reference& reference) {
  const auto known = oci::Reference::Parse(name);
  return known && known->Name() == reference.Name() &&
         Sha256::Of(StrCat("manifest of ", ConfigText(image))) == *reference.digest();
}

}  // namespace

struct FakeFetcher::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, FakeImage> images;
  std::vector<std::pair<std::string, FakeImage>> local;
  std::map<std::string, std::string> keys;  // that signed, by reference
  std::optional<Failure> resolve_failure;
  std::map<size_t, Failure> layer_failures;
  bool hold = false;
  int resolves = 0;
  int transfers = 0;
};

class FakeSession final : public FetchSession {
 public:
  FakeSession(std::shared_ptr<FakeFetcher::State> state, RemoteSource source)
      : state_(std::move(state)), source_(std::move(source)) {}

  Result<std::vector<RemoteImage>> Resolve() override {
    std::lock_guard lock(state_->mutex);
    ++state_->resolves;
    if (cancelled_) return Error(Code::kCancelled, "pull: cancelled");
    if (const auto& failure = state_->resolve_failure) {
      return Error(failure->code, failure->message);
    }
    TRY(Choose());
    std::vector<RemoteImage> out;
    for (const auto& [name, image] : images_) {
      out.push_back(Describe(image));
      if (!name.empty()) AddNames(out.back(), TRY(oci::Reference::Parse(name)));
    }
    return out;
  }

  Result<> FetchLayer(size_t image, size_t layer, os::Fd sink) override {
    std::string blob;
    std::optional<Failure> failure;
    {
      std::unique_lock lock(state_->mutex);
      if (image >= images_.size() || layer >= images_[image].second.layers.size()) {
        return Error(Code::kInvalidArgument, StrCat("layer ", layer, ": no such layer"));
      }
      ++state_->transfers;
      state_->changed.wait(lock, [&] { return !state_->hold || cancelled_; });
      if (cancelled_) return Error(Code::kCancelled, "pull: cancelled");
      blob = images_[image].second.layers[layer].blob;
      auto found = state_->layer_failures.find(layer);
      if (found != state_->layer_failures.end()) failure = found->second;
    }
    const std::string_view part =
        failure ? std::string_view(blob).substr(0, blob.size() / 2) : std::string_view(blob);
    if (auto written = os::WriteAll(sink.get(), part); !written) {
      return Error(Code::kAborted, StrCat("layer ", layer, ": its reader went away"));
    }
    if (failure) return Error(failure->code, failure->message);
    std::lock_guard lock(state_->mutex);
    received_ += blob.size();
    return Ok();
  }

  void Cancel() override {
    std::lock_guard lock(state_->mutex);
    cancelled_ = true;
    state_->changed.notify_all();
  }

  uint64_t received() const override {
    std::lock_guard lock(state_->mutex);
    return received_;
  }

 private:
  Result<> Choose() {
    if (const auto* local = std::get_if<LocalSource>(&source_)) {
      images_ = state_->local;
      if (!local->name.empty() && images_.size() == 1) images_[0].first = local->name;
      return Ok();
    }
    const RegistrySource& source = std::get<RegistrySource>(source_);
    const std::string name = source.reference.str();
    auto found = state_->images.find(name);
    if (found == state_->images.end() && source.reference.digest())
      found = std::find_if(state_->images.begin(), state_->images.end(), [&](const auto& entry) {
        return Answers(entry.first, entry.second, source.reference);
      });
    if (found == state_->images.end()) {
      return Error(Code::kNotFound, StrCat("image ", name, ": manifest unknown"));
    }
    const auto key = state_->keys.find(found->first);
    if (!source.signature_key_pem.empty() &&
        (key == state_->keys.end() || key->second != source.signature_key_pem))
      return Error(Code::kFailedPrecondition, "SignatureValidationFailed: not signed by this key");
    images_ = {*found};
    return Ok();
  }

  std::shared_ptr<FakeFetcher::State> state_;
  RemoteSource source_;
  std::vector<std::pair<std::string, FakeImage>> images_;  // guarded by state_->mutex, as all below
  uint64_t received_ = 0;
  bool cancelled_ = false;
};

std::shared_ptr<FakeFetcher::State> FakeFetcher::MakeState() { return std::make_shared<State>(); }

std::string FakeFetcher::Add(const std::string& reference, FakeImage image) {
  std::lock_guard lock(state_->mutex);
  auto parsed = oci::Reference::Parse(reference);
  const std::string id = Describe(image).config_digest.ToString();
  state_->images[parsed ? parsed->str() : reference] = std::move(image);
  return id;
}

void FakeFetcher::Remove(const std::string& reference) {
  std::lock_guard lock(state_->mutex);
  auto parsed = oci::Reference::Parse(reference);
  state_->images.erase(parsed ? parsed->str() : reference);
}

void FakeFetcher::Sign(const std::string& reference, const std::string& key_pem) {
  std::lock_guard lock(state_->mutex);
  auto parsed = oci::Reference::Parse(reference);
  state_->keys[parsed ? parsed->str() : reference] = key_pem;
}

void FakeFetcher::FailResolve(Code code, std::string message) {
  std::lock_guard lock(state_->mutex);
  state_->resolve_failure = Failure{code, std::move(message)};
}

void FakeFetcher::FailLayer(size_t layer, Code code, std::string message) {
  std::lock_guard lock(state_->mutex);
  state_->layer_failures.insert_or_assign(layer, Failure{code, std::move(message)});
}

void FakeFetcher::HoldLayers(bool hold) {
  std::lock_guard lock(state_->mutex);
  state_->hold = hold;
  state_->changed.notify_all();
}

void FakeFetcher::ClearFailures() {
  std::lock_guard lock(state_->mutex);
  state_->resolve_failure.reset();
  state_->layer_failures.clear();
}

void FakeFetcher::SetLocal(std::vector<std::pair<std::string, FakeImage>> images) {
  std::lock_guard lock(state_->mutex);
  state_->local = std::move(images);
}

int FakeFetcher::resolves() const {
  std::lock_guard lock(state_->mutex);
  return state_->resolves;
}

int FakeFetcher::layer_transfers() const {
  std::lock_guard lock(state_->mutex);
  return state_->transfers;
}

Result<std::unique_ptr<FetchSession>> FakeFetcher::Open(RemoteSource source) {
  return std::unique_ptr<FetchSession>(new FakeSession(state_, std::move(source)));
}

}  // namespace berth::image

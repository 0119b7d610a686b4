// SPDX-License-Identifier: Apache-2.0
// ImageStore's check of what lies on disk, and the repair of single layers.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "image/image_store.h"
#include "oci/reference.h"

namespace berth::image {

namespace {

bool IsBad(LayerState state) {
  return state == LayerState::kMissing || state == LayerState::kChanged;
}

}  // namespace

Result<std::vector<LayerCheck>> ImageStore::Verify(const std::string& reference, bool heal) {
  std::vector<std::string> layers;
  {
    auto state = state_.Lock();
    std::vector<std::string> ids;
    if (reference.empty()) {
      ids = TRY(state->records.Ids());
    } else {
      const std::optional<std::string> id = TRY(IdOf(*state, reference));
      if (!id) return Error(Code::kNotFound, StrCat("image ", Quote(reference), ": not found"));
      ids.push_back(*id);
    }
    std::set<std::string> seen;
    for (const std::string& id : ids) {
      const std::optional<ImageRecord> image = TRY(state->records.Get(id));
      if (!image) continue;
      for (const std::string& layer : image->layers)
        if (seen.insert(layer).second) layers.push_back(layer);
    }
  }
  std::vector<LayerCheck> checks;
  for (const std::string& layer : layers) checks.push_back(TRY(CheckLayer(layer)));
  if (heal)
    for (LayerCheck& check : checks)
      if (IsBad(check.state)) Heal(check);
  return checks;
}

Result<LayerCheck> ImageStore::CheckLayer(const std::string& diff_id) {
  const std::optional<LayerRecord> record = TRY(state_.Lock()->records.Layer(diff_id));
  Result<os::DirFd> dir = layers_.OpenLayer(diff_id);
  LayerCheck check{.diff_id = diff_id, .state = LayerState::kGood, .detail = ""};
  if (!record || (!dir && dir.error().code() == Code::kNotFound)) {
    check.state = LayerState::kMissing;
    return check;
  }
  if (!dir) {
    check.state = LayerState::kNotChecked;
    check.detail = dir.error().message();
    return check;
  }
  if (record->result.tree_sum == TreeSum()) {
    check.state = LayerState::kUnknown;
    return check;
  }
  const TreeSum& known = record->result.tree_sum;
  const Result<TreeSum> sum = unpacker_.SumLayer(*dir);
  if (sum) {
    const bool same_root = known.root == 0 || known.root == sum->root;
    if (known.entries != sum->entries || !same_root) check.state = LayerState::kChanged;
    return check;
  }
  // It says nothing about the layer: the disk or the helper may be at fault.
  check.state = LayerState::kNotChecked;
  check.detail = sum.error().message();
  return check;
}

void ImageStore::Heal(LayerCheck& check) {
  const Result<> healed = FetchAgain(check.diff_id);
  check.state = healed ? LayerState::kHealed : LayerState::kNotHealed;
  if (!healed) check.detail = healed.error().message();
  LogWarn(StrCat("layer ", check.diff_id,
                 " was not what had been unpacked: ", healed ? "fetched again" : check.detail));
}

// Whatever goes wrong, what is there stays: its place is given only to a layer that is complete and
// has the right diff_id.
Result<> ImageStore::FetchAgain(const std::string& diff_id) {
  const oci::Reference reference =
      TRY(oci::Reference::Parse(TRY(SourceOf(*state_.Lock(), diff_id))));
  const SignatureRule rule = TRY(RuleFor(reference));
  const std::unique_ptr<FetchSession> session =
      TRY(fetcher_.Open(RegistrySource{reference, {}, rule.key_pem}), reference.str());
  const std::vector<RemoteImage> images = TRY(session->Resolve());
  if (images.empty()) return Error(Code::kInternal, StrCat(reference.str(), ": nothing came"));
  // The registry may answer with another image for a tag.
  const std::vector<RemoteLayer>& layers = images.front().layers;
  const auto layer = std::find_if(layers.begin(), layers.end(), [&](const RemoteLayer& one) {
    return one.diff_id.hex() == diff_id;
  });
  if (layer == layers.end())
    return Error(Code::kNotFound, StrCat(reference.str(), " does not have it any more"));
  // Declared before the locks: what it was exchanged for is deleted without them.
  const LayerFlights::Staged staged =
      TRY(FetchLayer(*session, 0, static_cast<size_t>(layer - layers.begin()), *layer),
          reference.str());
  TRY(layers_.Sync());
  const std::lock_guard commit(commit_);
  auto state = state_.Lock();
  // Once more under the locks: from here on nobody begins to use it.
  TRY(SourceOf(*state, diff_id));
  TRY(layers_.Exchange(*staged));
  Result<> recorded = state->records.PutLayer({diff_id, staged->result});
  if (!recorded)
    if (Result<> back = layers_.Exchange(*staged); !back) LogError(back.error().message());
  if (recorded) users_.Lock()->clear();
  return recorded;
}

// From where the layer can be had again; an error when it may not be touched.
Result<std::string> ImageStore::SourceOf(State& state, const std::string& diff_id) {
  if (TRY(state.records.LayerIsMounted(diff_id)) || state.leases.contains(diff_id))
    return Error(Code::kFailedPrecondition, "a container or a pull uses it");
  std::string name;
  for (const std::string& id : TRY(state.records.ImagesWith(diff_id))) {
    const std::optional<ImageRecord> image = TRY(state.records.Get(id));
    if (!image) continue;
    const ImageInfo info = TRY(state.records.Info(*image));
    // A digest cannot come to mean something else.
    if (!info.digests.empty())
      name = info.digests.front();
    else if (!info.tags.empty() && name.empty())
      name = info.tags.front();
  }
  if (name.empty()) return Error(Code::kFailedPrecondition, "no image that has it has a name");
  return name;
}

}  // namespace berth::image

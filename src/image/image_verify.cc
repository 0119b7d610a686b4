// SPDX-License-Identifier: Apache-2.0
// ImageStore's check of what lies on disk, and the repair of single layers.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "image/image_store.h"

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
  if (!record || !dir) {
    check.state = LayerState::kMissing;
    return check;
  }
  if (record->result.tree_sum == 0) {
    check.state = LayerState::kUnknown;
    return check;
  }
  Result<uint64_t> sum = unpacker_.SumLayer(*dir);
  if (sum && *sum == record->result.tree_sum) return check;
  check.state = LayerState::kChanged;
  if (!sum) check.detail = sum.error().message();
  return check;
}

void ImageStore::Heal(LayerCheck& check) {
  Result<> healed = [&]() -> Result<> {
    const std::string image = TRY(TakeAway(check.diff_id));
    TRY(Pull({.reference = image, .credentials = {}, .runtime_handler = "", .cancel = {}}));
    // The registry may have answered with another image for a tag: then this layer is still missing.
    const LayerCheck now = TRY(CheckLayer(check.diff_id));
    if (now.state == LayerState::kGood) return Ok();
    return Error(Code::kDataLoss, "another pull did not bring it back");
  }();
  check.state = healed ? LayerState::kHealed : LayerState::kNotHealed;
  if (!healed) check.detail = healed.error().message();
  LogWarn(StrCat("layer ", check.diff_id,
                 " was not what had been unpacked: ", healed ? "fetched again" : check.detail));
}

// Forgets the layer and says from where it can be had again.
Result<std::string> ImageStore::TakeAway(const std::string& diff_id) {
  const std::lock_guard commit(commit_);
  std::string name;
  {
    auto state = state_.Lock();
    if (TRY(state->records.LayerIsMounted(diff_id)) || state->leases.contains(diff_id))
      return Error(Code::kFailedPrecondition, "a container or a pull uses it");
    for (const std::string& id : TRY(state->records.ImagesWith(diff_id))) {
      const std::optional<ImageRecord> image = TRY(state->records.Get(id));
      if (!image) continue;
      const ImageInfo info = TRY(state->records.Info(*image));
      // A digest cannot come to mean something else.
      if (!info.digests.empty())
        name = info.digests.front();
      else if (!info.tags.empty() && name.empty())
        name = info.tags.front();
    }
    if (name.empty()) return Error(Code::kFailedPrecondition, "no image that has it has a name");
    TRY(state->records.ForgetLayer(diff_id));
  }
  TRY(layers_.Remove(diff_id));
  return name;
}

}  // namespace berth::image

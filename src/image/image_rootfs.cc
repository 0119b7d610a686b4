// SPDX-License-Identifier: Apache-2.0
// ImageStore's root file systems for containers, and the users that an image defines.
#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/rollback.h"
#include "base/strings.h"
#include "image/directory_fixes.h"
#include "image/image_store.h"
#include "image/unpack/user_database.h"
#include "os/detached_overlay.h"

namespace berth::image {

namespace {

constexpr size_t kMaxCachedUsers = 1024;

Result<> CheckContainer(const std::string& id) {
  if (!IsValidId(id))
    return Error(Code::kInvalidArgument, StrCat("container id ", Quote(id, 80), " is not valid"));
  return Ok();
}

}  // namespace

Result<ImageRecord> ImageStore::ImageFor(const std::string& image_id) {
  auto state = state_.Lock();
  const std::optional<std::string> id = TRY(IdOf(*state, image_id));
  std::optional<ImageRecord> image;
  if (id) image = TRY(state->records.Get(*id));
  if (!image) return Error(Code::kNotFound, StrCat("no image ", Quote(image_id)));
  return std::move(*image);
}

// overlayfs refuses a directory that it is given twice. Of a layer that stands in an image more than
// once the topmost is the one that counts: whatever it has, a file, a whiteout or an opaque
// directory, hides what its copies further down have at the same path, and a directory of theirs
// that merges has nothing that its own does not have. What a layer in between took away or changed
// of a copy below it, the topmost brings back, as unpacking it once more would.
Result<std::vector<LayerRecord>> ImageStore::LayerRecords(
    const std::vector<std::string>& diff_ids) {
  auto state = state_.Lock();
  std::vector<LayerRecord> records;
  for (auto at = diff_ids.begin(); at != diff_ids.end(); ++at) {
    const std::string& id = *at;
    if (std::find(at + 1, diff_ids.end(), id) != diff_ids.end()) continue;
    std::optional<LayerRecord> layer = TRY(state->records.Layer(id));
    if (!layer)
      return Error(Code::kDataLoss, StrCat("layer ", id, " is lost: pull the image again"));
    records.push_back(std::move(*layer));
  }
  return records;
}

// Topmost first, as overlay wants them; nothing below a layer whose root hides what is below.
Result<std::vector<os::DirFd>> ImageStore::Lowers(const LayerStore::Images& images, os::DirFd top,
                                                  const std::vector<LayerRecord>& layers) {
  std::vector<os::DirFd> lowers;
  lowers.push_back(std::move(top));
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    lowers.push_back(
        TRY(LayerStore::OpenLayer(images, layer->diff_id), StrCat("layer ", layer->diff_id)));
    if (layer->result.opaque_root) break;
  }
  return lowers;
}

// The directory above the layers: a container's own files, or nothing but what the layers' own
// directories do not say. Its files have the host's ids: overlayfs would make its own there with
// ids that a shifted mount does not have.
Result<os::DirFd> ImageStore::PrepareTop(const os::DirFd& dir, const std::string& name,
                                         const std::vector<LayerRecord>& layers,
                                         const std::optional<IdShift>& shift) {
  Result<os::DirFd> there = dir.OpenDir(name);
  if (there || there.error().code() != Code::kNotFound) return there;
  std::vector<LayerView> views;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
    views.push_back({TRY(layers_.OpenLayer(layer->diff_id)), layer->result});
  // Under another name until it is complete: a crash in between leaves nothing that looks ready.
  TRY(dir.RemoveTree("new"));
  os::DirFd top = TRY(dir.MakeDir("new", 0700));
  std::vector<DirectoryFix> fixes = TRY(PlanDirectoryFixes(views));
  struct stat root = TRY(RootDirectory(views));
  if (shift) ShiftOwners(*shift, root, fixes);
  TRY(ApplyDirectoryFixes(top, fixes));
  TRY(SetDirectory(top, root));
  TRY(FAIL_STEP("rootfs.upper", dir.Rename("new", name, false)));
  return top;
}

Result<Rootfs> ImageStore::PrepareRootfs(const std::string& container_id,
                                         const std::string& image_id,
                                         const std::optional<IdShift>& shift) {
  TRY(CheckContainer(container_id));
  const std::string what = StrCat("root file system of ", container_id);
  const ImageRecord image = TRY(ImageFor(image_id), what);
  Rollback rollback;
  {
    auto state = state_.Lock();
    // Once more under this lock: from the row on, no removal of the image takes the layers.
    if (!TRY(state->records.Get(image.id)))
      return Error(Code::kNotFound, StrCat(what, ": no image ", image.id));
    const bool is_new = !TRY(state->records.RootfsLayers(container_id)).has_value();
    if (is_new) TRY(CheckPolicy(*state, image), what);
    TRY(FAIL_STEP("rootfs.record", state->records.AddRootfs(container_id, image)), what);
    if (is_new) rollback.Add(what, [this, container_id] { return RemoveRootfs(container_id); });
  }
  const std::vector<LayerRecord> layers = TRY(LayerRecords(image.layers), what);
  LayerStore::Images images = TRY(layers_.OpenImages(shift), what);
  os::OverlayOptions options;
  const os::DirFd dir = TRY(
      FAIL_STEP("rootfs.directory", layers_.containers().MakeOrOpenDir(container_id, 0700)), what);
  TRY(NoteUse(dir, StrCat("rootfs ", image.id)), what);
  options.work = TRY(dir.MakeOrOpenDir("work", 0700), what);
  options.upper = TRY(PrepareTop(dir, "diff", layers, shift), what);
  options.lower = TRY(Lowers(images, TRY(LayerStore::InitLayer(images)), layers), what);
  const auto overlay = [&] {
    return shift ? os::OverlayOfDetached(std::move(options), std::move(images.mount))
                 : os::Mount::Overlay(options);
  };
  os::Mount mount = TRY(FAIL_STEP("rootfs.mount", overlay()), what);
  Rootfs rootfs{std::move(mount)};
  rollback.Commit();
  return rootfs;
}

Result<> ImageStore::TryIdShift(int user_ns) {
  LayerStore::Images images =
      TRY(layers_.OpenImages(IdShift{.user_ns = user_ns, .host_id = 0, .count = 0}));
  os::OverlayOptions options;
  options.lower.push_back(TRY(LayerStore::InitLayer(images), "image store"));
  options.lower.push_back(TRY(images.dir.OpenDir("layers"), "image store"));
  Result<os::Mount> mount =
      os::OverlayOfDetached(std::move(options), std::move(images.mount), MOUNT_ATTR_RDONLY);
  if (mount) return Ok();
  return std::move(mount.error())
      .Wrap("overlay of shifted layers (needs Linux 5.19)")
      .WithCode(Code::kFailedPrecondition);
}

Result<> ImageStore::RemoveRootfs(const std::string& container_id) {
  TRY(CheckContainer(container_id));
  // Its files first: while the row is there, the next start knows that they are somebody's.
  TRY(layers_.RemoveContainer(container_id), StrCat("root file system of ", container_id));
  const std::lock_guard commit(commit_);
  std::vector<std::string> unused;
  {
    auto state = state_.Lock();
    TRY(FAIL_STEP("rootfs.forget", state->records.RemoveRootfs(container_id)));
    unused = TRY(state->records.RemoveUnusedLayers(state->LeasedLayers()));
  }
  DiscardLayers(unused);
  rootfs_usage_.Forget(container_id);
  return Ok();
}

Result<std::map<std::string, RootfsUsage>> ImageStore::RootfsUsages(
    const std::vector<std::string>& container_ids) {
  for (const std::string& id : container_ids) TRY(CheckContainer(id));
  std::map<std::string, RootfsUsage> usages = rootfs_usage_.Read(container_ids);
  const std::string mountpoint =
      StrCat(options_.root, TRY(ContainersLieApart()) ? "/containers" : "/images");
  for (auto& [id, usage] : usages) usage.mountpoint = mountpoint;
  return usages;
}

Result<std::vector<std::string>> ImageStore::ListRootfs() {
  return state_.Lock()->records.Rootfs();
}

Result<ResolvedUser> ImageStore::ResolveUser(const std::string& image_id, const UserQuery& query) {
  const ImageRecord image = TRY(ImageFor(image_id), "user");
  const std::string key = StrCat(image.id, EncodeUserQuery(query));
  {
    auto users = users_.Lock();
    const auto at = users->find(key);
    if (at != users->end()) return at->second;
  }
  const std::string what = StrCat("user of image ", image.id);
  // Without layers there are no files, and numbers are all there is.
  Result<ResolvedUser> user = [&]() -> Result<ResolvedUser> {
    if (image.layers.empty()) return unpack::ResolveUser("", "", query);
    const LayerStore::Images images = TRY(layers_.OpenImages(std::nullopt));
    os::OverlayOptions options;
    options.lower =
        TRY(Lowers(images, TRY(LayerStore::InitLayer(images)), TRY(LayerRecords(image.layers))));
    os::Mount mount = TRY(os::Mount::Overlay(
        options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    return unpacker_.ResolveUser(std::move(mount), query);
  }();
  if (!user) return std::move(user.error()).Wrap(what);
  auto users = users_.Lock();
  if (users->size() >= kMaxCachedUsers) users->clear();
  users->insert_or_assign(key, *user);
  return user;
}

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
#include "image/image_store.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "oci/digest.h"
#include "oci/reference.h"

namespace berth::image {

namespace {

constexpr std::string_view kSha256 = "sha256:";
constexpr size_t kMinPrefix = 3;

// "<hex>" or "sha256:<hex>", possibly cut short: "sha256:<hex>"; "" for any other text.
std::string IdPrefix(std::string_view text) {
  if (text.starts_with(kSha256)) text.remove_prefix(kSha256.size());
  if (text.size() < kMinPrefix || text.size() > oci::Digest::kHexSize || !IsLowerHex(text))
    return {};
  return StrCat(kSha256, text);
}

// "busybox" means docker.io/library/busybox:latest here as everywhere; ids and patterns stay.
Result<std::string> CanonicalPin(const std::string& name) {
  if (name.find_first_of("*?[") != std::string::npos || oci::LooksLikeImageId(name)) return name;
  const oci::Reference reference = TRY(oci::Reference::Parse(name));
  return reference.digest() ? reference.DigestForm(*reference.digest())
                            : reference.TagForm().value_or(name);
}

}  // namespace

ImageStore::ImageStore(ImageStoreOptions options, ImageRecords records, LayerStore layers,
                       Fetcher& fetcher, Unpacker& unpacker)
    : options_(std::move(options)),
      layers_(std::move(layers)),
      fetcher_(fetcher),
      unpacker_(unpacker),
      state_(std::move(records)) {}

Result<std::unique_ptr<ImageStore>> ImageStore::Open(ImageStoreOptions options, Fetcher& fetcher,
                                                     Unpacker& unpacker) {
  for (std::string& name : options.pinned) name = TRY(CanonicalPin(name), "pinned images");
  os::DirFd root = TRY(os::DirFd::MakeTrusted(options.root, 0700), "image store");
  LayerStore layers = TRY(LayerStore::Open(std::move(root)), "image store");
  ImageRecords records =
      TRY(ImageRecords::Open(StrCat(options.root, "/images/images.db")), "image store");
  std::unique_ptr<ImageStore> store(
      new ImageStore(std::move(options), std::move(records), std::move(layers), fetcher, unpacker));
  TRY(store->Repair(), "image store");
  return store;
}

Result<> ImageStore::Repair() {
  auto state = state_.Lock();
  const std::vector<std::string> present = TRY(layers_.Present());
  const std::set<std::string> on_disk(present.begin(), present.end());
  for (const std::string& id : TRY(state->records.Layers())) {
    if (on_disk.contains(id)) continue;
    LogError(StrCat("layer ", id, " is lost: its images need another pull"));
    TRY(state->records.ForgetLayer(id));
  }
  // What no restored record explains may be in use all the same: it stays until the next start.
  const bool restored = state->records.restored();
  if (restored) return RestoreUses(*state);
  TRY(state->records.RemoveUnusedLayers({}));
  const std::vector<std::string> recorded = TRY(state->records.Layers());
  const std::set<std::string> wanted(recorded.begin(), recorded.end());
  for (const std::string& id : present)
    if (!wanted.contains(id)) TRY(layers_.Remove(id));
  // A container's directory without a record was being made or being removed.
  const std::vector<std::string> rootfs = TRY(state->records.Rootfs());
  const std::set<std::string> used(rootfs.begin(), rootfs.end());
  for (const std::string& id : TRY(layers_.containers().List()))
    if (!used.contains(id)) TRY(layers_.RemoveContainer(id));
  return Ok();
}

std::set<std::string> ImageStore::State::LeasedLayers() const {
  std::set<std::string> leased;
  for (const auto& [id, count] : leases) leased.insert(id);
  return leased;
}

Result<std::optional<std::string>> ImageStore::IdOf(State& state, const std::string& reference) {
  const std::string prefix = IdPrefix(reference);
  const bool whole_id = prefix.size() == kSha256.size() + oci::Digest::kHexSize;
  if (whole_id) {
    if (TRY(state.records.Get(prefix))) return std::optional<std::string>(prefix);
    return state.records.ByManifestDigest(prefix);
  }
  Result<oci::Reference> parsed = oci::Reference::Parse(reference);
  if (parsed) {
    // With a digest the tag does not count: the digest says which content is meant.
    const std::string name =
        parsed->digest() ? parsed->DigestForm(*parsed->digest()) : parsed->TagForm().value_or("");
    std::optional<std::string> id = TRY(state.records.ByName(name));
    if (id) return id;
  }
  if (!prefix.empty()) return state.records.ByPrefix(prefix);
  return std::optional<std::string>();
}

Result<uint64_t> ImageStore::Room() {
  if (options_.max_bytes == 0) return std::numeric_limits<uint64_t>::max();
  const uint64_t used = TRY(state_.Lock()->records.Total()).used_bytes;
  if (used < options_.max_bytes) return options_.max_bytes - used;
  return Error(Code::kResourceExhausted,
               StrCat("the image store's ", options_.max_bytes, " bytes are used up"));
}

bool ImageStore::IsPinned(const ImageInfo& info) const {
  const auto pinned = [this](const std::string& name) {
    return std::any_of(options_.pinned.begin(), options_.pinned.end(), [&](const auto& pattern) {
      return pattern == name || ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
    });
  };
  return pinned(info.id) || std::any_of(info.tags.begin(), info.tags.end(), pinned) ||
         std::any_of(info.digests.begin(), info.digests.end(), pinned);
}

Result<std::optional<FoundImage>> ImageStore::Find(const std::string& reference) {
  auto state = state_.Lock();
  const std::optional<std::string> id = TRY(IdOf(*state, reference));
  if (!id) return std::optional<FoundImage>();
  std::optional<ImageRecord> record = TRY(state->records.Get(*id));
  // Whoever is told that an image is there does not pull it.
  if (!record || !TRY(state->records.IsWhole(*id))) return std::optional<FoundImage>();
  FoundImage found;
  found.info = TRY(state->records.Info(*record));
  found.info.pinned = IsPinned(found.info);
  found.process = std::move(record->process);
  found.config_json = std::move(record->config_json);
  return std::optional<FoundImage>(std::move(found));
}

Result<std::vector<ImageInfo>> ImageStore::List() {
  auto state = state_.Lock();
  std::vector<ImageInfo> infos;
  for (const std::string& id : TRY(state->records.Ids())) {
    if (!TRY(state->records.IsWhole(id))) continue;
    Result<std::optional<ImageRecord>> record = state->records.Get(id);
    ImageInfo info;
    if (record && *record) {
      info = TRY(state->records.Info(**record));
    } else if (!record) {
      // Listed with what is known, so that it can be seen and removed.
      LogError(record.error().message());
      info.id = id;
      info.size_bytes = 1;
    } else {
      continue;
    }
    info.pinned = IsPinned(info);
    infos.push_back(std::move(info));
  }
  return infos;
}

void ImageStore::DiscardLayers(const std::vector<std::string>& unused) {
  for (const std::string& id : unused) {
    Result<> removed = layers_.Remove(id);
    // No record names it any more: the next start removes it.
    if (!removed) LogWarn(removed.error().message());
  }
}

Result<> ImageStore::Remove(const std::string& reference) {
  if (reference.empty()) return Error(Code::kInvalidArgument, "remove image: no reference");
  // A pull that is publishing must not find its layers gone.
  const std::lock_guard commit(commit_);
  std::vector<std::string> unused;
  {
    auto state = state_.Lock();
    const std::optional<std::string> id = TRY(IdOf(*state, reference));
    if (!id) return Ok();
    unused = TRY(FAIL_STEP("image.remove", state->records.RemoveImage(*id, state->LeasedLayers())),
                 StrCat("remove image ", *id));
  }
  DiscardLayers(unused);
  return Ok();
}

Result<bool> ImageStore::ContainersLieApart() const {
  struct stat images{};
  struct stat containers{};
  if (::fstat(layers_.images().get(), &images) != 0 ||
      ::fstat(layers_.containers().get(), &containers) != 0)
    return ErrnoError("image store");
  return images.st_dev != containers.st_dev;
}

Result<StoreUsage> ImageStore::FsInfo() {
  StoreUsage usage;
  usage.timestamp = clock_.WallNanos();
  usage.images = TRY(state_.Lock()->records.Total());
  usage.images.mountpoint = StrCat(options_.root, "/images");
  struct stat st{};
  struct statvfs fs{};
  if (::fstat(layers_.containers().get(), &st) != 0 ||
      ::fstatvfs(layers_.containers().get(), &fs) != 0)
    return ErrnoError("image store: file system of the containers");
  usage.capacity = {.bytes = fs.f_blocks * fs.f_frsize,
                    .inodes = fs.f_files,
                    .free_inodes = fs.f_ffree,
                    .device_major = gnu_dev_major(st.st_dev),
                    .device_minor = gnu_dev_minor(st.st_dev)};
  usage.containers = usage.images;
  if (TRY(ContainersLieApart()))
    usage.containers = {StrCat(options_.root, "/containers"),
                        (fs.f_blocks - fs.f_bfree) * fs.f_frsize, fs.f_files - fs.f_ffree};
  return usage;
}

}  // namespace berth::image

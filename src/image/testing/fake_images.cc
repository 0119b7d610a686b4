// SPDX-License-Identifier: Apache-2.0
#include "image/testing/fake_images.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/strings.h"

namespace berth::image {

namespace {

// "docker.io/library/busybox:latest" is also "busybox:latest" and "busybox", as Docker completes
// names.
bool SameName(const std::string& name, const std::string& reference) {
  constexpr std::string_view kDefault = "docker.io/library/";
  auto same = [&](std::string_view known) {
    return known == reference || known == StrCat(reference, ":latest");
  };
  if (same(name)) return true;
  return name.starts_with(kDefault) && same(std::string_view(name).substr(kDefault.size()));
}

bool IsIdOf(const std::string& id, const std::string& reference) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (id == reference) return true;
  if (!id.starts_with(kAlgorithm) || reference.size() < 3 || !IsLowerHex(reference)) return false;
  return std::string_view(id).substr(kAlgorithm.size()).starts_with(reference);
}

Result<uint32_t> FakeId(const std::string& text, std::string_view what) {
  if (text == "root") return 0U;
  Result<int64_t> id = ParseInt(text, 0, std::numeric_limits<int32_t>::max(), what);
  if (!id) return Error(Code::kNotFound, StrCat(what, " ", Quote(text), " is not in the image"));
  return static_cast<uint32_t>(*id);
}

Result<ResolvedUser> FakeUser(const UserQuery& query) {
  ResolvedUser user;
  const size_t colon = query.user.find(':');
  std::string name = query.user.substr(0, colon);
  if (query.username) name = *query.username;
  if (query.uid) name = StrCat(*query.uid);
  if (!name.empty()) user.uid = TRY(FakeId(name, "user"));
  if (colon != std::string::npos) user.gid = TRY(FakeId(query.user.substr(colon + 1), "group"));
  if (query.gid) user.gid = static_cast<uint32_t>(*query.gid);
  user.additional_gids = {user.gid};
  for (int64_t gid : query.supplemental_groups) {
    const auto group = static_cast<uint32_t>(gid);
    if (group != user.gid) user.additional_gids.push_back(group);
  }
  if (user.uid == 0) {
    user.username = "root";
    user.home = "/root";
  }
  return user;
}

}  // namespace

void FakeImages::SetHook(Hook hook) { state_.Lock()->hook = std::move(hook); }

void FakeImages::AddImage(FoundImage image) {
  auto state = state_.Lock();
  std::string id = image.info.id;
  state->images[id] = std::move(image);
}

void FakeImages::SetUserRule(UserRule rule) { state_.Lock()->user_rule = std::move(rule); }

std::vector<std::string> FakeImages::calls() const { return state_.Lock()->calls; }

void FakeImages::ClearCalls() { state_.Lock()->calls.clear(); }

std::map<std::string, std::string> FakeImages::rootfs() const { return state_.Lock()->rootfs; }

void FakeImages::AddRootfs(const std::string& container_id, const std::string& image_id) {
  state_.Lock()->rootfs[container_id] = image_id;
}

Result<> FakeImages::Enter(std::string_view call, std::string_view id) {
  Hook hook;
  {
    auto state = state_.Lock();
    state->calls.push_back(id.empty() ? std::string(call) : StrCat(call, " ", id));
    hook = state->hook;
  }
  // Outside the lock: a hook may block or call back.
  if (hook) return hook(call, id);
  return Ok();
}

const FoundImage* FakeImages::Lookup(const State& state, const std::string& reference) {
  for (const auto& [id, image] : state.images) {
    if (IsIdOf(id, reference)) return &image;
    auto match = [&](const std::string& name) { return SameName(name, reference); };
    if (std::any_of(image.info.tags.begin(), image.info.tags.end(), match)) return &image;
    if (std::any_of(image.info.digests.begin(), image.info.digests.end(), match)) return &image;
  }
  return nullptr;
}

Result<std::string> FakeImages::Pull(const PullRequest& request) {
  TRY(Enter("Pull", request.reference));
  auto state = state_.Lock();
  const FoundImage* image = Lookup(*state, request.reference);
  if (image == nullptr)
    return Error(Code::kNotFound, StrCat("pull ", request.reference, ": no such image"));
  return image->info.id;
}

Result<std::optional<FoundImage>> FakeImages::Find(const std::string& reference) {
  TRY(Enter("Find", reference));
  auto state = state_.Lock();
  const FoundImage* image = Lookup(*state, reference);
  if (image == nullptr) return std::optional<FoundImage>();
  return std::optional<FoundImage>(*image);
}

Result<std::vector<ImageInfo>> FakeImages::List() {
  TRY(Enter("List", ""));
  auto state = state_.Lock();
  std::vector<ImageInfo> infos;
  for (const auto& [id, image] : state->images) infos.push_back(image.info);
  return infos;
}

Result<> FakeImages::Remove(const std::string& reference) {
  TRY(Enter("Remove", reference));
  auto state = state_.Lock();
  const FoundImage* image = Lookup(*state, reference);
  if (image != nullptr) state->images.erase(std::string(image->info.id));
  return Ok();
}

Result<StoreUsage> FakeImages::FsInfo() {
  TRY(Enter("FsInfo", ""));
  auto state = state_.Lock();
  StoreUsage usage;
  usage.timestamp = 1;
  usage.images.mountpoint = "/fake/images";
  for (const auto& [id, image] : state->images) usage.images.used_bytes += image.info.size_bytes;
  usage.images.inodes = state->images.size();
  usage.containers = usage.images;
  usage.capacity = {
      .bytes = 1 << 30, .inodes = 1000, .free_inodes = 900, .device_major = 8, .device_minor = 1};
  return usage;
}

Result<std::map<std::string, RootfsUsage>> FakeImages::RootfsUsages(
    const std::vector<std::string>& container_ids) {
  TRY(Enter("RootfsUsages", ""));
  std::map<std::string, RootfsUsage> out;
  auto state = state_.Lock();
  for (const std::string& id : container_ids)
    if (state->rootfs.contains(id)) out[id] = {1, "/fake/images", 4096, 1};
  return out;
}

Result<std::vector<std::string>> FakeImages::Import(os::Fd, const std::string& name) {
  TRY(Enter("Import", name));
  return Error(Code::kUnimplemented, "import: not in the fake");
}

Result<ResolvedUser> FakeImages::ResolveUser(const std::string& image_id, const UserQuery& query) {
  TRY(Enter("ResolveUser", image_id));
  UserRule rule;
  {
    auto state = state_.Lock();
    if (Lookup(*state, image_id) == nullptr)
      return Error(Code::kNotFound, StrCat("user of image ", image_id, ": no such image"));
    rule = state->user_rule;
  }
  return rule ? rule(query) : FakeUser(query);
}

Result<Rootfs> FakeImages::PrepareRootfs(const std::string& container_id,
                                         const std::string& image_id,
                                         const std::optional<IdShift>& shift) {
  TRY(Enter("PrepareRootfs", container_id));
  os::Fd fd = TRY(os::MakeMemFile("rootfs", container_id));
  auto state = state_.Lock();
  if (Lookup(*state, image_id) == nullptr)
    return Error(Code::kNotFound, StrCat("rootfs of ", container_id, ": no image ", image_id));
  state->rootfs[container_id] = image_id;
  state->last_shift = shift;
  return Rootfs{os::Mount(std::move(fd))};
}

std::optional<IdShift> FakeImages::last_shift() const { return state_.Lock()->last_shift; }

Result<ImageVolume> FakeImages::PrepareVolume(const VolumeRequest& request) {
  TRY(Enter("PrepareVolume", request.container_id));
  os::Fd fd = TRY(os::MakeMemFile("volume", request.image_id));
  auto state = state_.Lock();
  if (Lookup(*state, request.image_id) == nullptr)
    return Error(Code::kNotFound, StrCat("volume of image ", request.image_id, ": no such image"));
  if (!state->rootfs.contains(request.container_id))
    return Error(Code::kFailedPrecondition, "volume: the container has no rootfs");
  if (request.sub_path == "missing")
    return Error(Code::kNotFound, StrCat("sub path ", Quote(request.sub_path), ": not there"));
  return ImageVolume{os::Mount(std::move(fd)), request.sub_path, request.sub_path != "file"};
}

Result<> FakeImages::RemoveRootfs(const std::string& container_id) {
  TRY(Enter("RemoveRootfs", container_id));
  state_.Lock()->rootfs.erase(container_id);
  return Ok();
}

Result<std::vector<std::string>> FakeImages::ListRootfs() {
  TRY(Enter("ListRootfs", ""));
  auto state = state_.Lock();
  std::vector<std::string> ids;
  for (const auto& [container, image] : state->rootfs) ids.push_back(container);
  return ids;
}

}  // namespace berth::image

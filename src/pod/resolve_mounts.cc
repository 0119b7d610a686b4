// SPDX-License-Identifier: Apache-2.0
// Where a container's volumes come from: paths on the host, and images.
#include <sys/mount.h>

#include "base/strings.h"
#include "pod/engine_impl.h"
#include "pod/validate.h"

namespace berth::pod {

namespace {
// How the kubelet knows the failure (k8s.io/cri-api pkg/errors).
constexpr std::string_view kVolumeFailed = "ImageVolumeMountFailed: ";

os::MountAttributes AttributesOf(const MountConfig& mount) {
  os::MountAttributes set = mount.readonly ? MOUNT_ATTR_RDONLY : 0;
  for (const std::string& option : mount.mount_options) {
    if (option == "noexec") set |= MOUNT_ATTR_NOEXEC;
    if (option == "nodev") set |= MOUNT_ATTR_NODEV;
    if (option == "nosuid") set |= MOUNT_ATTR_NOSUID;
  }
  return set;
}

// Said to the mount and not to the OCI runtime, which would have to mount it anew from within the
// user namespace, where runc before 1.1.8 fails over what the source's mount does not allow.
Result<> Restrict(const MountConfig& mount, os::Mount& volume) {
  const os::MountAttributes set = AttributesOf(mount);
  if (set != 0) TRY(volume.SetAttributes(set, 0));
  if (mount.recursive_readonly) TRY(volume.SetAttributes(MOUNT_ATTR_RDONLY, 0, true));
  return Ok();
}
}  // namespace

Result<PodShift> Engine::Impl::ShiftOf(const SandboxRecord& sandbox) {
  PodShift shift;
  const NamespaceOptions& ns = sandbox.config.security.namespaces;
  if (!HasUserNamespace(ns)) return shift;
  if (!sandbox.handle) return Error(Code::kInternal, "the pod has no monitor");
  shift.user_ns = TRY(d.runtime.OpenUserNs(*sandbox.handle), "user namespace");
  const IdMapping& map = ns.userns->uids.front();
  shift.ids = image::IdShift{shift.user_ns.get(), map.host_id, map.length};
  return shift;
}

Result<ResolvedMount> Engine::Impl::ResolveHostMount(const ContainerRecord& record,
                                                     const MountConfig& mount,
                                                     const PodShift& shift, MountSources& all) {
  ResolvedMount resolved;
  resolved.source = TRY(d.host.ResolveMountSource(mount.host_path));
  resolved.propagation = "private";
  if (mount.propagation != MountConfig::Propagation::kPrivate) {
    resolved.propagation = TRY(d.host.MountPropagation(resolved.source));
  }
  // Not left to the OCI runtime: runc shifts ids only since 1.2, and older ones do not say so.
  if (!mount.uid_mappings.empty()) {
    runtime::Volume volume = TRY(d.host.ShiftedVolume(resolved.source, shift.user_ns.get()));
    TRY(Restrict(mount, volume.mount));
    resolved.source = d.runtime.VolumePath(record.sandbox_id, record.id, all.volumes.size());
    all.volumes.push_back(std::move(volume));
  }
  return resolved;
}

Result<ResolvedMount> Engine::Impl::ResolveImageMount(const MountConfig& mount,
                                                      const PodShift& shift,
                                                      ContainerRecord& record, MountSources& all) {
  std::optional<image::FoundImage> image = TRY(d.images.Find(mount.image));
  if (!image) {
    return Error(Code::kNotFound,
                 StrCat("image ", Quote(mount.image), " not found; pull it first"));
  }
  const size_t index = all.volumes.size();
  image::VolumeRequest request;
  request.container_id = record.id;
  request.index = static_cast<uint32_t>(index);
  request.image_id = image->info.id;
  request.shift = shift.ids;
  request.sub_path = mount.image_sub_path;
  image::ImageVolume volume = TRY(d.images.PrepareVolume(request));
  ResolvedMount resolved;
  resolved.source = d.runtime.VolumePath(record.sandbox_id, record.id, index);
  resolved.propagation = "private";
  // The whole image is attached, and what is bound from it is found by a path without links.
  if (!volume.path.empty()) resolved.source += StrCat("/", volume.path);
  all.volumes.push_back({std::move(volume.mount), true});
  record.mount_image_refs[mount.container_path] = ImageRefOf(*image);
  return resolved;
}

Result<MountSources> Engine::Impl::ResolveMounts(const PodShift& shift, ContainerRecord& record) {
  MountSources all;
  for (const MountConfig& mount : record.config.mounts) {
    const std::string who = StrCat("mount ", Quote(mount.container_path));
    if (mount.image.empty()) {
      all.mounts.push_back(TRY(ResolveHostMount(record, mount, shift, all), who));
    } else {
      all.mounts.push_back(
          TRY(ResolveImageMount(mount, shift, record, all), StrCat(kVolumeFailed, who)));
    }
  }
  return all;
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
#include "api/cri/convert.h"
#include "base/strings.h"

namespace berth::api {

namespace {

template <class Map>
void Copy(const pod::StringMap& in, Map* out) {
  out->clear();
  for (const auto& [key, value] : in) (*out)[key] = value;
}

void Copy(const std::vector<pod::IdMapping>& in,
          google::protobuf::RepeatedPtrField<v1::IDMapping>* out) {
  for (const auto& m : in) {
    v1::IDMapping* o = out->Add();
    o->set_host_id(m.host_id);
    o->set_container_id(m.container_id);
    o->set_length(m.length);
  }
}

v1::NamespaceMode Mode(pod::NamespaceMode mode) { return static_cast<v1::NamespaceMode>(mode); }

void ToProto(const pod::NamespaceOptions& in, v1::NamespaceOption* out) {
  out->set_network(Mode(in.network));
  out->set_pid(Mode(in.pid));
  out->set_ipc(Mode(in.ipc));
  out->set_target_id(in.target_id);
  if (in.userns) {
    auto* userns = out->mutable_userns_options();
    userns->set_mode(Mode(in.userns->mode));
    Copy(in.userns->uids, userns->mutable_uids());
    Copy(in.userns->gids, userns->mutable_gids());
  }
}

void ToProto(const pod::ContainerMetadata& in, v1::ContainerMetadata* out) {
  out->set_name(in.name);
  out->set_attempt(in.attempt);
}

void ToProto(const pod::ImageSpec& in, v1::ImageSpec* out) {
  out->set_image(in.image);
  out->set_user_specified_image(in.user_specified_image);
  out->set_runtime_handler(in.runtime_handler);
  Copy(in.annotations, out->mutable_annotations());
}

void ToProto(const pod::MountConfig& in, v1::Mount* out) {
  out->set_container_path(in.container_path);
  out->set_host_path(in.host_path);
  out->set_readonly(in.readonly);
  out->set_selinux_relabel(in.selinux_relabel);
  out->set_propagation(static_cast<v1::MountPropagation>(in.propagation));
  Copy(in.uid_mappings, out->mutable_uidmappings());
  Copy(in.gid_mappings, out->mutable_gidmappings());
  out->set_recursive_read_only(in.recursive_readonly);
  if (!in.image.empty()) {
    out->mutable_image()->set_image(in.image);
    out->mutable_image()->set_image_ref(in.image_ref);
  }
  out->set_image_sub_path(in.image_sub_path);
  for (const auto& option : in.mount_options) out->add_mount_options(option);
}

void ToProto(const pod::LinuxResources& in, v1::LinuxContainerResources* out) {
  out->set_cpu_period(in.cpu_period);
  out->set_cpu_quota(in.cpu_quota);
  out->set_cpu_shares(in.cpu_shares);
  out->set_memory_limit_in_bytes(in.memory_limit);
  out->set_memory_swap_limit_in_bytes(in.memory_swap_limit);
  out->set_oom_score_adj(in.oom_score_adj);
  out->set_cpuset_cpus(in.cpuset_cpus);
  out->set_cpuset_mems(in.cpuset_mems);
  for (const auto& [size, limit] : in.hugepage_limits) {
    auto* h = out->add_hugepage_limits();
    h->set_page_size(size);
    h->set_limit(limit);
  }
  Copy(in.unified, out->mutable_unified());
}

}  // namespace

void ToProto(const pod::PodMetadata& in, v1::PodSandboxMetadata* out) {
  out->set_name(in.name);
  out->set_uid(in.uid);
  out->set_namespace_(in.ns);
  out->set_attempt(in.attempt);
}

void ToProto(const pod::SandboxStatus& in, v1::PodSandboxStatus* out) {
  out->set_id(in.id);
  ToProto(in.metadata, out->mutable_metadata());
  out->set_state(static_cast<v1::PodSandboxState>(in.state));
  out->set_created_at(in.created_at);
  out->mutable_network()->set_ip(in.ip);
  for (const auto& ip : in.additional_ips) out->mutable_network()->add_additional_ips()->set_ip(ip);
  ToProto(in.namespaces, out->mutable_linux()->mutable_namespaces()->mutable_options());
  Copy(in.labels, out->mutable_labels());
  Copy(in.annotations, out->mutable_annotations());
  out->set_runtime_handler(in.runtime_handler);
}

void ToProto(const pod::SandboxStatus& in, v1::PodSandbox* out) {
  out->set_id(in.id);
  ToProto(in.metadata, out->mutable_metadata());
  out->set_state(static_cast<v1::PodSandboxState>(in.state));
  out->set_created_at(in.created_at);
  Copy(in.labels, out->mutable_labels());
  Copy(in.annotations, out->mutable_annotations());
  out->set_runtime_handler(in.runtime_handler);
}

void ToProto(const pod::ContainerStatus& in, v1::ContainerStatus* out) {
  out->set_id(in.id);
  ToProto(in.metadata, out->mutable_metadata());
  out->set_state(static_cast<v1::ContainerState>(in.state));
  out->set_created_at(in.created_at);
  out->set_started_at(in.started_at);
  out->set_finished_at(in.finished_at);
  out->set_exit_code(in.exit_code);
  ToProto(in.image, out->mutable_image());
  out->set_image_ref(in.image_ref);
  out->set_image_id(in.image_id);
  out->set_reason(in.reason);
  out->set_message(ToValidUtf8(in.message));
  Copy(in.labels, out->mutable_labels());
  Copy(in.annotations, out->mutable_annotations());
  for (const auto& mount : in.mounts) ToProto(mount, out->add_mounts());
  out->set_log_path(in.log_path);
  if (in.resources) ToProto(*in.resources, out->mutable_resources()->mutable_linux());
  auto* user = out->mutable_user()->mutable_linux();
  user->set_uid(in.user.uid);
  user->set_gid(in.user.gid);
  for (uint32_t gid : in.user.supplemental_groups) user->add_supplemental_groups(gid);
  out->set_stop_signal(SignalToProto(in.stop_signal));
}

void ToProto(const pod::ContainerStatus& in, v1::Container* out) {
  out->set_id(in.id);
  out->set_pod_sandbox_id(in.sandbox_id);
  ToProto(in.metadata, out->mutable_metadata());
  ToProto(in.image, out->mutable_image());
  out->set_image_ref(in.image_ref);
  out->set_image_id(in.image_id);
  out->set_state(static_cast<v1::ContainerState>(in.state));
  out->set_created_at(in.created_at);
  Copy(in.labels, out->mutable_labels());
  Copy(in.annotations, out->mutable_annotations());
}

void ToProto(const image::ImageInfo& in, v1::Image* out) {
  out->set_id(in.id);
  for (const auto& tag : in.tags) out->add_repo_tags(tag);
  for (const auto& digest : in.digests) out->add_repo_digests(digest);
  out->set_size(in.size_bytes);
  out->set_pinned(in.pinned);
  out->mutable_spec()->set_image(in.id);
  // Rule 12: a number is a uid, anything else a username; the group does not count.
  std::string user = in.user.substr(0, in.user.find(':'));
  if (user.empty()) return;
  if (Result<int64_t> uid = ParseInt(user, 0, UINT32_MAX, "user")) {
    out->mutable_uid()->set_value(*uid);
  } else {
    out->set_username(user);
  }
}

}  // namespace berth::api

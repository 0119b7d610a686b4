// SPDX-License-Identifier: Apache-2.0
// What the planner may not look up itself: devices, profiles, the TARGET container.
#include "base/strings.h"
#include "oci/build_spec.h"
#include "oci/spec_json.h"
#include "pod/engine_impl.h"
#include "pod/plan_security.h"

namespace berth::pod {

namespace {

oci::PlanDevice MakeDevice(const runtime::HostDevice& host, std::string path, std::string access) {
  oci::PlanDevice out;
  out.node.path = std::move(path);
  out.node.type = host.type;
  out.node.major = host.major;
  out.node.minor = host.minor;
  out.node.file_mode = host.mode & 07777;
  out.node.uid = host.uid;
  out.node.gid = host.gid;
  out.access = std::move(access);
  return out;
}

// "/dev/net" mapped to "/dev/x" puts /dev/net/tun at /dev/x/tun.
std::string InContainer(const DeviceConfig& device, const std::string& host_path) {
  const std::string& to = device.container_path.empty() ? device.host_path : device.container_path;
  if (host_path == device.host_path || !host_path.starts_with(device.host_path)) return to;
  std::string rest = host_path.substr(device.host_path.size());
  return StrCat(to, rest.starts_with('/') ? "" : "/", rest);
}

}  // namespace

Result<std::vector<oci::PlanDevice>> Engine::Impl::ResolveDevices(const ContainerConfig& request) {
  std::vector<oci::PlanDevice> out;
  if (request.security.privileged) {
    std::vector<runtime::HostDevice> all = TRY(d.host.AllDevices(), "devices of the host");
    for (const runtime::HostDevice& host : all) {
      out.push_back(MakeDevice(host, host.path, "rwm"));
    }
  }
  for (const DeviceConfig& device : request.devices) {
    std::string access = device.permissions.empty() ? "rwm" : device.permissions;
    std::vector<runtime::HostDevice> found = TRY(d.host.Devices(device.host_path), "device");
    for (const runtime::HostDevice& host : found) {
      oci::PlanDevice planned = MakeDevice(host, InContainer(device, host.path), access);
      // What the request says of a path wins over what privilege brought.
      std::erase_if(out, [&](const auto& old) { return old.node.path == planned.node.path; });
      out.push_back(std::move(planned));
    }
  }
  return out;
}

Result<std::optional<TargetContainer>> Engine::Impl::ResolveTarget(const ContainerConfig& request) {
  const NamespaceOptions& ns = request.security.namespaces;
  if (ns.pid != NamespaceMode::kTarget || ns.target_id.empty()) return std::nullopt;
  ContainerPtr target = TRY(FindContainer(ns.target_id), "namespace_options: target");
  if (!target) return std::nullopt;
  auto state = target->state.Lock();
  return TargetContainer{target->sandbox_id, state->record.phase == ContainerPhase::kRunning,
                         state->record.pid};
}

// One that is no longer configured can nothing.
runtime::HandlerInfo Engine::Impl::HandlerOf(const std::string& name) {
  for (runtime::HandlerInfo& handler : d.runtime.Handlers()) {
    if (handler.name == name) return std::move(handler);
  }
  return {};
}

Result<std::string> Engine::Impl::MakeSpec(const SandboxRecord& sandbox,
                                           const image::FoundImage& image,
                                           const image::ResolvedUser& user,
                                           const std::vector<ResolvedMount>& mounts,
                                           ContainerRecord& record) {
  auto devices = TRY(ResolveDevices(record.config));
  auto target = TRY(ResolveTarget(record.config));
  ContainerInputs in{.sandbox = sandbox,
                     .config = record.config,
                     .image = image,
                     .user = user,
                     .facts = d.host.Facts(),
                     .engine = config,
                     .id = record.id,
                     .rootfs_path = d.runtime.RootfsPath(sandbox.id, record.id),
                     .net_ns_path = d.network.NsPath(sandbox.id),
                     .mounts = mounts,
                     .devices = std::move(devices),
                     .seccomp_profile = {},
                     .target = std::move(target),
                     .handler = HandlerOf(sandbox.handler)};
  in.apparmor_profiles = TRY(d.host.ApparmorProfiles());
  std::string profile = TRY(LocalhostSeccompPath(record.config.security));
  if (!profile.empty()) {
    in.seccomp_profile = TRY(d.host.ReadSeccompProfile(profile), "seccomp profile");
  }
  oci::ContainerPlan plan = TRY(PlanContainer(in));
  const std::string what =
      profile.empty() ? "spec" : StrCat("spec with seccomp profile ", Quote(profile));
  oci::Spec spec = TRY(oci::BuildSpec(plan), what);
  TRY(AddCdiDevices(record.config, &spec));
  // No quota, which the kubelet says for exclusive CPUs: a new group has none, and crun 1.8 writes -1 as 2^64-1.
  if (spec.linux.resources.cpu.quota == -1) spec.linux.resources.cpu.quota.reset();
  return TRY(oci::ToJson(spec), "spec");
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "api/cri/convert.h"
#include "base/strings.h"

// The deprecated profile strings are still what old kubelets send.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace berth::api {

namespace {

template <class Repeated>
std::vector<std::string> Strings(const Repeated& in) {
  return {in.begin(), in.end()};
}

template <class Map>
pod::StringMap Strings2(const Map& in) {
  return {in.begin(), in.end()};
}

std::vector<pod::IdMapping> Mappings(const google::protobuf::RepeatedPtrField<v1::IDMapping>& in) {
  std::vector<pod::IdMapping> out;
  for (const auto& m : in) out.push_back({m.host_id(), m.container_id(), m.length()});
  return out;
}

Result<pod::NamespaceMode> Mode(v1::NamespaceMode mode, std::string_view what) {
  if (!v1::NamespaceMode_IsValid(mode)) {
    return Error(Code::kInvalidArgument,
                 StrCat(what, " namespace mode ", int{mode}, " is unknown"));
  }
  return static_cast<pod::NamespaceMode>(mode);
}

Result<pod::NamespaceOptions> Namespaces(const v1::NamespaceOption& in) {
  pod::NamespaceOptions out;
  out.network = TRY(Mode(in.network(), "network"));
  out.pid = TRY(Mode(in.pid(), "pid"));
  out.ipc = TRY(Mode(in.ipc(), "ipc"));
  out.target_id = in.target_id();
  if (in.has_userns_options()) {
    const auto& userns = in.userns_options();
    // Not inside the braces: gcc 12 leaks the members made so far when TRY returns from there.
    pod::NamespaceMode mode = TRY(Mode(userns.mode(), "user"));
    out.userns = pod::UserNamespace{mode, Mappings(userns.uids()), Mappings(userns.gids())};
  }
  return out;
}

Result<pod::SecurityProfile> Profile(const v1::SecurityProfile& in, std::string_view what) {
  pod::SecurityProfile out;
  switch (in.profile_type()) {
    case v1::SecurityProfile::RuntimeDefault:
      out.type = pod::SecurityProfile::Type::kRuntimeDefault;
      break;
    case v1::SecurityProfile::Unconfined:
      out.type = pod::SecurityProfile::Type::kUnconfined;
      break;
    case v1::SecurityProfile::Localhost:
      out.type = pod::SecurityProfile::Type::kLocalhost;
      break;
    default:
      return Error(Code::kInvalidArgument,
                   StrCat(what, " profile type ", int{in.profile_type()}, " is unknown"));
  }
  out.localhost_ref = in.localhost_ref();
  return out;
}

// The strings that CRI had before SecurityProfile: "", "unconfined", "runtime/default",
// "docker/default", "localhost/<ref>". Old kubelets still send them.
Result<std::optional<pod::SecurityProfile>> OldProfile(const std::string& text,
                                                       std::string_view what) {
  using Type = pod::SecurityProfile::Type;
  constexpr std::string_view kLocalhost = "localhost/";
  if (text.empty()) return std::optional<pod::SecurityProfile>();
  if (text == "unconfined") return std::optional(pod::SecurityProfile{Type::kUnconfined, ""});
  if (text == "runtime/default" || text == "docker/default") {
    return std::optional(pod::SecurityProfile{Type::kRuntimeDefault, ""});
  }
  if (text.starts_with(kLocalhost)) {
    return std::optional(pod::SecurityProfile{Type::kLocalhost, text.substr(kLocalhost.size())});
  }
  return Error(Code::kInvalidArgument, StrCat(what, " profile ", Quote(text), " is unknown"));
}

// What LinuxSandboxSecurityContext and LinuxContainerSecurityContext have in common.
template <class Proto>
Result<pod::SecurityContext> CommonSecurity(const Proto& in) {
  pod::SecurityContext out;
  out.namespaces = TRY(Namespaces(in.namespace_options()));
  if (in.has_selinux_options()) {
    const auto& s = in.selinux_options();
    out.selinux = pod::SeLinuxOptions{s.user(), s.role(), s.type(), s.level()};
  }
  if (in.has_run_as_user()) out.run_as_user = in.run_as_user().value();
  if (in.has_run_as_group()) out.run_as_group = in.run_as_group().value();
  out.supplemental_groups.assign(in.supplemental_groups().begin(), in.supplemental_groups().end());
  if (!v1::SupplementalGroupsPolicy_IsValid(in.supplemental_groups_policy())) {
    return Error(Code::kInvalidArgument, "supplemental groups policy is unknown");
  }
  out.strict_supplemental_groups = in.supplemental_groups_policy() == v1::Strict;
  out.readonly_rootfs = in.readonly_rootfs();
  out.privileged = in.privileged();
  if (in.has_seccomp()) {
    out.seccomp = TRY(Profile(in.seccomp(), "seccomp"));
  } else {
    out.seccomp = TRY(OldProfile(in.seccomp_profile_path(), "seccomp"));
  }
  if (in.has_apparmor()) out.apparmor = TRY(Profile(in.apparmor(), "apparmor"));
  return out;
}

Result<pod::SecurityContext> FromProto(const v1::LinuxContainerSecurityContext& in) {
  pod::SecurityContext out = TRY(CommonSecurity(in));
  out.run_as_username = in.run_as_username();
  out.no_new_privs = in.no_new_privs();
  out.capabilities = {Strings(in.capabilities().add_capabilities()),
                      Strings(in.capabilities().drop_capabilities()),
                      Strings(in.capabilities().add_ambient_capabilities())};
  out.masked_paths = Strings(in.masked_paths());
  out.readonly_paths = Strings(in.readonly_paths());
  if (!in.has_apparmor()) out.apparmor = TRY(OldProfile(in.apparmor_profile(), "apparmor"));
  return out;
}

Result<pod::MountConfig> FromProto(const v1::Mount& in) {
  pod::MountConfig out;
  out.container_path = in.container_path();
  out.host_path = in.host_path();
  out.readonly = in.readonly();
  out.selinux_relabel = in.selinux_relabel();
  if (!v1::MountPropagation_IsValid(in.propagation())) {
    return Error(Code::kInvalidArgument,
                 StrCat("mount ", Quote(in.container_path()), ": propagation ",
                        int{in.propagation()}, " is unknown"));
  }
  out.propagation = static_cast<pod::MountConfig::Propagation>(in.propagation());
  out.uid_mappings = Mappings(in.uidmappings());
  out.gid_mappings = Mappings(in.gidmappings());
  out.recursive_readonly = in.recursive_read_only();
  out.image = in.image().image();
  out.image_sub_path = in.image_sub_path();
  out.mount_options = Strings(in.mount_options());
  return out;
}

Result<pod::PortMapping> FromProto(const v1::PortMapping& in) {
  if (!v1::Protocol_IsValid(in.protocol())) {
    return Error(Code::kInvalidArgument,
                 StrCat("port mapping protocol ", int{in.protocol()}, " is unknown"));
  }
  for (int32_t port : {in.container_port(), in.host_port()}) {
    if (port < 0 || port > 65535) {
      return Error(Code::kInvalidArgument,
                   StrCat("port mapping: port ", port, " is not 0 to 65535"));
    }
  }
  return pod::PortMapping{static_cast<pod::PortMapping::Protocol>(in.protocol()),
                          in.container_port(), in.host_port(), in.host_ip()};
}

}  // namespace

pod::LinuxResources FromProto(const v1::LinuxContainerResources& in) {
  pod::LinuxResources out;
  out.cpu_period = in.cpu_period();
  out.cpu_quota = in.cpu_quota();
  out.cpu_shares = in.cpu_shares();
  out.memory_limit = in.memory_limit_in_bytes();
  out.memory_swap_limit = in.memory_swap_limit_in_bytes();
  out.oom_score_adj = in.oom_score_adj();
  out.cpuset_cpus = in.cpuset_cpus();
  out.cpuset_mems = in.cpuset_mems();
  for (const auto& h : in.hugepage_limits()) out.hugepage_limits[h.page_size()] = h.limit();
  out.unified = Strings2(in.unified());
  return out;
}

image::Credentials FromProto(const v1::AuthConfig& in) {
  return {in.username(),       in.password(),       in.auth(),
          in.server_address(), in.identity_token(), in.registry_token()};
}

Result<pod::SandboxConfig> FromProto(const v1::PodSandboxConfig& in) {
  pod::SandboxConfig out;
  const auto& m = in.metadata();
  out.metadata = {m.name(), m.uid(), m.namespace_(), m.attempt()};
  out.hostname = in.hostname();
  out.log_directory = in.log_directory();
  if (in.has_dns_config()) {
    const auto& dns = in.dns_config();
    out.dns =
        pod::DnsConfig{Strings(dns.servers()), Strings(dns.searches()), Strings(dns.options())};
  }
  for (const auto& p : in.port_mappings()) out.port_mappings.push_back(TRY(FromProto(p)));
  out.labels = Strings2(in.labels());
  out.annotations = Strings2(in.annotations());
  const auto& linux_part = in.linux();
  out.cgroup_parent = linux_part.cgroup_parent();
  out.security = TRY(CommonSecurity(linux_part.security_context()));
  out.sysctls = Strings2(linux_part.sysctls());
  if (linux_part.has_overhead()) out.overhead = FromProto(linux_part.overhead());
  if (linux_part.has_resources()) out.resources = FromProto(linux_part.resources());
  return out;
}

Result<pod::ContainerConfig> FromProto(const v1::ContainerConfig& in) {
  pod::ContainerConfig out;
  out.metadata = {in.metadata().name(), in.metadata().attempt()};
  out.image = {in.image().image(), in.image().user_specified_image(), in.image().runtime_handler(),
               Strings2(in.image().annotations())};
  out.command = Strings(in.command());
  out.args = Strings(in.args());
  out.working_dir = in.working_dir();
  for (const auto& e : in.envs()) out.envs.emplace_back(e.key(), e.value());
  for (const auto& m : in.mounts()) out.mounts.push_back(TRY(FromProto(m)));
  for (const auto& d : in.devices()) {
    out.devices.push_back({d.container_path(), d.host_path(), d.permissions()});
  }
  for (const auto& d : in.cdi_devices()) out.cdi_devices.push_back(d.name());
  out.labels = Strings2(in.labels());
  out.annotations = Strings2(in.annotations());
  out.log_path = in.log_path();
  out.stdin_open = in.stdin();
  out.stdin_once = in.stdin_once();
  out.tty = in.tty();
  if (in.linux().has_resources()) out.resources = FromProto(in.linux().resources());
  out.security = TRY(FromProto(in.linux().security_context()));
  out.stop_signal = TRY(SignalFromProto(in.stop_signal()));
  return out;
}

}  // namespace berth::api

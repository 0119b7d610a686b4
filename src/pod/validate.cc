// SPDX-License-Identifier: Apache-2.0
#include "pod/validate.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "oci/cdi.h"
#include "pod/plan_resources.h"

namespace berth::pod {

namespace {

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

Result<> ValidateMetadata(const PodMetadata& metadata) {
  // The kubelet refuses a status without any of these, so a pod must not start without.
  if (metadata.name.empty()) return Invalid("sandbox metadata: name is empty");
  if (metadata.ns.empty()) return Invalid("sandbox metadata: namespace is empty");
  if (metadata.uid.empty()) return Invalid("sandbox metadata: uid is empty");
  if (HasControl(metadata.name) || HasControl(metadata.ns) || HasControl(metadata.uid)) {
    return Invalid("sandbox metadata: control character in name, namespace or uid");
  }
  return Ok();
}

Result<> ValidateHostname(std::string_view hostname) {
  // sethostname(2) takes 64 bytes; the rest is what may stand in /etc/hostname and $HOSTNAME.
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  if (hostname.size() > 64 || !std::all_of(hostname.begin(), hostname.end(), allowed)) {
    return Invalid(StrCat("hostname ", Quote(hostname), " is not a host name of at most 64 bytes"));
  }
  return Ok();
}

// A line break in any of these would add lines of its own to resolv.conf.
Result<> ValidateDns(const DnsConfig& dns) {
  for (const auto* list : {&dns.servers, &dns.searches, &dns.options}) {
    for (const std::string& word : *list) {
      if (word.empty() || HasControl(word) || word.find(' ') != std::string::npos) {
        return Invalid(StrCat("dns_config: ", Quote(word), " is not a word"));
      }
    }
  }
  return Ok();
}

Result<> ValidatePort(const PortMapping& port) {
  if (port.host_port < 0 || port.host_port > 65535) {
    return Invalid(StrCat("port mapping: host port ", port.host_port, " is out of range"));
  }
  if (port.container_port < 0 || port.container_port > 65535 ||
      (port.host_port != 0 && port.container_port == 0)) {
    return Invalid(
        StrCat("port mapping: container port ", port.container_port, " is out of range"));
  }
  // inet_pton(3) knows no zone, prefix, space or leading zero: what it takes, every plugin takes.
  std::array<unsigned char, sizeof(in6_addr)> address{};
  if (!port.host_ip.empty() && (HasControl(port.host_ip) ||
                                (::inet_pton(AF_INET, port.host_ip.c_str(), address.data()) != 1 &&
                                 ::inet_pton(AF_INET6, port.host_ip.c_str(), address.data()) != 1)))
    return Invalid(StrCat("port mapping: host ip ", Quote(port.host_ip), " is no address"));
  return Ok();
}

Result<> ValidateSandboxNamespaces(const NamespaceOptions& ns) {
  if (ns.network != NamespaceMode::kPod && ns.network != NamespaceMode::kNode) {
    return Invalid("sandbox namespace_options: network is neither POD nor NODE");
  }
  if (ns.ipc != NamespaceMode::kPod && ns.ipc != NamespaceMode::kNode) {
    return Invalid("sandbox namespace_options: ipc is neither POD nor NODE");
  }
  if (ns.pid == NamespaceMode::kTarget) {
    return Invalid("sandbox namespace_options: pid TARGET is for containers only");
  }
  TRY(ValidateUserNamespace(ns));
  // Neither procfs nor mqueue of the host's can be mounted from within a user namespace.
  if (HasUserNamespace(ns) && (ns.pid == NamespaceMode::kNode || ns.ipc == NamespaceMode::kNode)) {
    return Invalid("userns_options: not with the host's pid or ipc namespace");
  }
  return Ok();
}

Result<> ValidateId(const std::optional<int64_t>& id, std::string_view what) {
  if (id && (*id < 0 || *id > 0xfffffffeLL)) {
    return Invalid(StrCat(what, " ", *id, " is out of range"));
  }
  return Ok();
}

Result<> ValidateUserFields(const SecurityContext& security, std::string_view who) {
  if (security.run_as_group && !security.run_as_user && security.run_as_username.empty()) {
    return Invalid(StrCat(who, ": run_as_group needs run_as_user or run_as_username"));
  }
  TRY(ValidateId(security.run_as_user, StrCat(who, ": run_as_user")));
  TRY(ValidateId(security.run_as_group, StrCat(who, ": run_as_group")));
  for (int64_t group : security.supplemental_groups) {
    TRY(ValidateId(group, StrCat(who, ": supplemental group")));
  }
  return Ok();
}

Result<> ValidateProfile(const std::optional<SecurityProfile>& profile, std::string_view what) {
  if (!profile) return Ok();
  bool localhost = profile->type == SecurityProfile::Type::kLocalhost;
  // An empty Localhost reference must never come to mean "no profile" (CVE-2023-2431).
  if (localhost && profile->localhost_ref.empty()) {
    return Invalid(StrCat(what, ": Localhost without localhost_ref"));
  }
  if (!localhost && !profile->localhost_ref.empty()) {
    return Invalid(StrCat(what, ": localhost_ref is for Localhost only"));
  }
  if (HasControl(profile->localhost_ref)) return Invalid(StrCat(what, ": control character"));
  return Ok();
}

Result<> ValidateImageVolume(const MountConfig& mount, const std::string& name) {
  using P = MountConfig::Propagation;
  if (!mount.host_path.empty()) return Invalid(StrCat(name, ": image and host_path together"));
  if (!mount.readonly) return Invalid(StrCat(name, ": an image volume must be readonly"));
  if (mount.propagation != P::kPrivate) {
    return Invalid(StrCat(name, ": an image volume has no propagation"));
  }
  return Ok();
}

// The kubelet gives every volume of a pod the pod's own mappings.
Result<> ValidateMountMappings(const MountConfig& mount, const NamespaceOptions& pod,
                               const std::string& name) {
  if (mount.uid_mappings.empty() && mount.gid_mappings.empty()) return Ok();
  if (!HasUserNamespace(pod))
    return Invalid(StrCat(name, ": id mappings without a user namespace"));
  if (mount.uid_mappings != pod.userns->uids || mount.gid_mappings != pod.userns->gids) {
    return Invalid(StrCat(name, ": id mappings are not those of the pod's user namespace"));
  }
  return Ok();
}

Result<> ValidateMount(const MountConfig& mount, const NamespaceOptions& pod) {
  if (mount.container_path.empty()) return Invalid("mount: container_path is empty");
  std::string name = StrCat("mount ", Quote(mount.container_path));
  if (!mount.image.empty()) {
    TRY(ValidateImageVolume(mount, name));
  } else if (!mount.image_sub_path.empty()) {
    return Invalid(StrCat(name, ": image_sub_path without an image"));
  } else if (mount.host_path.empty()) {
    return Invalid(StrCat(name, ": host_path is empty"));
  } else if (mount.host_path[0] != '/') {
    return Invalid(StrCat(name, ": host_path is not absolute"));
  }
  if (mount.recursive_readonly &&
      (!mount.readonly || mount.propagation != MountConfig::Propagation::kPrivate)) {
    return Invalid(StrCat(name, ": recursive_read_only needs readonly and private propagation"));
  }
  TRY(ValidateMountMappings(mount, pod, name));
  for (const std::string& option : mount.mount_options) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return Invalid(StrCat(name, ": mount option ", Quote(option), " is not allowed"));
    }
  }
  return Ok();
}

Result<> ValidateDevice(const DeviceConfig& device) {
  if (device.host_path.empty() || device.host_path[0] != '/') {
    return Invalid(StrCat("device ", Quote(device.host_path), ": host_path is not absolute"));
  }
  if (device.permissions.find_first_not_of("rwm") != std::string::npos) {
    return Invalid(StrCat("device ", device.host_path, ": permissions ", Quote(device.permissions),
                          " are not of \"rwm\""));
  }
  return Ok();
}

}  // namespace

bool HasUserNamespace(const NamespaceOptions& namespaces) {
  return namespaces.userns && namespaces.userns->mode == NamespaceMode::kPod;
}

Result<> ValidateUserNamespace(const NamespaceOptions& namespaces) {
  if (!namespaces.userns) return Ok();
  const UserNamespace& user = *namespaces.userns;
  if (user.mode == NamespaceMode::kNode) {
    if (user.uids.empty() && user.gids.empty()) return Ok();
    return Invalid("userns_options: mode NODE with mappings");
  }
  if (user.mode != NamespaceMode::kPod) {
    return Invalid("userns_options: mode is neither POD nor NODE");
  }
  if (user.uids.size() != 1 || user.gids.size() != 1) {
    return Invalid("userns_options: exactly one uid and one gid mapping is needed");
  }
  if (user.uids != user.gids) return Invalid("userns_options: uid and gid mappings differ");
  const IdMapping& map = user.uids.front();
  if (map.container_id != 0) return Invalid("userns_options: container id 0 is not mapped");
  constexpr uint64_t kIds = 0xffffffff;  // -1 is no id
  if (map.length == 0 || uint64_t{map.host_id} + map.length > kIds) {
    return Invalid("userns_options: mapping is out of range");
  }
  if (map.host_id == 0) return Invalid("userns_options: the host's root is mapped");
  return Ok();
}

Result<> ValidateLogPath(std::string_view log_path) {
  if (log_path.empty()) return Ok();
  if (log_path[0] == '/' || log_path.find('\0') != std::string_view::npos) {
    return Invalid(StrCat("log_path ", Quote(log_path), " is not relative"));
  }
  for (std::string_view part : Split(log_path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return Invalid(StrCat("log_path ", Quote(log_path), " leaves or repeats its directory"));
    }
  }
  return Ok();
}

Result<> ValidateSandboxConfig(const SandboxConfig& config) {
  TRY(ValidateMetadata(config.metadata));
  TRY(ValidateHostname(config.hostname));
  if (config.dns) TRY(ValidateDns(*config.dns));
  for (const PortMapping& port : config.port_mappings) TRY(ValidatePort(port));
  if (config.overhead) TRY(ValidateResources(*config.overhead, "overhead"));
  if (config.resources) TRY(ValidateResources(*config.resources, "resources"));
  TRY(ValidateSandboxNamespaces(config.security.namespaces));
  TRY(ValidateUserFields(config.security, "sandbox"));
  TRY(ValidateProfile(config.security.seccomp, "sandbox seccomp"));
  TRY(ValidateProfile(config.security.apparmor, "sandbox apparmor"));
  const std::string& logs = config.log_directory;
  if (!logs.empty() && (logs[0] != '/' || logs.find('\0') != std::string::npos)) {
    return Invalid(StrCat("log_directory ", Quote(logs), " is not absolute"));
  }
  for (std::string_view part : Split(logs, '/')) {
    if (part == "..") return Invalid(StrCat("log_directory ", Quote(logs), " has \"..\""));
  }
  return Ok();
}

Result<> ValidateContainerConfig(const ContainerConfig& config, const SandboxConfig& sandbox) {
  if (config.metadata.name.empty()) return Invalid("container metadata: name is empty");
  std::string who = StrCat("container ", Quote(config.metadata.name));
  if (HasControl(config.metadata.name)) return Invalid(StrCat(who, ": control character"));
  if (config.image.image.empty()) return Invalid(StrCat(who, ": image is empty"));
  TRY(ValidateLogPath(config.log_path), who);
  TRY(ValidateUserFields(config.security, who));
  TRY(ValidateProfile(config.security.seccomp, StrCat(who, ": seccomp")));
  TRY(ValidateProfile(config.security.apparmor, StrCat(who, ": apparmor")));
  TRY(ValidateUserNamespace(config.security.namespaces), who);
  const std::optional<UserNamespace>& user = config.security.namespaces.userns;
  if (user && HasUserNamespace(config.security.namespaces) &&
      (!HasUserNamespace(sandbox.security.namespaces) ||
       user->uids != sandbox.security.namespaces.userns->uids)) {
    return Invalid(StrCat(who, ": userns_options are not the pod's"));
  }
  if (config.security.privileged && !sandbox.security.privileged) {
    return Invalid(StrCat(who, ": a privileged container needs a privileged sandbox"));
  }
  for (const MountConfig& mount : config.mounts)
    TRY(ValidateMount(mount, sandbox.security.namespaces), who);
  for (const DeviceConfig& device : config.devices) TRY(ValidateDevice(device), who);
  if (config.resources) TRY(ValidateResources(*config.resources, "resources"), who);
  for (const std::string& name : config.cdi_devices) TRY(oci::ParseCdiName(name), who);
  TRY(oci::CdiNamesOf(config.annotations), who);
  if (config.stop_signal < 0 || config.stop_signal > 64) {
    return Invalid(StrCat(who, ": stop_signal ", config.stop_signal, " is out of range"));
  }
  return Ok();
}

}  // namespace berth::pod

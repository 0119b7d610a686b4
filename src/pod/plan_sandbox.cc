// SPDX-License-Identifier: Apache-2.0
#include "pod/plan_sandbox.h"

#include "base/strings.h"
#include "pod/cgroup_path.h"
#include "pod/plan_security.h"
#include "pod/validate.h"

namespace berth::pod {

namespace {

std::string ProtocolName(PortMapping::Protocol protocol) {
  switch (protocol) {
    case PortMapping::Protocol::kUdp:
      return "udp";
    case PortMapping::Protocol::kSctp:
      return "sctp";
    default:
      return "tcp";
  }
}

runtime::PodNetwork PlanNetwork(const std::string& id, const SandboxConfig& config,
                                const std::string& cgroup_path) {
  runtime::PodNetwork network;
  network.sandbox_id = id;
  network.pod_name = config.metadata.name;
  network.pod_namespace = config.metadata.ns;
  network.pod_uid = config.metadata.uid;
  network.cgroup_parent = cgroup_path;
  for (const PortMapping& port : config.port_mappings) {
    network.port_mappings.push_back(
        {ProtocolName(port.protocol), port.container_port, port.host_port, port.host_ip});
  }
  if (config.dns) {
    network.dns_servers = config.dns->servers;
    network.dns_searches = config.dns->searches;
    network.dns_options = config.dns->options;
  }
  network.annotations = config.annotations;
  return network;
}

}  // namespace

std::string PodHostname(const SandboxConfig& config) {
  bool host = config.security.namespaces.network == NamespaceMode::kNode;
  if (host || !config.hostname.empty()) return config.hostname;
  std::string name = config.metadata.name.substr(0, 63);
  while (name.ends_with('.') || name.ends_with('-')) name.pop_back();
  return name;
}

std::optional<std::string> ResolvConf(const std::optional<DnsConfig>& dns) {
  if (!dns || (dns->servers.empty() && dns->searches.empty() && dns->options.empty())) {
    return std::nullopt;
  }
  std::string text;
  if (!dns->searches.empty()) text += StrCat("search ", Join(dns->searches, " "), "\n");
  for (const std::string& server : dns->servers) text += StrCat("nameserver ", server, "\n");
  if (!dns->options.empty()) text += StrCat("options ", Join(dns->options, " "), "\n");
  return text;
}

Result<SandboxPlan> PlanSandbox(const std::string& id, const SandboxConfig& config,
                                const std::string& handler, const runtime::HostFacts& facts,
                                const EngineConfig& engine) {
  TRY(ValidateSandboxConfig(config));
  TRY(PlanSelinux(config.security, facts), "sandbox");
  const NamespaceOptions& ns = config.security.namespaces;
  bool host_network = ns.network == NamespaceMode::kNode;
  bool host_ipc = ns.ipc == NamespaceMode::kNode;
  SplitSysctls sysctls = TRY(SplitPodSysctls(config.sysctls, host_network, host_ipc));
  PodCgroup cgroup = TRY(
      PlanPodCgroup(config.cgroup_parent, engine.default_cgroup_parent, id, engine.systemd_cgroup));

  SandboxPlan plan;
  plan.host_network = host_network;
  plan.net_sysctls = std::move(sysctls.net);
  plan.cgroup_path = cgroup.path;
  plan.owns_cgroup = cgroup.owned;
  plan.spec.sandbox_id = id;
  plan.spec.handler = handler;
  plan.spec.new_ipc_namespace = !host_ipc;
  plan.spec.new_uts_namespace = !host_network;
  plan.spec.shared_pid_namespace = ns.pid == NamespaceMode::kPod;
  if (!host_network) plan.spec.hostname = PodHostname(config);
  plan.spec.sysctls = std::move(sysctls.ipc);
  if (host_ipc) plan.spec.shm_bytes = 0;
  plan.spec.resolv_conf = ResolvConf(config.dns);
  plan.spec.log_directory = config.log_directory;
  plan.network = PlanNetwork(id, config, cgroup.path);
  if (HasUserNamespace(ns)) {
    const IdMapping& map = ns.userns->uids.front();
    plan.user_range = os::IdRange{map.container_id, map.host_id, map.length};
    plan.spec.root_id = map.host_id;
  }
  return plan;
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// CNI data: network config lists, what a plugin reads on stdin, and what it prints. Pure functions;
// any thread. Spec: https://github.com/containernetworking/cni/blob/main/SPEC.md, versions 0.3.0
// to 1.1.0, and CONVENTIONS.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::oci {

inline constexpr size_t kMaxCniConfigBytes = 1u << 20;
inline constexpr size_t kMaxCniResultBytes = 1u << 20;
inline constexpr size_t kMaxCniPlugins = 64;
inline constexpr size_t kMaxCniListEntries = 4096;

// Oldest first.
std::span<const std::string_view> SupportedCniVersions();
bool IsSupportedCniVersion(std::string_view version);
// < 0, 0, > 0 for two supported versions; an unsupported one is older than all.
int CompareCniVersions(std::string_view a, std::string_view b);

// --- network configuration ---

struct CniPlugin {
  std::string type = {};       // ^[a-zA-Z0-9._-]+$, neither "." nor ".." (CVE-2021-20206)
  std::string ipam_type = {};  // same rule; "" when the plugin has no ipam
  std::map<std::string, bool> capabilities = {};  // "portMappings": true
  std::string raw = {};                           // the plugin's JSON object, as text
};

struct NetworkConfigList {
  std::string name = {};         // ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$
  std::string cni_version = {};  // the newest version that the config offers and Berth supports
  bool disable_check = false;
  bool disable_gc = false;
  // False: the config's directory may hold a folder named after the network with more plugins, to
  // be appended.
  bool load_only_inlined = false;
  std::vector<CniPlugin> plugins = {};  // in ADD order; never empty
  // The file's text, to be cached at ADD for DEL (also after the file has changed).
  std::string raw;
};

// A .conflist, or a single .conf or .json plugin (becomes a list of one). InvalidArgument naming
// the JSON path; FailedPrecondition when no offered version is supported.
Result<NetworkConfigList> ParseNetworkConfig(std::string_view text);
// One plugin object, such as a file of that folder.
Result<CniPlugin> ParseCniPlugin(std::string_view text);

// --- what a plugin reads on stdin ---

struct PortMapping {
  uint16_t host_port = 0;  // 0: the port is not mapped, and plugins never hear of it
  uint16_t container_port = 0;
  std::string protocol = {};  // "tcp", "udp", "sctp"
  std::string host_ip = {};   // "" for all addresses
};

struct Bandwidth {  // bits per second, and bits
  uint64_t ingress_rate = 0;
  uint64_t ingress_burst = 0;
  uint64_t egress_rate = 0;
  uint64_t egress_burst = 0;
};

struct CniDns {
  std::vector<std::string> nameservers = {};
  std::string domain = {};
  std::vector<std::string> search = {};
  std::vector<std::string> options = {};
};

// What the runtime knows; a part reaches a plugin only when the plugin declares the capability
// true.
struct RuntimeConfig {
  std::vector<PortMapping> port_mappings = {};              // "portMappings"
  std::optional<Bandwidth> bandwidth = std::nullopt;        // "bandwidth"
  std::optional<CniDns> dns = std::nullopt;                 // "dns": servers, searches, options
  std::vector<std::string> ips = {};                        // "ips": CIDR text
  std::string mac = {};                                     // "mac"
  std::string cgroup_path = {};                             // "cgroupPath"
  std::map<std::string, std::string> pod_annotations = {};  // "io.kubernetes.cri.pod-annotations"
};

struct CniAttachment {
  std::string container_id = {};
  std::string ifname = {};
};

struct PluginInput {
  std::string_view name = {};         // of the list
  std::string_view cni_version = {};  // of the list
  // JSON text of the plugin before, or what was cached at ADD.
  std::optional<std::string_view> prev_result = std::nullopt;
  const RuntimeConfig* runtime = nullptr;
  // GC only: "cni.dev/valid-attachments". An empty list (nothing is valid) differs from none.
  std::optional<std::vector<CniAttachment>> valid_attachments = std::nullopt;
};

// InvalidArgument when prev_result is no JSON object within the limits or a string is not UTF-8.
Result<std::string> BuildPluginInput(const CniPlugin& plugin, const PluginInput& input);

// --- what a plugin prints ---

struct CniInterface {
  std::string name = {};
  std::string mac = {};
  std::string sandbox = {};  // path of the netns; "" for an interface on the host
  std::optional<uint32_t> mtu = std::nullopt;
  std::string socket_path = {};
  std::string pci_id = {};
};

struct CniIp {
  std::string address = {};                        // CIDR text, checked
  std::string gateway = {};                        // "" or an address, checked
  std::optional<size_t> interface = std::nullopt;  // index in interfaces, in range
};

struct CniRoute {
  std::string dst = {};
  std::string gw = {};
};

struct CniResult {
  std::string cni_version = {};
  std::vector<CniInterface> interfaces = {};
  std::vector<CniIp> ips = {};
  std::vector<CniRoute> routes = {};
  CniDns dns = {};
  // As the plugin printed it: prevResult of the next plugin and of CHECK and DEL.
  std::string raw = {};
};

// `expected_version` is what the plugin was given: used when the result does not name its own
// version.
Result<CniResult> ParseCniResult(std::string_view text, std::string_view expected_version);

// The addresses of the pod, without prefix length and without repeats, in the plugin's order: those
// of interfaces that have a sandbox, and those that name no interface.
std::vector<std::string> PodIps(const CniResult& result);

struct CniError {
  std::string cni_version = {};
  uint32_t code = 0;  // spec, section "Error": 1 .. 99 are reserved
  std::string msg = {};
  std::string details = {};
};
Result<CniError> ParseCniError(std::string_view text);
// "plugin: msg: details (CNI code 11)". Codes 11, 50 and 51 (not now) become Unavailable, 3 (no
// such container) NotFound, 1, 2 and 7 (the config does not suit the plugin) FailedPrecondition,
// the rest Internal.
Error CniErrorToError(const CniError& error, std::string_view plugin);

struct CniVersionInfo {
  std::string cni_version = {};
  std::vector<std::string> supported_versions = {};
  bool Supports(std::string_view version) const;
};
Result<CniVersionInfo> ParseCniVersionInfo(std::string_view text);

bool IsValidPluginType(std::string_view type);
bool IsValidNetworkName(std::string_view name);

}  // namespace berth::oci

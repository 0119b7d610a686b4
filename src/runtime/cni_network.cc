// SPDX-License-Identifier: Apache-2.0
// Opening, readiness, namespaces and garbage collection; Attach and Detach are in
// cni_network_attach.cc.
#include "runtime/cni_network.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "runtime/cni_network_locks.h"

namespace berth::runtime {

namespace {

// Making the namespace does not wait for the pod's other calls, nor they for it: Prepare runs meanwhile.
std::string NsKey(std::string_view id) { return StrCat("ns ", id); }

// A key that this kernel does not have (no IPv6) is as good as set.
Result<> WriteIfThere(std::string_view key, std::string_view value) {
  Result<> done = os::WriteSysctl(key, value);
  if (!done && done.error().code() == Code::kNotFound) return Ok();
  return done;
}

Result<> CheckSysctls(const std::map<std::string, std::string>& sysctls) {
  for (const auto& [key, value] : sysctls) {
    if (!key.starts_with("net.") && !key.starts_with("net/"))
      return Error(Code::kInvalidArgument,
                   StrCat("sysctl ", Quote(key), ": is not of the network namespace"));
  }
  return Ok();
}

// Runs in the new namespace. Router advertisements would let a pod redirect its neighbours
// (CVE-2020-10749). Ports from 0 and ping without a capability are what pods can rely on elsewhere;
// a pod's own sysctls have the last word.
Result<> SetUpNs(const std::map<std::string, std::string>& sysctls) {
  TRY(os::BringLoopbackUp());
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kDefaults{{
      {"net.ipv6.conf.all.accept_ra", "0"},
      {"net.ipv6.conf.default.accept_ra", "0"},
      {"net.ipv4.ip_unprivileged_port_start", "0"},
      {"net.ipv4.ping_group_range", "0 2147483647"},
  }};
  for (const auto& [key, value] : kDefaults) TRY(WriteIfThere(key, value), "default sysctl");
  for (const auto& [key, value] : sysctls) TRY(os::WriteSysctl(key, value), "sysctl");
  return Ok();
}

}  // namespace

CniNetwork::CniNetwork(CniNetworkOptions options, os::NetNsPins pins, CniRecords records,
                       CniDefaultNetwork default_network)
    : options_(std::move(options)),
      pins_(std::move(pins)),
      plugins_({options_.bin_dirs, options_.plugin_timeout, options_.plugin_output_limit,
                options_.require_root_owner, options_.native_program, options_.native_plugins}),
      configs_(options_.conf_dirs),
      records_(std::move(records)),
      default_(std::move(default_network)) {}

Result<std::unique_ptr<CniNetwork>> CniNetwork::Open(CniNetworkOptions options) {
  os::NetNsPins pins = TRY(os::NetNsPins::Open(options.netns_dir), "network namespaces");
  os::DirFd dir = TRY(os::DirFd::MakeTrusted(options.state_dir, 0700), "network state");
  options.default_network.native = options.native_plugins && !options.native_program.empty();
  CniDefaultNetwork default_network(options.default_network, TRY(dir.Duplicate()),
                                    StrCat(options.state_dir, "/ipam"));
  std::unique_ptr<CniNetwork> network(new CniNetwork(
      std::move(options), std::move(pins), CniRecords(std::move(dir)), std::move(default_network)));
  TRY(network->Start());
  return network;
}

Result<> CniNetwork::CheckId(std::string_view id) {
  if (!IsValidId(id))
    return Error(Code::kInvalidArgument, StrCat("pod id ", Quote(id), ": not 64 hex digits"));
  return Ok();
}

Result<> CniNetwork::Start() {
  TRY(records_.RemoveTemporaries());
  TRY(default_.Load());
  std::set<std::string> users;
  for (const std::string& id : TRY(records_.List())) {
    Result<CniRecord> record = records_.Load(id);
    // What cannot be read may be on the default network: it is not taken away under a pod.
    if (!record) LogWarn(StrCat("network of pod ", id, ": ", record.error().message()));
    if (record ? record->is_default : default_.in_use()) users.insert(id);
  }
  state_.Lock()->default_users = std::move(users);
  return Ok();
}

Error CniNetwork::NoConfig() const {
  return Error(Code::kFailedPrecondition,
               StrCat("no cni network configuration in ", Join(options_.conf_dirs, ", "),
                      " and the default network is off"));
}

Result<std::shared_ptr<const CniConfig>> CniNetwork::PresentConfig(bool* is_default) {
  std::shared_ptr<const CniConfig> config = TRY(configs_.Load());
  *is_default = config == nullptr;
  if (config) return config;
  if (!default_.enabled()) return NoConfig();
  const DefaultLock lock(state_);
  return std::make_shared<const CniConfig>(TRY(default_.Config({})));
}

Result<> CniNetwork::Ready() {
  bool is_default = false;
  const std::shared_ptr<const CniConfig> config = TRY(PresentConfig(&is_default));
  std::vector<std::string> programs = TRY(plugins_.FindAll(config->list));
  // The default network's version is our own choice.
  if (is_default) return Ok();
  const CniChain chain(plugins_, config->list, std::move(programs));
  if (state_.Lock()->version_checked != config) {
    TRY(chain.CheckVersions());
    state_.Lock()->version_checked = config;
  }
  return chain.Status();
}

std::string CniNetwork::ConfigJson() {
  bool is_default = false;
  Result<std::shared_ptr<const CniConfig>> config = PresentConfig(&is_default);
  return config ? (*config)->list.raw : "{}";
}

Result<> CniNetwork::CreateNs(const std::string& sandbox_id,
                              const std::map<std::string, std::string>& sysctls) {
  return MakeNs(sandbox_id, -1, sysctls);
}

Result<> CniNetwork::PinNs(const std::string& sandbox_id, const os::Fd& made,
                           const std::map<std::string, std::string>& sysctls) {
  return MakeNs(sandbox_id, made.get(), sysctls);
}

Result<> CniNetwork::MakeNs(const std::string& sandbox_id, int made,
                            const std::map<std::string, std::string>& sysctls) {
  TRY(CheckId(sandbox_id));
  TRY(CheckSysctls(sysctls));
  const PodLock lock(state_, NsKey(sandbox_id));
  TRY(pins_.Create(
          StrCat(options_.netns_prefix, sandbox_id), [&] { return SetUpNs(sysctls); }, made),
      StrCat("network namespace of pod ", sandbox_id));
  return Ok();
}

Result<> CniNetwork::RemoveNs(const std::string& sandbox_id) {
  TRY(CheckId(sandbox_id));
  const PodLock lock(state_, sandbox_id);
  const PodLock ns_lock(state_, NsKey(sandbox_id));
  TRY(pins_.Remove(StrCat(options_.netns_prefix, sandbox_id)),
      StrCat("network namespace of pod ", sandbox_id));
  return Ok();
}

std::string CniNetwork::NsPath(const std::string& sandbox_id) const {
  return pins_.PathOf(StrCat(options_.netns_prefix, sandbox_id));
}

bool CniNetwork::NsExists(const std::string& sandbox_id) const {
  return OpenNs(sandbox_id).has_value();
}

Result<os::Fd> CniNetwork::OpenNs(const std::string& sandbox_id) const {
  return pins_.OpenNs(StrCat(options_.netns_prefix, sandbox_id));
}

Result<std::vector<std::string>> CniNetwork::ListNs() const {
  std::vector<std::string> ids;
  for (const std::string& name : TRY(pins_.List())) {
    if (!name.starts_with(options_.netns_prefix)) continue;
    std::string id = name.substr(options_.netns_prefix.size());
    if (IsValidId(id)) ids.push_back(std::move(id));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<> CniNetwork::CollectGarbage(const std::vector<std::string>& known) {
  Result<> first = Ok();
  auto note = [&](Result<> done) {
    if (!done && first) first = std::move(done.error());
  };
  for (const std::string& id : TRY(records_.List())) {
    if (std::find(known.begin(), known.end(), id) == known.end()) note(Detach(id));
  }
  // A daemon that died between the first pod's or the last pod's steps left it to us.
  note(LeaveDefault(""));
  bool is_default = false;
  Result<std::shared_ptr<const CniConfig>> config = PresentConfig(&is_default);
  if (!config) return first;
  // Unused, the default network has nothing that could be left.
  if (is_default && state_.Lock()->default_users.empty()) return first;
  // Every chain is kept away: a pod whose ADD began after the list was made would be collected.
  const ChainSlot all(state_, options_.max_chains, options_.max_chains);
  std::vector<oci::CniAttachment> valid;
  for (const std::string& id : TRY(records_.List())) valid.push_back({id, "eth0"});
  Result<std::vector<std::string>> programs = plugins_.FindAll((*config)->list);
  if (!programs) {
    note(std::move(programs.error()));
    return first;
  }
  note(CniChain(plugins_, (*config)->list, std::move(*programs)).Gc(valid));
  return first;
}

}  // namespace berth::runtime

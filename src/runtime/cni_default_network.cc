// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_default_network.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "base/wire.h"
#include "runtime/cni_iptables_tool.h"
#include "runtime/cni_links.h"

namespace berth::runtime {

namespace {

constexpr std::string_view kFile = "default-network";
constexpr std::string_view kBadFile = "default-network.bad";
constexpr std::string_view kIpamDir = "ipam";  // as CniNetwork::Open names it to host-local
constexpr std::string_view kMagic = "berth-default-network";
constexpr uint32_t kVersion = 2;
constexpr size_t kMaxStateBytes = 1U << 20;
constexpr size_t kMaxLinkName = 15;  // IFNAMSIZ without the NUL
constexpr std::string_view kFirstSubnet = "10.88.0.0/16";

bool IsLinkName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxLinkName && oci::IsValidNetworkName(name);
}

bool HostHasIpv6() {
  Result<os::DirFd> dir = os::DirFd::OpenTrusted("/proc/sys/net/ipv6/conf/all");
  if (!dir) return false;
  Result<std::string> disabled = dir->ReadFile("disable_ipv6", 16);
  return disabled && TrimSpace(*disabled) == "0";
}

// RFC 4193, section 3.2: 40 random bits, subnet 0.
Result<std::string> RandomUla() {
  const std::string hex = TRY(NewId());
  return StrCat("fd", hex.substr(0, 2), ":", hex.substr(2, 4), ":", hex.substr(6, 4), "::/64");
}

bool IsFree(const Ipv4Prefix& subnet, const std::vector<Route>& routes) {
  return std::ranges::none_of(routes, [&](const Route& route) {
    return route.destination.length > 0 && route.destination.Overlaps(subnet);
  });
}

// Smaller than Ethernet's usual 1500 where the way out is: packets of that size would be lost in
// the tunnel.
uint32_t SmallMtu(const std::vector<Link>& links, const std::vector<Route>& routes) {
  constexpr uint32_t kUsual = 1500;
  for (const Route& route : routes) {
    if (route.destination.length != 0) continue;
    for (const Link& link : links) {
      if (link.index == route.link && link.mtu >= 1280 && link.mtu < kUsual) return link.mtu;
    }
  }
  return 0;
}

// "berth0", "berth1", ...: the first that no interface has.
Result<std::string> FreeName(const std::string& wanted, const std::vector<Link>& links) {
  const std::string base = wanted.substr(0, wanted.find_last_not_of("0123456789") + 1);
  std::string name = wanted;
  for (int i = 0; i < 256; ++i) {
    const bool taken =
        std::ranges::any_of(links, [&](const Link& link) { return link.name == name; });
    if (!taken && IsLinkName(name)) return name;
    name = StrCat(base, i);
  }
  return Error(Code::kResourceExhausted, StrCat("bridge ", wanted, ": every name is taken"));
}

}  // namespace

Result<> CniDefaultNetwork::Load() {
  Result<std::string> bytes = dir_.ReadFile(kFile, kMaxStateBytes);
  if (!bytes && bytes.error().code() == Code::kNotFound) return Ok();
  if (!bytes) return std::move(bytes.error()).Wrap("default network");
  wire::Reader in(*bytes);
  auto read = [&]() -> Result<State> {
    if (TRY(in.Text()) != kMagic || TRY(in.U32()) != kVersion)
      return Error(Code::kDataLoss, "not a state of this version");
    State state;
    state.in_use = TRY(in.Bool());
    state.firewall = TRY(in.Bool());
    state.native = TRY(in.Bool());
    state.bridge = TRY(in.Text());
    state.ipv4 = TRY(in.Text());
    state.ipv6 = TRY(in.Text());
    state.mtu = TRY(in.U32());
    for (std::set<std::string>& names : state.before) {
      for (std::string& name : TRY(in.Texts())) names.insert(std::move(name));
    }
    TRY(in.End());
    return state;
  };
  Result<State> state = read();
  if (!state) return SetAside(state.error());
  state_ = std::move(*state);
  return Ok();
}

// A node whose daemon does not start for it would be worse than a bridge that nobody removes.
Result<> CniDefaultNetwork::SetAside(const Error& why) {
  LogWarn(StrCat("default network: state file: ", why.message(), "; set aside as ", kBadFile,
                 ": the next pod gets a new bridge, an old one stays"));
  TRY(dir_.Rename(kFile, kBadFile, true), "default network");
  return Ok();
}

Result<> CniDefaultNetwork::Save(const State& state) {
  wire::Writer out;
  out.Text(kMagic);
  out.U32(kVersion);
  out.Bool(state.in_use);
  out.Bool(state.firewall);
  out.Bool(state.native);
  out.Text(state.bridge);
  out.Text(state.ipv4);
  out.Text(state.ipv6);
  out.U32(state.mtu);
  for (const std::set<std::string>& names : state.before)
    out.Texts(std::vector<std::string>(names.begin(), names.end()));
  TRY(dir_.WriteFile(kFile, out.bytes(), 0600, os::Durability::kDurable), "default network");
  state_ = state;
  return Ok();
}

Result<std::string> CniDefaultNetwork::ChooseSubnet(const std::string& last) const {
  if (!options_.ipv4_subnet.empty()) {
    TRY(ParseIpv4Prefix(options_.ipv4_subnet), "default network");
    return options_.ipv4_subnet;
  }
  const std::vector<Route> routes = TRY(ListIpv4Routes());
  // Pods keep their range while the daemon lives.
  if (!last.empty() && IsFree(TRY(ParseIpv4Prefix(last)), routes)) return last;
  auto candidate = [](uint32_t a, uint32_t b) { return Ipv4Prefix{a << 24 | b << 16, 16}; };
  std::vector<Ipv4Prefix> candidates;
  for (uint32_t b = 88; b < 128; ++b) candidates.push_back(candidate(10, b));
  for (uint32_t b = 28; b < 32; ++b) candidates.push_back(candidate(172, b));
  candidates.push_back(Ipv4Prefix{uint32_t{192} << 24 | uint32_t{168} << 16 | 240 << 8, 20});
  for (const Ipv4Prefix& subnet : candidates) {
    if (IsFree(subnet, routes)) return StrCat(FormatIpv4(subnet.address), "/", subnet.length);
  }
  return Error(Code::kFailedPrecondition,
               "default network: every candidate subnet overlaps a route of the host");
}

Result<CniDefaultNetwork::State> CniDefaultNetwork::Choose() const {
  State state;
  state.in_use = true;
  if (!IsLinkName(options_.bridge))
    return Error(Code::kInvalidArgument,
                 StrCat("default network: bridge ", Quote(options_.bridge), ": not a name"));
  const std::vector<Link> links = TRY(ListLinks());
  state.bridge = TRY(FreeName(options_.bridge, links), "default network");
  state.ipv4 = TRY(ChooseSubnet(state_.ipv4));
  state.mtu = SmallMtu(links, TRY(ListIpv4Routes()));
  state.native = options_.native;
  const bool ipv6 = options_.ipv6_subnet != "none" && HostHasIpv6();
  if (ipv6) {
    state.ipv6 = !options_.ipv6_subnet.empty() ? options_.ipv6_subnet : state_.ipv6;
    if (state.ipv6.empty()) state.ipv6 = TRY(RandomUla());
  }
  TRY(LookAtFirewall(state, ipv6));
  return state;
}

// What is there before the first pod, and whether packets to pods need a rule to pass. Berth's own plugins leave nothing that
// would have to be told from what was there.
Result<> CniDefaultNetwork::LookAtFirewall(State& state, bool ipv6) const {
  if (state.native) {
    state.firewall = TRY(ForwardIsDropped());
    return Ok();
  }
  Result<IptablesRules> v4 = SaveIptables(IpFamily::kV4);
  if (!v4) return std::move(v4.error()).WithCode(Code::kFailedPrecondition);
  state.before[0] = SharedNames(*v4);
  state.firewall = ForwardIsClosed(*v4);
  if (!ipv6) return Ok();
  Result<IptablesRules> v6 = SaveIptables(IpFamily::kV6);
  if (!v6 && v6.error().code() == Code::kNotFound) {
    state.ipv6.clear();  // the reference plugins could not masquerade
    return Ok();
  }
  if (!v6) return std::move(v6.error());
  state.before[1] = SharedNames(*v6);
  state.firewall = state.firewall || ForwardIsClosed(*v6);
  return Ok();
}

Result<> CniDefaultNetwork::Prepare() {
  if (state_.in_use) return Ok();
  return Save(TRY(Choose()));
}

Result<CniConfig> CniDefaultNetwork::Config(const Needs& needs) const {
  const std::string bridge = state_.in_use ? state_.bridge : options_.bridge;
  const bool native = state_.in_use ? state_.native : options_.native;
  const std::string ipv4 = !state_.ipv4.empty()            ? state_.ipv4
                           : !options_.ipv4_subnet.empty() ? options_.ipv4_subnet
                                                           : std::string(kFirstSubnet);
  std::string ranges = StrCat(R"([{"subnet":")", ipv4, R"("}])");
  std::string routes = R"({"dst":"0.0.0.0/0"})";
  if (!state_.ipv6.empty()) {
    ranges += StrCat(R"(,[{"subnet":")", state_.ipv6, R"("}])");
    routes += R"(,{"dst":"::/0"})";
  }
  // The reference plugins that can also speak nftables are told not to: what they leave would be another
  // thing to clean up. Berth's own take no notice.
  std::string text =
      StrCat(R"({"cniVersion":")", native ? "1.1.0" : "1.0.0", R"(","name":")", bridge,
             R"(","plugins":[{"type":"bridge","bridge":")", bridge,
             R"(","isGateway":true,"hairpinMode":true,"ipMasq":true,"ipMasqBackend":"iptables",)",
             state_.mtu != 0 ? StrCat(R"("mtu":)", state_.mtu, ",") : std::string(),
             R"("ipam":{"type":"host-local","dataDir":")", ipam_dir_, R"(","ranges":[)", ranges,
             R"(],"routes":[)", routes, "]}}");
  if (needs.port_mappings)
    text += R"(,{"type":"portmap","snat":true,"backend":"iptables",)"
            R"("capabilities":{"portMappings":true}})";
  if (state_.firewall) text += R"(,{"type":"firewall","backend":"iptables"})";
  if (needs.bandwidth) text += R"(,{"type":"bandwidth","capabilities":{"bandwidth":true}})";
  text += "]}";
  CniConfig config;
  config.list = TRY(oci::ParseNetworkConfig(text), "default network");
  return config;
}

Result<> CniDefaultNetwork::RemoveBridge() const {
  // The kernel takes a pod's interface away a moment after its namespace has gone.
  constexpr int kRounds = 40;
  constexpr auto kPause = std::chrono::milliseconds(50);
  for (int round = 0;; ++round) {
    const std::vector<Link> links = TRY(ListLinks());
    auto bridge =
        std::ranges::find_if(links, [&](const Link& link) { return link.name == state_.bridge; });
    if (bridge == links.end() || bridge->kind != "bridge") return Ok();
    auto port =
        std::ranges::find_if(links, [&](const Link& link) { return link.master == bridge->index; });
    if (port == links.end()) return DeleteLink(*bridge);
    if (round == kRounds)
      return Error(Code::kFailedPrecondition,
                   StrCat("remove bridge ", bridge->name, ": interface ", port->name, " is in it"));
    std::this_thread::sleep_for(kPause);
  }
}

Result<> CniDefaultNetwork::Cleanup() {
  if (!state_.in_use) return Ok();
  TRY(RemoveBridge(), "default network");
  if (UsesIptables()) {
    TRY(RemoveFromIptables(IpFamily::kV4, state_.bridge, "", true, state_.before[0]));
    if (!state_.ipv6.empty())
      TRY(RemoveFromIptables(IpFamily::kV6, state_.bridge, "", true, state_.before[1]));
  }
  // host-local's own files: no lease is left, only its lock and the address it gave out last.
  TRY(dir_.RemoveTree(kIpamDir), "default network");
  // Last: while the file is there, cleaning up is owed.
  TRY(dir_.RemoveFile(kFile), "default network");
  TRY(dir_.Sync(), "default network");
  State clean;  // the next pod of this daemon gets the same ranges
  clean.ipv4 = state_.ipv4;
  clean.ipv6 = state_.ipv6;
  state_ = clean;
  return Ok();
}

Result<> CniDefaultNetwork::CleanupPod(const std::string& container_id) const {
  if (!state_.in_use || !UsesIptables()) return Ok();
  TRY(RemoveFromIptables(IpFamily::kV4, state_.bridge, container_id, false, {}));
  if (!state_.ipv6.empty())
    TRY(RemoveFromIptables(IpFamily::kV6, state_.bridge, container_id, false, {}));
  return Ok();
}

}  // namespace berth::runtime

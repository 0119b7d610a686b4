// SPDX-License-Identifier: Apache-2.0
// The bridge plugin: ADD, DEL, STATUS, GC; CHECK is in bridge_check.cc.
#include <linux/if.h>

#include <chrono>
#include <thread>

#include "base/rollback.h"
#include "base/strings.h"
#include "cni/bridge_check.h"
#include "cni/bridge_config.h"
#include "cni/ipam.h"
#include "cni/json_internal.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "cni/pod_interface.h"
#include "cni/pod_rules.h"
#include "cni/spoof_check.h"

namespace berth::cni {

namespace {

constexpr int kContainer = 2;  // index in the result's interfaces: bridge, host's end, pod's end

Attachment Of(const Request& request) { return {request.container_id, request.ifname}; }

// An address of its own: without one a bridge takes the lowest of its ports', which come and go. RFC 7042, section 2.1:
// locally administered, not a group.
Result<std::string> RandomMac() {
  const std::string digits = (TRY(NewId())).substr(0, 12);
  std::string mac;
  for (size_t i = 0; i < digits.size(); i += 2)
    mac.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  mac[0] = static_cast<char>((mac[0] & 0xfc) | 0x02);
  return mac;
}

Result<Link> FindBridge(Links& host, const std::string& name) {
  Link link = TRY(host.Find(name));
  if (link.kind != "bridge")
    return Error(Code::kFailedPrecondition,
                 StrCat(Quote(name), " already exists but is not a bridge"));
  return link;
}

Result<Link> EnsureBridge(Links& host, const BridgeConfig& config) {
  Result<Link> bridge = FindBridge(host, config.bridge);
  if (!bridge && bridge.error().code() == Code::kNotFound) {
    Result<> made =
        host.AddBridge(config.bridge, config.mtu, TRY(RandomMac()), config.vlan_filtering);
    // Another ADD was first: as good.
    if (!made && made.error().code() != Code::kAlreadyExists)
      return std::move(made.error()).Wrap(StrCat("could not add ", Quote(config.bridge)));
    bridge = FindBridge(host, config.bridge);
  }
  if (!bridge) return bridge;
  if (config.promiscuous && bridge->promiscuity == 0)
    TRY(host.SetFlag(bridge->index, IFF_PROMISC, true), "could not set promiscuous mode");
  if (bridge->up()) return bridge;
  TRY(SetSysctlIfThere(StrCat("net/ipv6/conf/", config.bridge, "/accept_ra"), "0"));
  TRY(host.SetUp(bridge->index, true), "up");
  return bridge;
}

Result<> SetVlans(Links& host, int port, const BridgeConfig& config, uint16_t vlan,
                  const std::vector<uint16_t>& trunk) {
  if (vlan == 0 && trunk.empty()) return Ok();
  if (!config.preserve_default_vlan) {
    for (uint16_t id : TRY(host.Vlans(port)))
      TRY(host.DeleteVlan(port, id), "failed to remove default vlan");
  }
  if (vlan != 0) TRY(host.AddVlan(port, vlan, true), "failed to setup vlan tag");
  for (uint16_t id : trunk) TRY(host.AddVlan(port, id, false), "failed to setup vlan tag");
  // Without a vlan of its own the trunk's native one is 1.
  if (vlan == 0) TRY(host.AddVlan(port, 1, true), "failed to setup default native vlan tag");
  return Ok();
}

Result<> JoinBridge(Links& host, const Link& port, const Link& bridge, const BridgeConfig& config) {
  TRY(host.SetMasterAndUp(port.index, bridge.index),
      StrCat("failed to connect ", Quote(port.name), " to bridge ", bridge.name));
  // A new port has neither.
  if (config.hairpin || config.port_isolation)
    TRY(host.SetPort(port.index, config.hairpin, config.port_isolation),
        StrCat("failed to set mode of bridge port ", Quote(port.name)));
  return SetVlans(host, port.index, config, config.vlan, config.trunk);
}

// The gateway of a VLAN is an interface beside the bridge: a veth on the host whose other end is in the bridge.
Result<Link> EnsureVlanInterface(Links& host, const Link& bridge, const BridgeConfig& config) {
  const std::string name = StrCat(bridge.name, ".", config.vlan);
  Result<Link> there = host.Find(name);
  if (there || there.error().code() != Code::kNotFound) return there;
  PodNetns own = TRY(PodNetns::Open("/proc/thread-self/ns/net"));
  VethEnds ends =
      TRY(MakeVeth(own, host, host, name, bridge.mtu, ""), "failed to create vlan gateway");
  TRY(host.SetMasterAndUp(ends.host.index, bridge.index), "vlan gateway");
  TRY(SetVlans(host, ends.host.index, config, config.vlan, {}));
  TRY(host.SetUp(ends.pod.index, true), StrCat("failed to up ", Quote(name)));
  return host.Find(name);
}

Result<> EnsureAddress(Links& host, const Link& link, const IpPrefix& address, bool force) {
  for (const LinkAddress& each : TRY(host.Addresses(link.index, address.address.v6))) {
    if (each.address == address) return Ok();
    // Several IPv6 addresses may be there if their subnets do not overlap.
    const bool overlaps =
        Contains(each.address, address.address) || Contains(address, each.address.address);
    if (address.address.v6 && !overlaps) continue;
    if (!force)
      return Error(
          Code::kFailedPrecondition,
          StrCat(Quote(link.name), " already has an IP address different from ", Format(address)));
    TRY(host.DeleteAddress(link.index, each.address),
        StrCat("could not remove IP address from ", Quote(link.name)));
  }
  Result<> added = host.AddAddress(link.index, address);
  if (!added && added.error().code() != Code::kAlreadyExists)
    return std::move(added.error()).Wrap(StrCat("could not add IP address to ", Quote(link.name)));
  // Kept from now on, whichever ports come and go. Asked for again: a bridge without ports may have had none.
  const Link now = TRY(host.Find(link.name));
  TRY(host.SetAddress(now.index, now.address), "could not set bridge's mac");
  return Ok();
}

Result<> SetUpGateways(Links& host, const Link& bridge, const BridgeConfig& config, Outcome& out) {
  if (!config.is_gateway) return Ok();
  std::optional<Link> vlan;
  bool forwarded[2] = {false, false};
  const std::vector<IpConfig> ips = out.ips;
  for (const IpConfig& ip : ips) {
    if (config.vlan != 0 && !vlan) {
      vlan = TRY(EnsureVlanInterface(host, bridge, config), "failed to create vlan interface");
      out.interfaces.push_back({.name = vlan->name, .mac = FormatMac(vlan->address)});
    }
    const IpPrefix gateway{*ip.gateway, ip.address.length};
    TRY(EnsureAddress(host, vlan ? *vlan : bridge, gateway, config.force_address),
        "failed to set bridge addr");
    bool& done = forwarded[gateway.address.v6 ? 1 : 0];
    if (!done) TRY(EnableForwarding(gateway.address.v6), "failed to enable forwarding");
    done = true;
  }
  return Ok();
}

// The kernel says "up" a moment after both ends are: at most 2.5 s.
Result<Link> WaitForPort(Links& host, const std::string& name) {
  constexpr std::chrono::microseconds kFirst{200};
  constexpr std::chrono::milliseconds kMost{2550};
  const auto deadline = std::chrono::steady_clock::now() + kMost;
  for (auto pause = kFirst;; pause *= 2) {
    Link port = TRY(host.Find(name));
    if (port.oper_up) return port;
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kInternal, StrCat("bridge port in error state: ", name, " is not up"));
    std::this_thread::sleep_for(
        std::min<std::chrono::microseconds>(pause, std::chrono::milliseconds(100)));
  }
}

// Layer 3: an address from IPAM.
Result<> TakeAddresses(const Request& request, const BridgeConfig& config, Links& pod,
                       const VethEnds& ends, Outcome& out, Rollback& undo) {
  Outcome given = TRY(IpamAdd(request));
  // Nobody gets the address while the interface has it.
  undo.Add("ipam", [&request, &pod, index = ends.pod.index]() -> Result<> {
    TRY(pod.Delete(index));
    return IpamCall(request, "DEL");
  });
  out.ips = std::move(given.ips);
  out.routes = std::move(given.routes);
  out.dns = std::move(given.dns);
  if (out.ips.empty()) return Error(Code::kInternal, "IPAM plugin returned missing IP config");
  FillGateways(config, kContainer, out);
  return Ok();
}

// It is on the pod's interface, with gateway and masquerading.
Result<> SetUpAddresses(const Request& request, const BridgeConfig& config, PodNetns& netns,
                        Links& pod, Links& host, const VethEnds& ends, const Link& bridge,
                        Outcome& out, Rollback& undo) {
  TRY(ConfigureInterface(netns, pod, ends.pod, out,
                         {.interface = kContainer, .dad = config.enable_dad}));
  TRY(SetUpGateways(host, bridge, config, out));
  if (!config.ip_masq) return Ok();
  undo.Add("masquerade", [&request] { return RemoveMasquerade(request.network, Of(request)); });
  return AddMasquerade(request.network, Of(request), out.ips);
}

Result<Outcome> Add(const Request& request) {
  const bool layer3 = !request.ipam_type.empty();
  const BridgeConfig config = TRY(ParseBridgeConfig(request.config, request.args, layer3));
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  Links host = TRY(Links::Open());
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  const Link bridge =
      TRY(EnsureBridge(host, config), StrCat("failed to create bridge ", Quote(config.bridge)));
  Rollback undo;
  const VethEnds ends = TRY(MakeVeth(netns, pod, host, request.ifname, config.mtu, config.mac));
  undo.Add("veth", [&pod, index = ends.pod.index] { return pod.Delete(index); });
  TRY(JoinBridge(host, ends.host, bridge, config));
  Outcome out;
  out.interfaces = {
      {.name = bridge.name, .mac = FormatMac(bridge.address)},
      {.name = ends.host.name, .mac = FormatMac(ends.host.address)},
      {.name = request.ifname, .mac = FormatMac(ends.pod.address), .sandbox = request.netns}};
  // Before any rule: IPAM refuses an attachment that lives already, in another namespace, and has its rules.
  if (layer3) TRY(TakeAddresses(request, config, pod, ends, out, undo));
  if (config.mac_spoof_check) {
    undo.Add("spoof check", [&request] { return RemoveSpoofCheck(request.network, Of(request)); });
    TRY(AddSpoofCheck(request.network, Of(request), ends.host.name, ends.pod.address),
        "failed to setup spoof-check");
  }
  if (layer3) {
    TRY(SetUpAddresses(request, config, netns, pod, host, ends, bridge, out, undo));
  } else if (!config.no_container_interface) {
    TRY(pod.SetUp(ends.pod.index, true), StrCat("failed to set ", Quote(request.ifname), " up"));
  }
  if (!config.no_container_interface)
    out.interfaces[1].mac = FormatMac((TRY(WaitForPort(host, ends.host.name))).address);
  // It may have changed with the first port.
  out.interfaces[0].mac = FormatMac((TRY(FindBridge(host, config.bridge))).address);
  if (!config.dns.empty()) out.dns = config.dns;
  undo.Commit();
  return out;
}

// All that can be done is, with what can be read of the configuration; the first error is told. The lease is last: nobody
// gets the address while an interface has it.
Result<> Del(const Request& request) {
  Result<> done = Ok();
  auto note = [&](Result<> part) {
    if (done) done = std::move(part);
  };
  // The rules first: whom their socket makes wait is the child that deletes the interface.
  Result<Nft> nft = Error(Code::kNotFound, "");
  if (MayBeSet(request.config, "ipMasq")) {
    nft = Nft::Open();
    note(nft ? RemoveMasquerade(*nft, request.network, Of(request))
             : Result<>(std::move(nft.error())));
  }
  if (MayBeSet(request.config, "macspoofchk")) note(RemoveSpoofCheck(request.network, Of(request)));
  Result<> deleted = DeletePodInterface(request.netns, request.ifname);
  const bool gone = deleted.has_value();
  note(std::move(deleted));
  if (gone && !request.ipam_type.empty()) note(IpamCall(request));
  return done;
}

Result<> Status(const Request& request) {
  TRY(ParseBridgeConfig(request.config, "", !request.ipam_type.empty()));
  return request.ipam_type.empty() ? Ok() : IpamCall(request);
}

Result<> Gc(const Request& request) {
  const BridgeConfig config = TRY(ParseBridgeConfig(request.config, "", false));
  if (!request.valid_attachments) return Ok();
  if (config.mac_spoof_check) TRY(CollectSpoofChecks(request.network, *request.valid_attachments));
  if (config.ip_masq) TRY(CollectMasquerades(request.network, *request.valid_attachments));
  return request.ipam_type.empty() ? Ok() : IpamCall(request);
}

}  // namespace

const Plugin kBridge{"bridge", Add, Del, CheckBridge, Status, Gc};

}  // namespace berth::cni

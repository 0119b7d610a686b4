// SPDX-License-Identifier: Apache-2.0
#include "cni/pod_interface.h"

#include <linux/if_addr.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/strings.h"
#include "cni/afterwards.h"

namespace berth::cni {

namespace {

constexpr int kNameTries = 10;
constexpr std::chrono::seconds kSettle{5};
constexpr std::chrono::milliseconds kPause{5};

Result<std::string> RandomName() {
  uint8_t bytes[4];
  if (::getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes)))
    return ErrnoError("random name");
  return StrCat("veth", HexEncode({reinterpret_cast<const char*>(bytes), sizeof(bytes)}));
}

// Tries names until one is free on the host.
Result<std::string> AddVethOnce(PodNetns& netns, Links& pod, Links& host, Veth veth,
                                const std::string& host_name) {
  for (int i = 0; i < kNameTries; ++i) {
    veth.peer_name = host_name.empty() ? TRY(RandomName()) : host_name;
    veth.peer_netns = netns.host_fd();
    Result<> made = pod.AddVeth(veth);
    if (made) return veth.peer_name;
    if (made.error().code() != Code::kAlreadyExists)
      return std::move(made.error()).Wrap("failed to make veth pair");
    if (!host_name.empty() || !host.Find(veth.peer_name))
      return Error(Code::kAlreadyExists,
                   StrCat("container veth name (", Quote(veth.name), ") peer provided (",
                          Quote(veth.peer_name), ") already exists"));
  }
  return Error(Code::kInternal, "failed to find a unique veth name");
}

// A pod whose namespace has IPv6 switched off gets it for an interface that has an IPv6 address.
Result<> EnableIpv6(const std::string& ifname) {
  for (const std::string& name : {std::string("lo"), ifname}) {
    const std::string key = StrCat("net/ipv6/conf/", name, "/disable_ipv6");
    Result<std::string> value = GetSysctl(key);
    if (!value || *value == "0") continue;
    TRY(SetSysctl(key, "0"), StrCat("failed to enable IPv6 for interface ", Quote(name)));
  }
  return SetSysctl(StrCat("net/ipv6/conf/", ifname, "/keep_addr_on_down"), "1");
}

Result<> SetSysctls(const std::string& ifname, bool ipv6, bool dad) {
  const std::string conf6 = StrCat("net/ipv6/conf/", ifname, "/");
  if (dad) TRY(SetSysctlIfThere(conf6 + "enhanced_dad", "1"));
  TRY(SetSysctlIfThere(conf6 + "accept_dad", dad ? "1" : "0"));
  TRY(SetSysctlIfThere(StrCat("net/ipv4/conf/", ifname, "/arp_notify"), "1"));
  return ipv6 ? EnableIpv6(ifname) : Ok();
}

Result<> SettleAddresses(Links& pod, const Link& link) {
  const auto deadline = std::chrono::steady_clock::now() + kSettle;
  for (;;) {
    bool tentative = false;
    for (const LinkAddress& each : TRY(pod.Addresses(link.index, true))) {
      if ((each.flags & IFA_F_DADFAILED) != 0)
        return Error(Code::kInternal, StrCat("link ", link.name, " has address ",
                                             Format(each.address.address), " in DADFAILED state"));
      tentative = tentative || (each.flags & IFA_F_TENTATIVE) != 0;
    }
    if (!tentative) return Ok();
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kInternal,
                   StrCat("link ", link.name, " still has tentative addresses after 5 seconds"));
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

Result<VethEnds> MakeVeth(PodNetns& netns, Links& pod, Links& host, const std::string& ifname,
                          uint32_t mtu, std::string_view mac, const std::string& host_name) {
  Veth veth;
  veth.name = ifname;
  veth.mtu = mtu;
  veth.address = mac;
  const std::string peer = TRY(AddVethOnce(netns, pod, host, std::move(veth), host_name));
  VethEnds ends;
  auto finish = [&]() -> Result<> {
    ends.pod = TRY(pod.Find(ifname));
    ends.host = TRY(host.Find(peer));
    // Before the interfaces are up: an advertisement at the first moment would be taken (CVE-2020-10749).
    TRY(SetSysctlIfThere(StrCat("net/ipv6/conf/", peer, "/accept_ra"), "0"));
    return netns.Inside(
        [&] { return SetSysctlIfThere(StrCat("net/ipv6/conf/", ifname, "/accept_ra"), "0"); });
  };
  if (Result<> done = finish(); !done) {
    // By the end that is found: the other goes with it.
    Result<Link> made = host.Find(peer);
    (void)(made ? host.Delete(made->index) : pod.Delete(ends.pod.index));
    return std::move(done.error());
  }
  return ends;
}

Result<> ConfigureInterface(PodNetns& netns, Links& pod, const Link& link, const Outcome& outcome,
                            const InterfaceSetup& setup) {
  const bool ipv6 =
      std::ranges::any_of(outcome.ips, [](const IpConfig& ip) { return ip.address.address.v6; });
  TRY(netns.Inside([&] { return SetSysctls(link.name, ipv6, setup.dad); }));
  std::optional<IpAddress> gateways[2];
  for (const IpConfig& ip : outcome.ips) {
    if (!ip.interface) continue;
    if (*ip.interface != setup.interface)
      return Error(Code::kInternal, StrCat("failed to add IP addr ", Format(ip.address), " to ",
                                           Quote(link.name), ": invalid interface index"));
    TRY(pod.AddAddress(link.index, ip.address, setup.dad),
        StrCat("failed to add IP addr to ", Quote(link.name)));
    std::optional<IpAddress>& gateway = gateways[ip.address.address.v6 ? 1 : 0];
    if (!gateway) gateway = ip.gateway;
  }
  TRY(pod.SetUp(link.index, true), StrCat("failed to set ", Quote(link.name), " UP"));
  if (gateways[1] && setup.dad) TRY(SettleAddresses(pod, link), "failed to settle addresses");
  for (Route route : outcome.routes) {
    if (!route.gw) route.gw = gateways[route.dst.address.v6 ? 1 : 0];
    TRY(pod.AddRoute(link.index, route), "failed to add route");
  }
  return Ok();
}

Result<> EnableForwarding(bool v6) {
  const std::string key = v6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
  // Writing it takes RTNL and walks every interface.
  if (Result<std::string> value = GetSysctl(key); value && *value == "1") return Ok();
  return SetSysctl(key, "1");
}

Result<> DeletePodInterface(const std::string& netns, const std::string& ifname) {
  std::optional<PodNetns> there = TRY(OpenIfThere(netns));
  if (!there) return Ok();
  Links pod = TRY(there->Inside([] { return Links::Open(); }));
  Result<Link> link = pod.Find(ifname);
  if (!link && link.error().code() == Code::kNotFound) return Ok();
  if (!link) return std::move(link.error());
  // Both ends are gone long before the call that deletes them returns.
  Afterwards child = TRY(there->Inside([&] {
    return Afterwards::Start([index = link->index]() -> Result<> {
      Links own = TRY(Links::Open());
      return own.Delete(index);
    });
  }));
  child.Leave();
  for (auto pause = std::chrono::microseconds(100);;
       pause = std::min<std::chrono::microseconds>(pause * 2, kPause)) {
    if (TRY(child.Finished(), StrCat("failed to delete ", Quote(ifname)))) return Ok();
    Result<Link> now = pod.Find(ifname);
    if (!now && now.error().code() == Code::kNotFound) return Ok();
    std::this_thread::sleep_for(pause);
  }
}

Result<Link> CheckPodInterface(Links& pod, const Outcome& outcome, const std::string& ifname,
                               const std::string& netns) {
  for (const Interface& each : outcome.interfaces) {
    if (each.name != ifname || each.sandbox != netns) continue;
    Result<Link> link = pod.Find(ifname);
    if (!link) return Error(Code::kInternal, StrCat("Interface name ", ifname, " not found"));
    if (link->kind != "veth")
      return Error(Code::kInternal,
                   StrCat("Error: Container interface ", ifname, " not of type veth"));
    if (!each.mac.empty() && each.mac != FormatMac(link->address))
      return Error(Code::kInternal,
                   StrCat("Interface ", ifname, " Mac ", each.mac,
                          " doesn't match container Mac: ", FormatMac(link->address)));
    return link;
  }
  return Error(Code::kInternal,
               StrCat("Sandbox in prevResult doesn't match configured netns: ", netns));
}

Result<> CheckAddresses(Links& pod, const Link& link, const Outcome& outcome) {
  std::vector<LinkAddress> addresses[2];
  std::vector<KernelRoute> routes[2];
  for (bool v6 : {false, true}) {
    addresses[v6 ? 1 : 0] = TRY(pod.Addresses(link.index, v6));
    routes[v6 ? 1 : 0] = TRY(pod.Routes(v6));
  }
  auto has_route = [&](const IpPrefix& dst, const std::optional<IpAddress>& gw) {
    return std::ranges::any_of(routes[dst.address.v6 ? 1 : 0], [&](const KernelRoute& route) {
      return route.dst.length == dst.length && Network(route.dst) == Network(dst) &&
             (!gw || route.gw == gw);
    });
  };
  for (const IpConfig& ip : outcome.ips) {
    const std::vector<LinkAddress>& there = addresses[ip.address.address.v6 ? 1 : 0];
    if (std::ranges::none_of(there,
                             [&](const LinkAddress& each) { return each.address == ip.address; }))
      return Error(Code::kInternal, StrCat("Failed to match addr ", Format(ip.address),
                                           " on interface ", link.name));
    if (!has_route({Network(ip.address), ip.address.length}, std::nullopt))
      return Error(Code::kInternal,
                   StrCat("Failed to find Gateway ", ip.gateway ? Format(*ip.gateway) : "<nil>",
                          " for interface ", link.name));
  }
  for (const Route& route : outcome.routes) {
    // Of a default route only the presence is asked, as the reference does.
    if (!has_route(route.dst, route.dst.length == 0 ? std::nullopt : route.gw))
      return Error(Code::kInternal,
                   StrCat("Expected Route ", Format(route.dst), " not found in routing table"));
  }
  return Ok();
}

}  // namespace berth::cni

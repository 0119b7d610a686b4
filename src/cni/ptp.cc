// SPDX-License-Identifier: Apache-2.0
// The ptp plugin: a veth with a route to it on the host, no bridge. The pod reaches even its own subnet by the gateway:
//
//   pod   10.1.0.5/24 on eth0;  10.1.0.1 dev eth0 scope link;  10.1.0.0/24 via 10.1.0.1;  the kernel's 10.1.0.0/24 is deleted
//   host  10.1.0.1/32 on veth...;  10.1.0.5/32 dev veth...
#include <linux/rtnetlink.h>

#include "base/rollback.h"
#include "base/strings.h"
#include "cni/ipam.h"
#include "cni/json_internal.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "cni/pod_interface.h"
#include "cni/pod_rules.h"

namespace berth::cni {

namespace {

constexpr int kContainer = 1;  // index in the result's interfaces: host's end, pod's end
constexpr int64_t kMaxMtu = 65535;

struct PtpConfig {
  bool ip_masq = false;
  uint32_t mtu = 0;
  Dns dns = {};
};

Result<PtpConfig> Parse(const Request& request) {
  const Json tree = TRY(oci::ParseJson(request.config, kInputLimits, "network config"));
  const JsonReader root(tree);
  PtpConfig out;
  out.ip_masq = TRY(ReadFlag(root, "ipMasq"), "failed to load netconf");
  TRY(CheckMasqueradeBackend(root));
  out.mtu =
      static_cast<uint32_t>(TRY(ReadNumber(root, "mtu", 0, kMaxMtu), "failed to load netconf"));
  if (std::optional<JsonReader> dns = TRY(root.Optional("dns"))) out.dns = TRY(ReadDns(*dns));
  if (request.ipam_type.empty()) return Error(Code::kInvalidArgument, "ptp: ipam.type: missing");
  return out;
}

Attachment Of(const Request& request) { return {request.container_id, request.ifname}; }
IpPrefix Alone(const IpAddress& address) { return {address, address.bits()}; }

Result<> SetPodRoutes(Links& pod, const Link& link, const Outcome& out) {
  for (const IpConfig& ip : out.ips) {
    const IpPrefix network{Network(ip.address), ip.address.length};
    Route kernel;
    kernel.dst = network;
    kernel.scope = RT_SCOPE_NOWHERE;
    TRY(pod.DeleteRoute(link.index, kernel), "failed to delete route");
    Route gateway;
    gateway.dst = Alone(*ip.gateway);
    gateway.scope = RT_SCOPE_LINK;
    gateway.src = ip.address.address;
    TRY(pod.AddRoute(link.index, gateway), "failed to add route");
    Route subnet;
    subnet.dst = network;
    subnet.gw = ip.gateway;
    subnet.src = ip.address.address;
    TRY(pod.AddRoute(link.index, subnet), "failed to add route");
  }
  return Ok();
}

Result<> SetUpHost(Links& host, const Link& link, const Outcome& out) {
  TRY(host.SetUp(link.index, true), StrCat("failed to set ", Quote(link.name), " up"));
  for (const IpConfig& ip : out.ips) {
    TRY(host.AddAddress(link.index, Alone(*ip.gateway)), "failed to add IP addr to veth");
    Route route;
    route.dst = Alone(ip.address.address);
    route.scope = RT_SCOPE_HOST;
    TRY(host.AddRoute(link.index, route), "failed to add route on host");
    TRY(EnableForwarding(ip.address.address.v6), "Could not enable IP forwarding");
  }
  return Ok();
}

Result<Outcome> Add(const Request& request) {
  const PtpConfig config = TRY(Parse(request));
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  Links host = TRY(Links::Open());
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  Rollback undo;
  Outcome out = TRY(IpamAdd(request));
  undo.Add("ipam", [&request] { return IpamCall(request, "DEL"); });
  out.interfaces.clear();
  if (out.ips.empty()) return Error(Code::kInternal, "IPAM plugin returned missing IP config");
  for (IpConfig& ip : out.ips) {
    if (!ip.gateway)
      return Error(Code::kInternal, StrCat("IPAM plugin gave no gateway for ", Format(ip.address)));
    ip.interface = kContainer;
  }
  const VethEnds ends = TRY(MakeVeth(netns, pod, host, request.ifname, config.mtu, ""));
  undo.Add("veth", [&pod, index = ends.pod.index] { return pod.Delete(index); });
  out.interfaces = {
      {.name = ends.host.name, .mac = FormatMac(ends.host.address)},
      {.name = request.ifname, .mac = FormatMac(ends.pod.address), .sandbox = request.netns}};
  TRY(ConfigureInterface(netns, pod, ends.pod, out, {.interface = kContainer}));
  TRY(SetPodRoutes(pod, ends.pod, out));
  TRY(SetUpHost(host, ends.host, out));
  if (config.ip_masq) {
    undo.Add("masquerade", [&request] { return RemoveMasquerade(request.network, Of(request)); });
    TRY(AddMasquerade(request.network, Of(request), out.ips));
  }
  if (!config.dns.empty()) out.dns = config.dns;
  undo.Commit();
  return out;
}

// All that can be done is, with what can be read of the configuration; the first error is told. The lease is last: nobody
// gets the address while an interface has it.
Result<> Del(const Request& request) {
  Result<> done = Ok();
  // The rules first: whom their socket makes wait is the child that deletes the interface.
  Result<Nft> nft = Error(Code::kNotFound, "");
  if (MayBeSet(request.config, "ipMasq")) {
    nft = Nft::Open();
    done = nft ? RemoveMasquerade(*nft, request.network, Of(request))
               : Result<>(std::move(nft.error()));
  }
  if (Result<> deleted = DeletePodInterface(request.netns, request.ifname); !deleted)
    return done ? std::move(deleted) : std::move(done);
  Result<> released = request.ipam_type.empty() ? Ok() : IpamCall(request);
  return done ? std::move(released) : std::move(done);
}

Result<> Check(const Request& request) {
  TRY(Parse(request));
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  TRY(IpamCall(request));
  if (!request.prev_result) return Error(Code::kInternal, "Required prevResult missing");
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  const Link link =
      TRY(CheckPodInterface(pod, *request.prev_result, request.ifname, request.netns));
  return CheckAddresses(pod, link, *request.prev_result);
}

Result<> Status(const Request& request) {
  TRY(Parse(request));
  return IpamCall(request);
}

Result<> Gc(const Request& request) {
  const PtpConfig config = TRY(Parse(request));
  if (!request.valid_attachments) return Ok();
  if (config.ip_masq) TRY(CollectMasquerades(request.network, *request.valid_attachments));
  return IpamCall(request);
}

}  // namespace

const Plugin kPtp{"ptp", Add, Del, Check, Status, Gc};

}  // namespace berth::cni

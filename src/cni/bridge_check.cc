// SPDX-License-Identifier: Apache-2.0
#include "cni/bridge_check.h"

#include "base/strings.h"
#include "cni/bridge_config.h"
#include "cni/ipam.h"
#include "cni/netns.h"
#include "cni/pod_interface.h"
#include "cni/spoof_check.h"

namespace berth::cni {

namespace {

Error Wrong(std::string message) { return Error(Code::kInternal, std::move(message)); }

Result<Link> FindNamed(Links& links, const Interface& interface) {
  if (interface.name.empty()) return Wrong("Interface name missing");
  Result<Link> link = links.Find(interface.name);
  if (!link) return Wrong(StrCat("Interface name ", interface.name, " not found"));
  if (!interface.mac.empty() && interface.mac != FormatMac(link->address))
    return Wrong(StrCat("Interface ", interface.name, " Mac ", interface.mac, " doesn't match ",
                        FormatMac(link->address)));
  return link;
}

Result<Link> CheckBridgeLink(Links& host, const Interface& interface, const BridgeConfig& config) {
  Link bridge = TRY(FindNamed(host, interface));
  if (!interface.sandbox.empty())
    return Wrong(StrCat("Interface ", interface.name, " should not be in sandbox"));
  if (bridge.kind != "bridge")
    return Wrong(StrCat("Interface ", interface.name, " does not have link type of bridge"));
  if ((bridge.promiscuity != 0) != config.promiscuous)
    return Wrong(StrCat("Bridge interface ", interface.name, " configured Promisc Mode ",
                        config.promiscuous ? "true" : "false", " doesn't match current state"));
  return bridge;
}

// The one of prevResult's interfaces that is the veth's other end.
Result<Link> FindPort(Links& host, const Outcome& previous, const Link& bridge, const Link& pod,
                      const std::string& ifname) {
  for (const Interface& interface : previous.interfaces) {
    if (interface.name == bridge.name || interface.name == ifname) continue;
    Result<Link> port = host.Find(interface.name);
    if (!port) return Wrong(StrCat("Interface name ", interface.name, " not found"));
    if (port->kind != "veth" || port->index != pod.peer || port->peer != pod.index ||
        port->master != bridge.index)
      continue;
    if (!interface.mac.empty() && interface.mac != FormatMac(port->address))
      return Wrong(StrCat("Interface ", interface.name, " Mac doesn't match: ", interface.mac,
                          " not found"));
    return port;
  }
  return Wrong(StrCat("CNI veth created for bridge ", bridge.name, " was not found"));
}

}  // namespace

Result<> CheckBridge(const Request& request) {
  const BridgeConfig config = TRY(ParseBridgeConfig(request.config, request.args, false));
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  if (!request.ipam_type.empty()) TRY(IpamCall(request));
  if (!request.prev_result) return Wrong("Required prevResult missing");
  const Interface* of_bridge = nullptr;
  for (const Interface& each : request.prev_result->interfaces) {
    if (each.name == config.bridge) of_bridge = &each;
  }
  if (of_bridge == nullptr)
    return Wrong(StrCat("CNI created bridge ", config.bridge, " in host namespace was not found"));
  Links host = TRY(Links::Open());
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  const Link bridge = TRY(CheckBridgeLink(host, *of_bridge, config));
  const Link link =
      TRY(CheckPodInterface(pod, *request.prev_result, request.ifname, request.netns));
  const Link port = TRY(FindPort(host, *request.prev_result, bridge, link, request.ifname));
  if (config.mac_spoof_check &&
      !TRY(HasSpoofCheck(request.network, {request.container_id, request.ifname}, port.name,
                         link.address)))
    return Wrong(StrCat("spoof-check rule of ", port.name, " not found"));
  return CheckAddresses(pod, link, *request.prev_result);
}

}  // namespace berth::cni

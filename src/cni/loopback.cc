// SPDX-License-Identifier: Apache-2.0
// The loopback plugin: "lo" of the pod's namespace, whatever CNI_IFNAME says.
#include "base/strings.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/plugin.h"

namespace berth::cni {

namespace {

constexpr const char* kLo = "lo";

Result<Outcome> Add(const Request& request) {
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  const Link lo = TRY(pod.Find(kLo));
  TRY(pod.SetUp(lo.index, true));
  Outcome out;
  out.interfaces.push_back({.name = kLo, .mac = "00:00:00:00:00:00", .sandbox = request.netns});
  for (bool v6 : {false, true}) {
    const std::vector<LinkAddress> addresses = TRY(pod.Addresses(lo.index, v6));
    for (const LinkAddress& each : addresses) {
      if (!each.address.address.IsLoopback())
        return Error(Code::kInternal, StrCat("loopback interface found with non-loopback address ",
                                             Quote(Format(each.address.address))));
    }
    if (addresses.empty()) continue;
    IpConfig& ip = out.ips.emplace_back();
    ip.interface = 0;
    ip.address = addresses.front().address;
  }
  // In a chain the result of the plugins before is passed on.
  return request.prev_result ? *request.prev_result : out;
}

Result<> Del(const Request& request) {
  std::optional<PodNetns> netns = TRY(OpenIfThere(request.netns));
  if (!netns) return Ok();
  Links pod = TRY(netns->Inside([] { return Links::Open(); }));
  return pod.SetUp((TRY(pod.Find(kLo))).index, false);
}

Result<> Check(const Request& request) {
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  if ((TRY(pod.Find(kLo))).up()) return Ok();
  return Error(Code::kInternal, "loopback interface is down");
}

Result<> Nothing(const Request&) { return Ok(); }

}  // namespace

const Plugin kLoopback{"loopback", Add, Del, Check, Nothing, Nothing};

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// What bridge and ptp do alike: a veth from the pod's namespace, addresses and routes on it, forwarding on the host, and
// looking at it all again for CHECK. Free functions on one call's objects; one thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/result.h"

namespace berth::cni {

struct VethEnds {
  Link pod;
  Link host;
};
// Made in the pod's namespace, its other end on the host under `host_name`, or a random name "veth%08x" when that is "".
// Both ends are down; neither accepts router advertisements.
Result<VethEnds> MakeVeth(PodNetns& netns, Links& pod, Links& host, const std::string& ifname,
                          uint32_t mtu, std::string_view mac, const std::string& host_name = "");

struct InterfaceSetup {
  int interface = 0;  // index in the outcome's interfaces: addresses of others are an error
  bool dad = false;   // duplicate address detection for IPv6, waited for
};
// Addresses, up, routes. The interface's sysctls first. Runs inside the pod's namespace as far as sysctls want that.
Result<> ConfigureInterface(PodNetns& netns, Links& pod, const Link& link, const Outcome& outcome,
                            const InterfaceSetup& setup);

Result<> EnableForwarding(bool v6);

// DEL: the interface is gone; without the namespace it is gone already.
Result<> DeletePodInterface(const std::string& netns, const std::string& ifname);

// CHECK: the pod's interface of the outcome is there, a veth, and has its address.
Result<Link> CheckPodInterface(Links& pod, const Outcome& outcome, const std::string& ifname,
                               const std::string& netns);

// CHECK: every address of the outcome is on the link with its network's route, every route is there.
Result<> CheckAddresses(Links& pod, const Link& link, const Outcome& outcome);

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// The few questions and one removal that the default network needs of the kernel: rtnetlink(7) and
// nfnetlink. Free functions on the calling thread's network namespace; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::runtime {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "bridge", "veth"; "" when the kernel names none
  int master = 0;    // index of the bridge it is in
  uint32_t mtu = 0;
};
Result<std::vector<Link>> ListLinks();

// Removes the link (RTM_DELLINK); not there: success.
Result<> DeleteLink(const Link& link);

struct Ipv4Prefix {
  uint32_t address = 0;  // host byte order
  int length = 0;        // 0 .. 32
  bool Overlaps(const Ipv4Prefix& other) const;
};
// "10.88.0.0/16", host bits zero. InvalidArgument otherwise.
Result<Ipv4Prefix> ParseIpv4Prefix(std::string_view text);
std::string FormatIpv4(uint32_t address);

struct Route {
  Ipv4Prefix destination;
  int link = 0;
};
// The IPv4 unicast and local routes of every table: what a new subnet may not overlap.
Result<std::vector<Route>> ListIpv4Routes();

// The chain FORWARD of iptables (its nf_tables flavour), of either family, drops what no rule lets pass. False when the kernel
// has no nf_tables.
Result<bool> ForwardIsDropped();

enum class NftFamily : uint8_t { kIpv4 = 2, kIpv6 = 10 };
// Removes chains and then the table if they are empty (NLM_F_NONREC: the kernel refuses otherwise),
// as iptables-nft leaves them. Not there, or not empty: success, nothing done.
Result<> DeleteEmptyNftTable(NftFamily family, const std::string& table,
                             const std::vector<std::string>& chains);

}  // namespace berth::runtime

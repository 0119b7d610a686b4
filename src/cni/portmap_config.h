// SPDX-License-Identifier: Apache-2.0
// The portmap plugin's configuration. Values; pure functions; any thread.
// https://www.cni.dev/plugins/current/meta/portmap
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/nft_message.h"
#include "cni/result.h"

namespace berth::cni {

struct HostPort {
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  uint8_t protocol = 0;              // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
  std::optional<IpAddress> host_ip;  // none: every local address
};

// A condition that a packet must meet beside the port: the one part of iptables' and nft's languages that is understood.
struct Condition {
  enum class Kind { kSource, kDestination, kInInterface } kind = Kind::kSource;
  IpPrefix prefix = {};
  std::string interface = {};
  bool equal = true;
  void AddTo(NftRule& rule) const;
};

struct PortmapConfig {
  bool snat = true;
  bool masq_all = false;                 // of consequence with snat only
  uint32_t mark = 0;                     // of packets to masquerade: one bit
  std::vector<Condition> conditions[2];  // of IPv4 and IPv6
  std::vector<HostPort> ports;
};

// "backend" is checked; whichever it is, the rules are Berth's own. externalSetMarkChain is
// checked and not needed. Unimplemented for a condition that is not understood, InvalidArgument else.
Result<PortmapConfig> ParsePortmapConfig(std::string_view config);
// {"-s", "10.0.0.0/8"}, {"!", "-d", "192.0.2.1"}, {"-i", "eth0"}; {"ip", "saddr", "!=", "10.0.0.0/8"}, {"iifname", "eth0"}.
Result<std::vector<Condition>> ParseConditions(const std::vector<std::string>& words, bool v6);

// The pod's address of a family in the result of the plugins before: the first of its interface.
std::optional<IpPrefix> PodAddress(const Outcome& outcome, std::string_view ifname, bool v6);

// What one host port needs in "hostports"; nothing when its host IP is of the other family.
void AddHostPort(const PortmapConfig& config, const HostPort& port, const IpPrefix& pod,
                 std::string_view owner, std::vector<NftRule>& rules);

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// The bridge plugin's configuration. Values; pure functions; any thread. https://www.cni.dev/plugins/current/main/bridge
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/result.h"

namespace berth::cni {

struct BridgeConfig {
  std::string bridge = "cni0";
  bool is_gateway = false;
  bool is_default_gateway = false;
  bool force_address = false;
  bool ip_masq = false;
  uint32_t mtu = 0;
  bool hairpin = false;
  bool promiscuous = false;
  uint16_t vlan = 0;
  bool vlan_filtering = false;       // vlan or vlanTrunk is there
  std::vector<uint16_t> trunk = {};  // sorted
  bool preserve_default_vlan = false;
  bool mac_spoof_check = false;
  bool enable_dad = false;
  bool no_container_interface = false;
  bool port_isolation = false;
  std::string mac;  // six bytes; ""
  Dns dns = {};
};

// "ipMasqBackend" is read and of no consequence: the rules are Berth's own. InvalidArgument.
Result<BridgeConfig> ParseBridgeConfig(std::string_view config, std::string_view cni_args,
                                       bool with_ipam);

// The first address of the network: the gateway where none is given.
IpAddress FirstAddress(const IpPrefix& prefix);
// Gives every address its interface and its gateway, and adds default routes, as the configuration asks.
void FillGateways(const BridgeConfig& config, int interface, Outcome& out);

}  // namespace berth::cni

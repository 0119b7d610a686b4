// SPDX-License-Identifier: Apache-2.0
// What Berth's CNI plugins read on standard input, and results of other plugins.
#include "cni/bridge_config.h"
#include "cni/ipam_config.h"
#include "cni/portmap_config.h"
#include "cni/request.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace cni = berth::cni;

namespace {

std::string Environment(const char* name) {
  const std::string_view asked = name;
  if (asked == "CNI_COMMAND") return "ADD";
  if (asked == "CNI_IFNAME") return "eth0";
  return asked == "CNI_NETNS_OVERRIDE" || asked == "CNI_ARGS" ? "" : "x";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = berth::fuzz::Text(data, size);
  cni::Failure failure;
  std::optional<cni::Request> request = cni::ReadRequest(Environment, std::string(text), failure);
  Require(request.has_value() || !failure.msg.empty());
  if (auto outcome = cni::ParseOutcome(text)) {
    // What is printed is read as the same.
    const auto printed = cni::FormatOutcome(*outcome, "1.1.0");
    Require(printed.has_value());
    const auto again = cni::ParseOutcome(*printed);
    Require(again.has_value() && *cni::FormatOutcome(*again, "1.1.0") == *printed);
  }
  if (auto config = cni::ParseIpamConfig(text, "")) {
    for (const cni::RangeSet& set : config->sets) {
      cni::RangeWalk walk(set, std::nullopt);
      for (int i = 0; i < 300; ++i) {
        const auto candidate = walk.Next();
        if (!candidate) break;
        Require(cni::FindRange(set, candidate->address.address) != nullptr);
        Require(candidate->address.address != candidate->gateway);
      }
    }
  }
  if (auto config = cni::ParseBridgeConfig(text, "", false))
    Require(config->vlan <= 4094 && (config->mac.empty() || config->mac.size() == 6));
  if (auto config = cni::ParsePortmapConfig(text)) {
    for (const cni::HostPort& port : config->ports)
      Require(port.host_port != 0 && port.container_port != 0);
  }
  (void)cni::CniArg(text, "IP").has_value();
  (void)cni::ParseResolvConf(text);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "cni/bridge_config.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "cni/request.h"

namespace berth::cni {

namespace {

constexpr int64_t kMaxVlan = 4094;
constexpr int64_t kMaxMtu = 65535;

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

Result<std::optional<int64_t>> ReadVlanId(const JsonReader& json, std::string_view key,
                                          std::string_view name) {
  std::optional<JsonReader> value = TRY(json.Optional(key));
  if (!value) return std::optional<int64_t>();
  Result<int64_t> id = value->Int(1, kMaxVlan);
  if (!id) return Bad(StrCat("incorrect trunk ", name, " parameter"));
  return std::optional<int64_t>(*id);
}

Result<std::vector<uint16_t>> ReadTrunk(const JsonReader& root) {
  std::set<uint16_t> ids;
  for (const JsonReader& each : TRY(ReadList(root, "vlanTrunk"))) {
    const std::optional<int64_t> min = TRY(ReadVlanId(each, "minID", "minID"));
    const std::optional<int64_t> max = TRY(ReadVlanId(each, "maxID", "maxID"));
    const std::optional<int64_t> id = TRY(ReadVlanId(each, "id", "id"));
    if (min && !max)
      return Bad("minID and maxID should be configured simultaneously, maxID is missing");
    if (!min && max)
      return Bad("minID and maxID should be configured simultaneously, minID is missing");
    if (min && *max < *min) return Bad("minID is greater than maxID in trunk parameter");
    if (min)
      for (int64_t i = *min; i <= *max; ++i) ids.insert(static_cast<uint16_t>(i));
    if (id) ids.insert(static_cast<uint16_t>(*id));
  }
  return std::vector<uint16_t>(ids.begin(), ids.end());
}

// runtimeConfig.mac before args.cni.mac before CNI_ARGS.
Result<std::string> ReadMac(const JsonReader& root, std::string_view cni_args) {
  std::string text = TRY(CniArg(cni_args, "MAC"));
  if (std::optional<JsonReader> args = TRY(root.Optional("args"))) {
    std::optional<JsonReader> cni = TRY(args->Optional("cni"));
    std::string mac = cni ? TRY(cni->OptionalString("mac")) : std::string();
    if (!mac.empty()) text = std::move(mac);
  }
  if (std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig"))) {
    std::string mac = TRY(runtime->OptionalString("mac"));
    if (!mac.empty()) text = std::move(mac);
  }
  return text.empty() ? Result<std::string>(std::string()) : ParseMac(text);
}

Result<> ReadFlags(const JsonReader& root, BridgeConfig& out) {
  out.is_default_gateway = TRY(ReadFlag(root, "isDefaultGateway"));
  out.is_gateway = TRY(ReadFlag(root, "isGateway")) || out.is_default_gateway;
  out.force_address = TRY(ReadFlag(root, "forceAddress"));
  out.ip_masq = TRY(ReadFlag(root, "ipMasq"));
  out.hairpin = TRY(ReadFlag(root, "hairpinMode"));
  out.promiscuous = TRY(ReadFlag(root, "promiscMode"));
  out.preserve_default_vlan = TRY(ReadFlag(root, "preserveDefaultVlan"));
  out.mac_spoof_check = TRY(ReadFlag(root, "macspoofchk"));
  out.enable_dad = TRY(ReadFlag(root, "enabledad"));
  out.no_container_interface = TRY(ReadFlag(root, "disableContainerInterface"));
  out.port_isolation = TRY(ReadFlag(root, "portIsolation"));
  return Ok();
}

Result<BridgeConfig> Read(const JsonReader& root, std::string_view cni_args) {
  BridgeConfig out;
  if (std::string name = TRY(root.OptionalString("bridge")); !name.empty())
    out.bridge = std::move(name);
  // The kernel would make a name of its own of it.
  if (out.bridge.find('%') != std::string::npos)
    return Bad(StrCat("bridge: ", Quote(out.bridge, 64), " is no interface's name"));
  TRY(ReadFlags(root, out));
  out.mtu = static_cast<uint32_t>(TRY(ReadNumber(root, "mtu", 0, kMaxMtu)));
  const int64_t vlan = TRY(ReadNumber(root, "vlan", INT64_MIN, INT64_MAX));
  if (vlan < 0 || vlan > kMaxVlan)
    return Bad(StrCat("invalid VLAN ID ", vlan, " (must be between 0 and 4094)"));
  out.vlan = static_cast<uint16_t>(vlan);
  out.trunk = TRY(ReadTrunk(root));
  out.vlan_filtering = vlan != 0 || root.Has("vlanTrunk");
  out.mac = TRY(ReadMac(root, cni_args));
  TRY(CheckMasqueradeBackend(root));
  if (std::optional<JsonReader> dns = TRY(root.Optional("dns"))) out.dns = TRY(ReadDns(*dns));
  return out;
}

}  // namespace

Result<BridgeConfig> ParseBridgeConfig(std::string_view config, std::string_view cni_args,
                                       bool with_ipam) {
  const Json tree = TRY(oci::ParseJson(config, kInputLimits, "network config"));
  BridgeConfig out = TRY(Read(JsonReader(tree), cni_args), "failed to load netconf");
  if (with_ipam && out.no_container_interface)
    return Bad("cannot use IPAM when DisableContainerInterface flag is set");
  if (out.hairpin && out.promiscuous)
    return Bad("cannot set hairpin mode and promiscuous mode at the same time");
  return out;
}

IpAddress FirstAddress(const IpPrefix& prefix) { return Next(Network(prefix)); }

void FillGateways(const BridgeConfig& config, int interface, Outcome& out) {
  bool found[2] = {false, false};
  for (IpConfig& ip : out.ips) {
    const bool v6 = ip.address.address.v6;
    ip.interface = interface;
    if (!ip.gateway && config.is_gateway) ip.gateway = FirstAddress(ip.address);
    if (!config.is_default_gateway || found[v6 ? 1 : 0]) continue;
    const IpPrefix any{IpAddress{v6, {}}, 0};
    found[v6 ? 1 : 0] = true;
    if (std::ranges::any_of(out.routes,
                            [&](const Route& route) { return route.gw && route.dst == any; }))
      continue;
    Route& route = out.routes.emplace_back();
    route.dst = any;
    route.gw = ip.gateway;
  }
}

}  // namespace berth::cni

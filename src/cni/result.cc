// SPDX-License-Identifier: Apache-2.0
#include "cni/result.h"

#include <climits>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "oci/cni.h"

namespace berth::cni {

namespace {

Result<std::optional<int>> ReadOptionalInt(const JsonReader& json, std::string_view key) {
  std::optional<JsonReader> value = TRY(json.Optional(key));
  if (!value) return std::optional<int>();
  return std::optional<int>(static_cast<int>(TRY(value->Int(INT_MIN, INT_MAX))));
}

Result<IpPrefix> ReadPrefix(const JsonReader& json) {
  Result<IpPrefix> prefix = ParsePrefix(TRY(json.String()));
  if (!prefix) return json.Fail(prefix.error().message());
  return prefix;
}

Result<Interface> ReadInterface(const JsonReader& json) {
  Interface out;
  out.name = TRY(json.OptionalString("name"));
  out.mac = TRY(json.OptionalString("mac"));
  out.mtu = static_cast<int>(TRY(ReadNumber(json, "mtu", 0, INT_MAX)));
  out.sandbox = TRY(json.OptionalString("sandbox"));
  out.socket_path = TRY(json.OptionalString("socketPath"));
  out.pci_id = TRY(json.OptionalString("pciID"));
  return out;
}

Result<IpConfig> ReadIp(const JsonReader& json) {
  IpConfig out;
  out.interface = TRY(ReadOptionalInt(json, "interface"));
  out.address = TRY(ReadPrefix(TRY(json.Required("address"))));
  out.gateway = TRY(ReadAddress(json, "gateway"));
  return out;
}

Json ToJson(const Interface& interface, bool v1) {
  Json out{{"name", interface.name}};
  if (!interface.mac.empty()) out["mac"] = interface.mac;
  if (!interface.sandbox.empty()) out["sandbox"] = interface.sandbox;
  if (!v1) return out;
  if (interface.mtu != 0) out["mtu"] = interface.mtu;
  if (!interface.socket_path.empty()) out["socketPath"] = interface.socket_path;
  if (!interface.pci_id.empty()) out["pciID"] = interface.pci_id;
  return out;
}

Json ToJson(const IpConfig& ip, bool v1) {
  Json out{{"address", Format(ip.address)}};
  if (!v1) out["version"] = ip.address.address.v6 ? "6" : "4";
  if (ip.interface) out["interface"] = *ip.interface;
  if (ip.gateway) out["gateway"] = Format(*ip.gateway);
  return out;
}

Json ToJson(const Route& route) {
  Json out{{"dst", Format(route.dst)}};
  if (route.gw) out["gw"] = Format(*route.gw);
  if (route.mtu != 0) out["mtu"] = route.mtu;
  if (route.advmss != 0) out["advmss"] = route.advmss;
  if (route.priority != 0) out["priority"] = route.priority;
  if (route.table) out["table"] = *route.table;
  if (route.scope) out["scope"] = *route.scope;
  return out;
}

Json ToJson(const Dns& dns) {
  Json out = Json::object();
  if (!dns.nameservers.empty()) out["nameservers"] = dns.nameservers;
  if (!dns.domain.empty()) out["domain"] = dns.domain;
  if (!dns.search.empty()) out["search"] = dns.search;
  if (!dns.options.empty()) out["options"] = dns.options;
  return out;
}

}  // namespace

Result<bool> ReadFlag(const JsonReader& json, std::string_view key, bool absent) {
  std::optional<JsonReader> value = TRY(json.Optional(key));
  return value ? value->Bool() : Result<bool>(absent);
}

bool MayBeSet(std::string_view config, std::string_view key) {
  const Result<Json> tree = oci::ParseJson(config, kInputLimits, "network config");
  if (!tree) return true;
  const Result<bool> flag = ReadFlag(JsonReader(*tree), key);
  return !flag || *flag;
}

Result<> CheckMasqueradeBackend(const JsonReader& root) {
  const std::string backend = TRY(root.OptionalString("ipMasqBackend"));
  if (backend.empty() || backend == "iptables" || backend == "nftables") return Ok();
  return Error(Code::kInvalidArgument, StrCat("unknown ipmasq backend ", Quote(backend, 64)));
}

Result<int64_t> ReadNumber(const JsonReader& json, std::string_view key, int64_t min, int64_t max,
                           int64_t absent) {
  std::optional<JsonReader> value = TRY(json.Optional(key));
  return value ? value->Int(min, max) : Result<int64_t>(absent);
}

Result<std::vector<JsonReader>> ReadList(const JsonReader& json, std::string_view key) {
  std::optional<JsonReader> value = TRY(json.Optional(key));
  if (!value) return std::vector<JsonReader>();
  return value->Elements(kMaxEntries);
}

Result<std::optional<IpAddress>> ReadAddress(const JsonReader& json, std::string_view key) {
  const std::string text = TRY(json.OptionalString(key));
  if (text.empty()) return std::optional<IpAddress>();
  Result<IpAddress> address = ParseIp(text);
  if (!address) return TRY(json.Required(key)).Fail(address.error().message());
  return std::optional<IpAddress>(*address);
}

Result<IpAddress> ReadIpOrCidr(const JsonReader& json) {
  const std::string text = TRY(json.String());
  if (text.find('/') != std::string::npos) return TRY(ReadPrefix(json)).address;
  Result<IpAddress> address = ParseIp(text);
  if (!address) return json.Fail(address.error().message());
  return address;
}

Result<Dns> ReadDns(const JsonReader& json) {
  Dns out;
  out.nameservers = TRY(json.OptionalStrings("nameservers", kMaxEntries));
  out.domain = TRY(json.OptionalString("domain"));
  out.search = TRY(json.OptionalStrings("search", kMaxEntries));
  out.options = TRY(json.OptionalStrings("options", kMaxEntries));
  return out;
}

Result<Route> ReadRoute(const JsonReader& json) {
  Route out;
  out.dst = TRY(ReadPrefix(TRY(json.Required("dst"))));
  out.gw = TRY(ReadAddress(json, "gw"));
  out.mtu = static_cast<int>(TRY(ReadNumber(json, "mtu", 0, INT_MAX)));
  out.advmss = static_cast<int>(TRY(ReadNumber(json, "advmss", 0, INT_MAX)));
  out.priority = static_cast<int>(TRY(ReadNumber(json, "priority", 0, INT_MAX)));
  out.table = TRY(ReadOptionalInt(json, "table"));
  out.scope = TRY(ReadOptionalInt(json, "scope"));
  return out;
}

Result<Outcome> ReadOutcome(const JsonReader& json) {
  Outcome out;
  for (const JsonReader& each : TRY(ReadList(json, "interfaces")))
    out.interfaces.push_back(TRY(ReadInterface(each)));
  for (const JsonReader& each : TRY(ReadList(json, "ips"))) out.ips.push_back(TRY(ReadIp(each)));
  for (const JsonReader& each : TRY(ReadList(json, "routes")))
    out.routes.push_back(TRY(ReadRoute(each)));
  if (std::optional<JsonReader> dns = TRY(json.Optional("dns"))) out.dns = TRY(ReadDns(*dns));
  return out;
}

Result<Outcome> ParseOutcome(std::string_view json) {
  const Json tree = TRY(oci::ParseJson(json, kInputLimits, "result"));
  const JsonReader root(tree);
  TRY(root.ExpectObject());
  return ReadOutcome(root);
}

Result<std::string> FormatOutcome(const Outcome& outcome, std::string_view cni_version) {
  const bool v1 = oci::CompareCniVersions(cni_version, "1.0.0") >= 0;
  Json out{{"cniVersion", std::string(cni_version)}};
  for (const Interface& each : outcome.interfaces) out["interfaces"].push_back(ToJson(each, v1));
  for (const IpConfig& each : outcome.ips) out["ips"].push_back(ToJson(each, v1));
  for (const Route& each : outcome.routes) out["routes"].push_back(ToJson(each));
  if (!v1 || !outcome.dns.empty()) out["dns"] = ToJson(outcome.dns);
  return oci::DumpJson(out, "result");
}

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
#include "cni/portmap_config.h"

#include <netinet/in.h>

#include <algorithm>

#include "base/strings.h"
#include "cni/json_internal.h"

namespace berth::cni {

namespace {

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

Result<uint8_t> ProtocolOf(const JsonReader& json) {
  const std::string name = ToLower(TRY(json.OptionalString("protocol")));
  if (name.empty() || name == "tcp") return uint8_t{IPPROTO_TCP};
  if (name == "udp") return uint8_t{IPPROTO_UDP};
  if (name == "sctp") return uint8_t{IPPROTO_SCTP};
  return Bad(StrCat("unknown protocol ", Quote(name, 64)));
}

Result<HostPort> ReadPort(const JsonReader& json) {
  HostPort out;
  const int64_t container = TRY(ReadNumber(json, "containerPort", INT32_MIN, INT32_MAX));
  const int64_t host = TRY(ReadNumber(json, "hostPort", INT32_MIN, INT32_MAX));
  if (container <= 0 || container > 65535)
    return Bad(StrCat("Invalid container port number: ", container));
  if (host <= 0 || host > 65535) return Bad(StrCat("Invalid host port number: ", host));
  out.container_port = static_cast<uint16_t>(container);
  out.host_port = static_cast<uint16_t>(host);
  out.protocol = TRY(ProtocolOf(json));
  out.host_ip = TRY(ReadAddress(json, "hostIP"));
  return out;
}

Result<std::vector<std::string>> Words(const JsonReader& root, std::string_view key) {
  std::vector<std::string> out;
  for (const std::string& text : TRY(root.OptionalStrings(key, kMaxEntries))) {
    for (std::string_view word : Split(text, ' '))
      if (!word.empty()) out.emplace_back(word);
  }
  return out;
}

// iptables' options begin with '-' or '!', which nft's words never do.
bool IsIptables(const std::vector<std::string>& words) {
  return words[0][0] == '-' || words[0][0] == '!';
}

Result<> CheckBackend(const JsonReader& root, const std::vector<std::string>& v4,
                      const std::vector<std::string>& v6) {
  const std::string backend = TRY(root.OptionalString("backend"));
  if (backend.empty()) return Ok();
  if (backend != "iptables" && backend != "nftables")
    return Bad(StrCat("unrecognized backend ", Quote(backend, 64)));
  const bool iptables = backend == "iptables";
  std::string wrong;
  if (!iptables && root.Has("externalSetMarkChain")) wrong += " externalSetMarkChain";
  if (!v4.empty() && IsIptables(v4) != iptables) wrong += " conditionsV4";
  if (!v6.empty() && IsIptables(v6) != iptables) wrong += " conditionsV6";
  if (wrong.empty()) return Ok();
  return Bad(StrCat(backend, " backend was requested but configuration contains ",
                    iptables ? "nftables" : "iptables", "-specific options [", wrong.substr(1),
                    "]"));
}

Result<PortmapConfig> Read(const JsonReader& root) {
  PortmapConfig out;
  out.snat = TRY(ReadFlag(root, "snat", true));
  out.masq_all = TRY(ReadFlag(root, "masqAll"));
  const int64_t bit = TRY(ReadNumber(root, "markMasqBit", INT32_MIN, INT32_MAX, 13));
  if (root.Has("markMasqBit") && root.Has("externalSetMarkChain"))
    return Bad("Cannot specify externalSetMarkChain and markMasqBit");
  if (bit < 0 || bit > 31) return Bad("MasqMarkBit must be between 0 and 31");
  out.mark = 1U << bit;
  const std::vector<std::string> v4 = TRY(Words(root, "conditionsV4"));
  const std::vector<std::string> v6 = TRY(Words(root, "conditionsV6"));
  TRY(CheckBackend(root, v4, v6));
  out.conditions[0] = TRY(ParseConditions(v4, false), "conditionsV4");
  out.conditions[1] = TRY(ParseConditions(v6, true), "conditionsV6");
  std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig"));
  if (!runtime) return out;
  for (const JsonReader& each : TRY(ReadList(*runtime, "portMappings")))
    out.ports.push_back(TRY(ReadPort(each)));
  return out;
}

}  // namespace

Result<PortmapConfig> ParsePortmapConfig(std::string_view config) {
  const Json tree = TRY(oci::ParseJson(config, kInputLimits, "network config"));
  return TRY(Read(JsonReader(tree)), "failed to parse config");
}

Result<std::vector<Condition>> ParseConditions(const std::vector<std::string>& words, bool v6) {
  std::vector<Condition> out;
  auto unknown = [&] {
    return Error(Code::kUnimplemented,
                 StrCat(Quote(Join(words, " ")),
                        ": only -s, -d, -i and ip saddr, ip daddr, iifname, each "
                        "with an optional negation, are supported"));
  };
  for (size_t i = 0; i < words.size(); ++i) {
    Condition condition;
    auto next = [&]() -> std::string { return ++i < words.size() ? words[i] : std::string(); };
    std::string word = words[i];
    const bool nft = word == "ip" || word == "ip6" || word == "iifname";
    if (word == (v6 ? "ip6" : "ip")) word = next();
    if (word == "!") condition.equal = false, word = next();
    if (word == "-s" || word == "--source" || word == "saddr")
      condition.kind = Condition::Kind::kSource;
    else if (word == "-d" || word == "--destination" || word == "daddr")
      condition.kind = Condition::Kind::kDestination;
    else if (word == "-i" || word == "--in-interface" || word == "iifname")
      condition.kind = Condition::Kind::kInInterface;
    else
      return unknown();
    std::string value = next();
    if (nft && (value == "!=" || value == "==")) condition.equal = value == "==", value = next();
    if (value.empty()) return unknown();
    if (condition.kind == Condition::Kind::kInInterface) {
      condition.interface =
          value.starts_with('"') && value.size() > 2 ? value.substr(1, value.size() - 2) : value;
      if (condition.interface.find('+') != std::string::npos ||
          condition.interface.find('*') != std::string::npos)
        return unknown();
    } else {
      if (value.find('/') == std::string::npos) value += v6 ? "/128" : "/32";
      condition.prefix = TRY(ParsePrefix(value));
      if (condition.prefix.address.v6 != v6)
        return Bad(StrCat(Quote(value), " is of the other family"));
    }
    out.push_back(std::move(condition));
  }
  return out;
}

void Condition::AddTo(NftRule& rule) const {
  if (kind == Kind::kInInterface) rule.InInterface(interface, equal);
  if (kind == Kind::kSource) rule.Source(prefix, equal);
  if (kind == Kind::kDestination) rule.Destination(prefix, equal);
}

std::optional<IpPrefix> PodAddress(const Outcome& outcome, std::string_view ifname, bool v6) {
  for (const IpConfig& ip : outcome.ips) {
    if (ip.address.address.v6 != v6) continue;
    const int index = ip.interface.value_or(-1);
    if (index >= 0 && static_cast<size_t>(index) < outcome.interfaces.size()) {
      const Interface& of = outcome.interfaces[static_cast<size_t>(index)];
      if (of.name != ifname || of.sandbox.empty()) continue;
    }
    return ip.address;
  }
  return std::nullopt;
}

void AddHostPort(const PortmapConfig& config, const HostPort& port, const IpPrefix& pod,
                 std::string_view owner, std::vector<NftRule>& rules) {
  const bool v6 = pod.address.v6;
  if (port.host_ip && port.host_ip->v6 != v6) return;
  NftRule match;
  match.Family(v6);
  // 0.0.0.0 and :: are every address.
  if (port.host_ip && !port.host_ip->IsUnspecified())
    match.Destination({*port.host_ip, port.host_ip->bits()});
  for (const Condition& condition : config.conditions[v6 ? 1 : 0]) condition.AddTo(match);
  match.DestinationPort(port.protocol, port.host_port);
  if (config.snat) {
    NftRule& mark = rules.emplace_back(match);
    if (!config.masq_all) mark.Source(pod);
    mark.SetMark(config.mark).Comment(owner);
  }
  rules.emplace_back(match).TranslateTo(pod.address, port.container_port).Comment(owner);
}

}  // namespace berth::cni

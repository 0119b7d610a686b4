// SPDX-License-Identifier: Apache-2.0
#include "cni/ipam_config.h"

#include <algorithm>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "cni/request.h"
#include "oci/cni.h"

namespace berth::cni {

namespace {

constexpr std::string_view kDefaultDataDir = "/var/lib/cni/networks";

Error Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

Result<Range> MakeRange(const IpPrefix& subnet, const std::optional<IpAddress>& start,
                        const std::optional<IpAddress>& end,
                        const std::optional<IpAddress>& gateway) {
  const int bits = subnet.address.bits();
  if (subnet.length > bits - 2)
    return Bad(StrCat("Network ", Format(subnet), " too small to allocate from"));
  const IpAddress network = Network(subnet);
  if (network != subnet.address)
    return Bad(StrCat("Network has host bits set. For a subnet mask of length ", subnet.length,
                      " the network address is ", Format(network)));
  Range range;
  range.subnet = subnet;
  range.gateway = gateway.value_or(Next(network));
  // IPv4's last address is the broadcast address.
  range.end = Broadcast(subnet);
  if (!range.end.v6) --range.end.bytes[3];
  range.start = start.value_or(Next(network));
  if (start && !Contains(subnet, *start))
    return Bad(StrCat("RangeStart ", Format(*start), " not in network ", Format(subnet)));
  if (end && (!Contains(subnet, *end) || *end < range.start))
    return Bad(StrCat("RangeEnd ", Format(*end), " not in network ", Format(subnet)));
  if (end) range.end = *end;
  // The default end is the last address that a host can have: a start behind it leads nowhere.
  if (range.end < range.start)
    return Bad(StrCat("RangeStart ", Format(range.start), " is after the last address of ",
                      Format(subnet)));
  return range;
}

Result<std::optional<Range>> ReadRange(const JsonReader& json) {
  const std::string subnet = TRY(json.OptionalString("subnet"));
  if (subnet.empty()) return std::optional<Range>();
  Result<IpPrefix> prefix = ParsePrefix(subnet);
  if (!prefix) return TRY(json.Required("subnet")).Fail(prefix.error().message());
  const std::optional<IpAddress> start = TRY(ReadAddress(json, "rangeStart"));
  const std::optional<IpAddress> end = TRY(ReadAddress(json, "rangeEnd"));
  const std::optional<IpAddress> gateway = TRY(ReadAddress(json, "gateway"));
  return std::optional<Range>(TRY(MakeRange(*prefix, start, end, gateway)));
}

Result<RangeSet> ReadSet(const JsonReader& json, size_t index) {
  const std::string what = StrCat("invalid range set ", index);
  RangeSet set;
  for (const JsonReader& each : TRY(json.Elements(kMaxEntries))) {
    const std::optional<Range> range = TRY(ReadRange(each), what);
    if (!range) return Bad(StrCat(what, ": ", each.path(), ".subnet: missing"));
    set.push_back(*range);
  }
  if (set.empty()) return Bad(StrCat(what, ": empty range set"));
  for (size_t i = 0; i < set.size(); ++i) {
    if (set[i].start.v6 != set[0].start.v6) return Bad(StrCat(what, ": mixed address families"));
    for (size_t j = 0; j < i; ++j) {
      if (set[j].Overlaps(set[i]))
        return Bad(StrCat(what, ": subnets ", Format(RangeSet{set[j]}), " and ",
                          Format(RangeSet{set[i]}), " overlap"));
    }
  }
  return set;
}

Result<> AddRequested(const JsonReader& root, std::string_view cni_args, IpamConfig& out) {
  if (std::string ip = TRY(CniArg(cni_args, "IP")); !ip.empty()) {
    Result<IpPrefix> prefix = ParsePrefix(ip);
    out.requested.push_back(prefix ? prefix->address : TRY(ParseIp(ip), "ARGS: IP"));
  }
  auto add = [&](const JsonReader& json) -> Result<> {
    for (const JsonReader& each : TRY(ReadList(json, "ips")))
      out.requested.push_back(TRY(ReadIpOrCidr(each)));
    return Ok();
  };
  if (std::optional<JsonReader> args = TRY(root.Optional("args"))) {
    if (std::optional<JsonReader> cni = TRY(args->Optional("cni"))) TRY(add(*cni));
  }
  if (std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig"))) TRY(add(*runtime));
  return Ok();
}

// runtimeConfig.ipRanges first, then the single range of the old style, then ranges.
Result<> AddSets(const JsonReader& root, const JsonReader& ipam, IpamConfig& out) {
  auto add = [&](const JsonReader& json, std::string_view key) -> Result<> {
    for (const JsonReader& each : TRY(ReadList(json, key)))
      out.sets.push_back(TRY(ReadSet(each, out.sets.size())));
    return Ok();
  };
  if (std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig")))
    TRY(add(*runtime, "ipRanges"));
  if (std::optional<Range> range =
          TRY(ReadRange(ipam), StrCat("invalid range set ", out.sets.size())))
    out.sets.push_back({*range});
  TRY(add(ipam, "ranges"));
  if (out.sets.empty()) return Bad("no IP ranges specified");
  for (size_t i = 0; i < out.sets.size(); ++i) {
    for (size_t j = i + 1; j < out.sets.size(); ++j) {
      for (const Range& one : out.sets[i]) {
        if (std::ranges::any_of(out.sets[j], [&](const Range& two) { return one.Overlaps(two); }))
          return Bad(StrCat("range set ", i, " overlaps with ", j));
      }
    }
  }
  return Ok();
}

}  // namespace

bool Range::Contains(const IpAddress& address) const {
  return cni::Contains(subnet, address) && address >= start && address <= end;
}

bool Range::Overlaps(const Range& other) const {
  return Contains(other.start) || Contains(other.end) || other.Contains(start) ||
         other.Contains(end);
}

const Range* FindRange(const RangeSet& set, const IpAddress& address) {
  auto found =
      std::ranges::find_if(set, [&](const Range& range) { return range.Contains(address); });
  return found == set.end() ? nullptr : &*found;
}

std::string Format(const RangeSet& set) {
  std::string out;
  for (const Range& range : set)
    out += StrCat(out.empty() ? "" : ",", Format(range.start), "-", Format(range.end));
  return out;
}

Result<IpamConfig> ParseIpamConfig(std::string_view config, std::string_view cni_args) {
  const Json tree = TRY(oci::ParseJson(config, kInputLimits, "network config"));
  const JsonReader root(tree);
  std::optional<JsonReader> ipam = TRY(root.Optional("ipam"));
  if (!ipam) return Bad("IPAM config missing 'ipam' key");
  IpamConfig out;
  out.network = TRY(root.RequiredString("name"));
  if (!oci::IsValidNetworkName(out.network))
    return Bad(StrCat("name: ", Quote(out.network), ": not a network's name"));
  out.data_dir = TRY(ipam->OptionalString("dataDir"));
  if (out.data_dir.empty()) out.data_dir = kDefaultDataDir;
  out.resolv_conf = TRY(ipam->OptionalString("resolvConf"));
  TRY(AddRequested(root, cni_args, out));
  TRY(AddSets(root, *ipam, out));
  for (const JsonReader& each : TRY(ReadList(*ipam, "routes")))
    out.routes.push_back(TRY(ReadRoute(each)));
  return out;
}

std::optional<std::string> ReadDataDir(std::string_view config) {
  const Result<Json> tree = oci::ParseJson(config, kInputLimits, "network config");
  if (!tree) return std::nullopt;
  const Result<std::optional<JsonReader>> ipam = JsonReader(*tree).Optional("ipam");
  if (!ipam || !*ipam) return std::nullopt;
  Result<std::string> dir = (*ipam)->OptionalString("dataDir");
  if (!dir) return std::nullopt;
  return dir->empty() ? std::string(kDefaultDataDir) : std::move(*dir);
}

RangeWalk::RangeWalk(const RangeSet& set, const std::optional<IpAddress>& last) : set_(set) {
  if (!last) return;
  const Range* range = FindRange(set, *last);
  if (range == nullptr) return;
  range_ = static_cast<size_t>(range - set.data());
  at_ = last;
}

std::optional<RangeWalk::Candidate> RangeWalk::Next() {
  for (;;) {
    if (!at_) {
      at_ = set_[range_].start;
    } else if (*at_ == set_[range_].end) {
      range_ = (range_ + 1) % set_.size();
      at_ = set_[range_].start;
    } else {
      at_ = cni::Next(*at_);
    }
    if (first_ && *at_ == *first_) return std::nullopt;
    if (!first_) first_ = at_;
    const Range& range = set_[range_];
    if (*at_ == range.gateway) continue;
    return Candidate{{*at_, range.subnet.length}, range.gateway};
  }
}

Dns ParseResolvConf(std::string_view text) {
  Dns dns;
  for (std::string_view line : Split(text, '\n')) {
    line = TrimSpace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    std::vector<std::string> words;
    std::string word;
    for (char c : StrCat(line, " ")) {
      if (c != ' ' && c != '\t') {
        word.push_back(c);
      } else if (!word.empty()) {
        words.push_back(std::exchange(word, {}));
      }
    }
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") dns.nameservers.push_back(words[1]);
    if (words[0] == "domain") dns.domain = words[1];
    if (words[0] == "search") dns.search.insert(dns.search.end(), words.begin() + 1, words.end());
    if (words[0] == "options")
      dns.options.insert(dns.options.end(), words.begin() + 1, words.end());
  }
  return dns;
}

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// host-local's configuration: sets of address ranges, made complete and checked as the reference does. Values; pure
// functions; any thread. https://www.cni.dev/plugins/current/ipam/host-local
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/result.h"

namespace berth::cni {

struct Range {
  IpPrefix subnet = {};
  IpAddress start = {};  // first and last address to give out
  IpAddress end = {};
  IpAddress gateway = {};

  bool Contains(const IpAddress& address) const;
  bool Overlaps(const Range& other) const;
};
// One address of each set is given to an attachment.
using RangeSet = std::vector<Range>;
const Range* FindRange(const RangeSet& set, const IpAddress& address);
std::string Format(const RangeSet& set);  // "10.1.0.1-10.1.0.254,..."

struct IpamConfig {
  std::string network;
  std::string data_dir;  // default /var/lib/cni/networks
  std::string resolv_conf;
  std::vector<RangeSet> sets;
  std::vector<Route> routes;
  std::vector<IpAddress> requested;  // by CNI_ARGS, args and runtimeConfig
};

// `config` is the whole of the calling plugin's. InvalidArgument.
Result<IpamConfig> ParseIpamConfig(std::string_view config, std::string_view cni_args);

// For DEL and GC, which work with what can be read: the directory of leases; nothing when no ADD can have made one.
std::optional<std::string> ReadDataDir(std::string_view config);

// Addresses of the set in the order in which they are tried: from the one after `last` (if it is in the set) round to it;
// gateways left out.
class RangeWalk {
 public:
  RangeWalk(const RangeSet& set, const std::optional<IpAddress>& last);
  struct Candidate {
    IpPrefix address;
    IpAddress gateway;
  };
  std::optional<Candidate> Next();  // nothing: every address was seen

 private:
  const RangeSet& set_;
  size_t range_ = 0;
  std::optional<IpAddress> at_;
  std::optional<IpAddress> first_;
};

// nameserver, domain, search and options lines; others are passed over.
Dns ParseResolvConf(std::string_view text);

}  // namespace berth::cni

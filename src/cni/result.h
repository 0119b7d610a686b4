// SPDX-License-Identifier: Apache-2.0
// The result of a plugin (CNI spec, section "ADD Success") as the plugins work on it, and as JSON of each version.
// Values; pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/address.h"

namespace berth::cni {

struct Interface {
  std::string name = {};
  std::string mac = {};
  int mtu = 0;
  std::string sandbox = {};  // path of the network namespace; "" on the host
  std::string socket_path = {};
  std::string pci_id = {};
};

struct IpConfig {
  std::optional<int> interface = std::nullopt;  // index in Outcome::interfaces
  IpPrefix address = {};
  std::optional<IpAddress> gateway = std::nullopt;
};

struct Route {
  IpPrefix dst = {};
  std::optional<IpAddress> gw = std::nullopt;
  int mtu = 0;
  int advmss = 0;
  int priority = 0;
  std::optional<int> table = std::nullopt;
  std::optional<int> scope = std::nullopt;
  std::optional<IpAddress> src = std::nullopt;  // not a part of results: for the kernel only
};

struct Dns {
  std::vector<std::string> nameservers = {};
  std::string domain = {};
  std::vector<std::string> search = {};
  std::vector<std::string> options = {};
  bool empty() const {
    return nameservers.empty() && domain.empty() && search.empty() && options.empty();
  }
};

struct Outcome {
  std::vector<Interface> interfaces = {};
  std::vector<IpConfig> ips = {};
  std::vector<Route> routes = {};
  Dns dns = {};
};

// From the JSON of any version from 0.3.0; what is not named above is dropped, as the reference plugins do.
// InvalidArgument naming the place.
Result<Outcome> ParseOutcome(std::string_view json);
// "ips" name their IP version before 1.0.0; "dns" is always there before 1.0.0 and only when not empty since.
Result<std::string> FormatOutcome(const Outcome& outcome, std::string_view cni_version);

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// The network of a node on which nobody installed one: a bridge with NAT and host ports, by Berth's own
// CNI plugins or, where those are switched off, by the reference ones. Owned by CniNetwork, which calls Prepare and Cleanup while no other thread is
// in this object; they block.
//
//   <root>/network/default-network   what was chosen, what was there before, whether cleanup is owed
//   <root>/network/default-network.bad  one that could not be read, for the operator
//   <root>/network/ipam/             host-local's leases: apart from those of an installation of its own
//
//   clean --Prepare (before the first pod; written, fsynced)--> in use
//     ^                                                           |
//     +-------------- Cleanup (after the last pod) ---------------+
//
// Left as it was found when the last pod is gone: interfaces, what the reference plugins leave in iptables
// (cni_iptables.h; Berth's own leave nothing), and both of the above are removed. Not undone: net.ipv4.ip_forward and net.ipv6.conf.all.forwarding, which somebody
// else may rely on by then.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"
#include "runtime/cni_config.h"
#include "runtime/cni_iptables.h"

namespace berth::runtime {

struct CniDefaultNetworkOptions {
  bool enabled = true;
  std::string bridge = "berth0";  // the next free number is taken when somebody else has it
  std::string ipv4_subnet;        // "": the first of 10.88.0.0/16 ... that overlaps no route
  bool native = false;            // the plugins are Berth's own (CniNetwork sets it)
  std::string ipv6_subnet;  // "": a random fd00::/8 /64 if the host has IPv6; "none": IPv4 only
};

class CniDefaultNetwork {
 public:
  CniDefaultNetwork(CniDefaultNetworkOptions options, os::DirFd dir, std::string ipam_dir)
      : options_(std::move(options)), dir_(std::move(dir)), ipam_dir_(std::move(ipam_dir)) {}

  // What a pod has need of; the rest of the plugins is left out, as each costs a process at ADD and
  // at DEL.
  struct Needs {
    bool port_mappings = true;
    bool bandwidth = false;
  };

  bool enabled() const { return options_.enabled; }
  // Reads the state. One that is damaged or of another version is set aside, as if no pod had been
  // here: pods' own records say how their networks end.
  Result<> Load();
  // Cleaning up is owed.
  bool in_use() const { return state_.in_use; }
  // Looks at the host, chooses and writes it down. Does nothing when it is in use.
  Result<> Prepare();
  // The configuration in force, or what Prepare would start from.
  Result<CniConfig> Config(const Needs& needs) const;
  // Call when no pod is attached. FailedPrecondition while somebody's interface is in the bridge.
  Result<> Cleanup();
  // After a DEL that had no network namespace: the plugin leaves the pod's masquerading rules then.
  Result<> CleanupPod(const std::string& container_id) const;

 private:
  struct State {
    bool in_use = false;
    bool firewall = false;
    bool native = false;  // chosen for Berth's own plugins
    std::string bridge;   // also the network's name
    std::string ipv4;
    std::string ipv6;
    uint32_t mtu = 0;                 // 0: the plugin's default
    std::set<std::string> before[2];  // SharedNames of IPv4 and IPv6
  };
  Result<> Save(const State& state);
  Result<> SetAside(const Error& why);
  Result<State> Choose() const;
  Result<> LookAtFirewall(State& state, bool ipv6) const;
  Result<std::string> ChooseSubnet(const std::string& last) const;
  Result<> RemoveBridge() const;
  bool UsesIptables() const { return !state_.native; }

  CniDefaultNetworkOptions options_;
  os::DirFd dir_;
  std::string ipam_dir_;
  State state_;
};

}  // namespace berth::runtime

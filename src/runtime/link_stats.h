// SPDX-License-Identifier: Apache-2.0
// Counters of pods' network interfaces, without entering their namespaces. Owned by LinuxStats; any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/result.h"
#include "runtime/stats.h"

namespace berth::runtime {

// The first time that a pod is asked for, its interfaces are listed through its namespace's id (RTM_GETNSID,
// RTM_GETLINK with IFLA_TARGET_NETNSID). When all of them are veths whose other ends are here, the pod's
// counters are the other ends' with both directions exchanged, and one RTM_GETSTATS dump of this namespace
// tells those of every such pod at once. A pod with another kind of interface (macvlan, ipvlan, a moved
// device), or a list of one pod, is asked for by its namespace's id.
class LinkStats {
 public:
  explicit LinkStats(const Clock& clock) : clock_(clock) {}

  Result<std::map<std::string, NetworkUsage>> Read(const std::vector<PodNetNs>& pods);
  void Forget(const std::string& sandbox_id);

 private:
  struct Peer {
    std::string name;    // in the pod
    int host_index = 0;  // of the veth's other end
  };
  struct Known {
    int nsid = -1;
    std::vector<Peer> peers;  // of every interface but lo; empty: ask the namespace
  };
  Result<Known> Learn(const PodNetNs& pod);
  Result<> ReadDirectly(const std::vector<std::pair<std::string, int>>& pods,
                        std::map<std::string, NetworkUsage>& out);

  const Clock& clock_;
  Guarded<std::map<std::string, Known>> known_;  // by sandbox id
};

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// A pod's network: its namespace, pinned by name, and CNI ADD/DEL (CNI spec 0.3.0 to 1.1.0).
// Implemented by CniNetwork and FakeNetwork (testing/). Owned by the daemon; calls block; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/trace.h"
#include "os/fd.h"

namespace berth::runtime {

struct PortMapping {
  std::string protocol;  // "tcp", "udp", "sctp"
  int32_t container_port = 0;
  int32_t host_port = 0;  // 0: not mapped
  std::string host_ip;
};

// All that a plugin may be told of a pod. The same values serve ADD and DEL.
struct PodNetwork {
  std::string sandbox_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string cgroup_parent;
  std::vector<PortMapping> port_mappings;
  std::vector<std::string> dns_servers, dns_searches, dns_options;
  // kubernetes.io/ingress-bandwidth and egress-bandwidth are read.
  std::map<std::string, std::string> annotations;
  Trace* trace = nullptr;  // of Prepare and Attach, lent for the call
};

struct NetworkStatus {
  std::vector<std::string> ips;  // without prefix length, first is the pod's main address
  std::string result_json;       // the plugin chain's last result, for `crictl inspectp`
};

class Network {
 public:
  virtual ~Network() = default;

  // OK when a pod could be attached now (a configuration is loaded and its plugins' STATUS agrees);
  // the error's message is what Status reports.
  virtual Result<> Ready() = 0;
  // The loaded configuration as JSON, for `crictl info`.
  virtual std::string ConfigJson() = 0;

  // A fresh network namespace, lo up, accept_ra off, then `sysctls` (net.*) set in it.
  // AlreadyExists if it is there.
  virtual Result<> CreateNs(const std::string& sandbox_id,
                            const std::map<std::string, std::string>& sysctls) = 0;
  // The same with a namespace that was made with the pod's user namespace, not a fresh one; nothing
  // is in it yet.
  virtual Result<> PinNs(const std::string& sandbox_id, const os::Fd& made,
                         const std::map<std::string, std::string>& sysctls) = 0;
  virtual Result<> RemoveNs(const std::string& sandbox_id) = 0;  // not there: success
  virtual std::string NsPath(const std::string& sandbox_id) const = 0;
  virtual bool NsExists(const std::string& sandbox_id) const = 0;
  // The namespace itself; NotFound when it is not there.
  virtual Result<os::Fd> OpenNs(const std::string& sandbox_id) const = 0;

  // What Attach does before it needs the namespace: its checks, and the intent on disk. It may run
  // while the namespace is made; the pod's Attach goes on from there, with what was given here.
  // Detach undoes it. On an error nothing is left, or Detach must be retried.
  virtual Result<> Prepare(const PodNetwork& pod) = 0;
  // CNI ADD of the whole chain, prepared or not. The intent and each result are on disk before the next step, so
  // that Detach works after a crash at any point. On an error the chain has been undone by DEL; if
  // that failed too, Detach must be retried.
  virtual Result<NetworkStatus> Attach(const PodNetwork& pod) = 0;
  // CNI DEL with what ADD was given and gave, also without the namespace; nothing was attached: success.
  virtual Result<> Detach(const std::string& sandbox_id) = 0;
  // What ADD gave, from the cache; NotFound when nothing is attached.
  virtual Result<NetworkStatus> Cached(const std::string& sandbox_id) = 0;
  // Attachments on disk whose pods are not in `known` are detached; CNI GC where the version has it.
  virtual Result<> CollectGarbage(const std::vector<std::string>& known) = 0;
  // Namespaces pinned by us whose pods are not in `known`.
  virtual Result<std::vector<std::string>> ListNs() const = 0;
};

}  // namespace berth::runtime

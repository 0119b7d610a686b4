// SPDX-License-Identifier: Apache-2.0
// Network by CNI plugins: pinned namespaces, the plugin chains, and the records that make DEL
// certain. Owned by the daemon, one per root directory; any thread. One pod's calls wait for each
// other; pods run side by side.
//
//   Prepare: [default network prepared] -> intent on disk
//   Attach: [Prepare] -> plugin 1 -> result on disk -> plugin 2 -> ...
//   Detach: intent and result read -> ... plugin 2 -> plugin 1 -> files removed -> [default network cleaned]
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "os/netns.h"
#include "runtime/cni_chain.h"
#include "runtime/cni_config.h"
#include "runtime/cni_default_network.h"
#include "runtime/cni_plugins.h"
#include "runtime/cni_record.h"
#include "runtime/network.h"

namespace berth::runtime {

struct CniNetworkOptions {
  std::vector<std::string> conf_dirs{"/etc/cni/net.d"};
  std::vector<std::string> bin_dirs{"/opt/cni/bin", "/usr/lib/cni"};
  std::string state_dir;  // <root>/network; made 0700
  std::string netns_dir = "/run/netns";
  std::string netns_prefix = "berth-";
  std::chrono::nanoseconds plugin_timeout = std::chrono::seconds(60);
  size_t plugin_output_limit = oci::kMaxCniResultBytes;
  bool require_root_owner = true;  // of plugins
  std::string native_program;      // absolute path of berth-cni; "": there is none
  bool native_plugins = true;      // Berth's own go before those of bin_dirs
  int max_chains = 8;              // plugin chains that run at the same time
  CniDefaultNetworkOptions default_network;
};

class CniNetwork final : public Network {
 public:
  // Reads which attachments there are. Neither a missing nor a bad configuration is an error here:
  // see Ready.
  static Result<std::unique_ptr<CniNetwork>> Open(CniNetworkOptions options);

  // For crash tests: called with the name of each durable step ("intent", "result", "deleted",
  // "removed"); an error ends the call at that point as if the daemon had died, undoing nothing.
  void SetCrashPoint(std::function<Result<>(std::string_view step)> point) {
    crash_ = std::move(point);
  }

  Result<> Ready() override;
  std::string ConfigJson() override;
  Result<> CreateNs(const std::string& sandbox_id,
                    const std::map<std::string, std::string>& sysctls) override;
  Result<> PinNs(const std::string& sandbox_id, const os::Fd& made,
                 const std::map<std::string, std::string>& sysctls) override;
  Result<> RemoveNs(const std::string& sandbox_id) override;
  std::string NsPath(const std::string& sandbox_id) const override;
  bool NsExists(const std::string& sandbox_id) const override;
  Result<os::Fd> OpenNs(const std::string& sandbox_id) const override;
  // What a call that was cut short left of the same pod is detached first.
  Result<> Prepare(const PodNetwork& pod) override;
  Result<NetworkStatus> Attach(const PodNetwork& pod) override;
  // A record that cannot be read: DEL is tried with the present configuration, the record set aside
  // (<id>.bad) and DataLoss returned; the next call succeeds.
  Result<> Detach(const std::string& sandbox_id) override;
  Result<NetworkStatus> Cached(const std::string& sandbox_id) override;
  Result<> CollectGarbage(const std::vector<std::string>& known) override;
  Result<std::vector<std::string>> ListNs() const override;

  // CNI CHECK of an attached pod; NotFound when nothing is attached, Unimplemented before CNI
  // 0.4.0.
  Result<> Check(const std::string& sandbox_id);

 private:
  struct State {
    std::set<std::string> busy;  // pods that a call is working on
    int chains = 0;              // running now
    // Pods on the default network, from before their intent is written.
    std::set<std::string> default_users;
    bool default_locked = false;  // default_'s Prepare or Cleanup is running
    // Whose intent is on disk, and no plugin has run.
    std::map<std::string, CniRecord> prepared;
    std::shared_ptr<const CniConfig> version_checked;
  };
  class PodLock;
  class ChainSlot;
  class DefaultLock;

  CniNetwork(CniNetworkOptions options, os::NetNsPins pins, CniRecords records,
             CniDefaultNetwork default_network);
  static Result<> CheckId(std::string_view id);
  Result<> Start();
  Result<> MakeNs(const std::string& sandbox_id, int made,
                  const std::map<std::string, std::string>& sysctls);
  // The configuration on disk, else what the default network would use now; FailedPrecondition when
  // there is neither.
  Result<std::shared_ptr<const CniConfig>> PresentConfig(bool* is_default);
  Error NoConfig() const;
  Result<CniTarget> TargetOf(const CniRecord& record) const;
  Result<CniRecord> MakeRecord(const PodNetwork& pod);
  // The intent of the pod, which the caller has locked: written now.
  Result<CniRecord> Begin(const PodNetwork& pod);
  Result<NetworkStatus> RunAdd(const CniRecord& record);
  Result<> RunDel(const CniRecord& record);
  Result<> DetachLocked(const std::string& sandbox_id);
  Result<> ForgetDetached(const std::string& sandbox_id, bool is_default);
  Result<> DelAsCorrected(const CniRecord& record);
  Result<> DetachUnreadable(const std::string& sandbox_id, Error why);
  Result<> EnterDefault(const std::string& sandbox_id);
  Result<> LeaveDefault(const std::string& sandbox_id);
  Result<> CrashPoint(std::string_view step) const { return crash_ ? crash_(step) : Ok(); }

  const CniNetworkOptions options_;
  const os::NetNsPins pins_;
  const CniPlugins plugins_;
  CniConfigSource configs_;
  CniRecords records_;
  CniDefaultNetwork default_;  // changed only under DefaultLock
  std::function<Result<>(std::string_view)> crash_;
  Guarded<State> state_;
};

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// Attach and Detach: the order of steps on disk and in the kernel.
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/cni_args.h"
#include "runtime/cni_network.h"
#include "runtime/cni_network_locks.h"

namespace berth::runtime {

namespace {

constexpr std::string_view kIfName = "eth0";

std::string OfPod(std::string_view id) { return StrCat("network of pod ", id); }

Result<NetworkStatus> StatusOf(const oci::CniResult& result) {
  NetworkStatus status;
  status.ips = oci::PodIps(result);
  status.result_json = result.raw;
  if (status.ips.empty())
    return Error(Code::kInternal, "cni ADD: the plugins gave the pod no address");
  return status;
}

}  // namespace

Result<CniTarget> CniNetwork::TargetOf(const CniRecord& record) const {
  CniTarget target;
  target.container_id = record.pod.sandbox_id;
  target.netns = record.netns;
  target.ifname = record.ifname;
  target.args = TRY(BuildCniArgs(record.pod));
  target.runtime = TRY(BuildRuntimeConfig(record.pod));
  target.trace = record.pod.trace;
  return target;
}

Result<> CniNetwork::EnterDefault(const std::string& sandbox_id) {
  const DefaultLock lock(state_);
  if (!default_.in_use()) TRY(FAIL_STEP("network.default", default_.Prepare()));
  state_.Lock()->default_users.insert(sandbox_id);
  return Ok();
}

// Also called with no pod ("") to make up for what is owed.
Result<> CniNetwork::LeaveDefault(const std::string& sandbox_id) {
  const DefaultLock lock(state_);
  {
    auto state = state_.Lock();
    state->default_users.erase(sandbox_id);
    if (!state->default_users.empty()) return Ok();
  }
  return FAIL_STEP("network.default-remove", default_.Cleanup());
}

Result<CniRecord> CniNetwork::MakeRecord(const PodNetwork& pod) {
  CniRecord record;
  record.pod = pod;
  record.netns = NsPath(pod.sandbox_id);
  record.ifname = kIfName;
  // Nothing is made for a pod that no plugin may be told of.
  const CniTarget target = TRY(TargetOf(record));
  std::shared_ptr<const CniConfig> config = TRY(configs_.Load());
  if (!config) {
    if (!default_.enabled()) return NoConfig();
    TRY(EnterDefault(pod.sandbox_id));
    record.is_default = true;
    config = std::make_shared<const CniConfig>(
        TRY(default_.Config({.port_mappings = !target.runtime.port_mappings.empty(),
                             .bandwidth = target.runtime.bandwidth.has_value()})));
  }
  // A chain that cannot run to its end is not begun: its undo would miss the same plugin.
  record.programs = TRY(plugins_.FindAll(config->list));
  record.config = config->list.raw;
  record.config_file = config->file;
  TRY(FAIL_STEP("network.intent", records_.SaveIntent(record)));
  return record;
}

Result<NetworkStatus> CniNetwork::RunAdd(const CniRecord& record) {
  const std::string& id = record.pod.sandbox_id;
  const oci::NetworkConfigList list = TRY(oci::ParseNetworkConfig(record.config));
  const CniTarget target = TRY(TargetOf(record));
  const ChainSlot slot(state_, 1, options_.max_chains);
  const oci::CniResult result =
      TRY(CniChain(plugins_, list, record.programs)
              .Add(target, [&](const std::string& json) -> Result<> {
                TRY(FAIL_STEP("network.partial", records_.SavePartial(id, json)));
                return CrashPoint("result");
              }));
  NetworkStatus status = TRY(StatusOf(result));
  TRY(FAIL_STEP("network.complete", records_.Complete(id)));
  return status;
}

Result<> CniNetwork::RunDel(const CniRecord& record) {
  const std::string& id = record.pod.sandbox_id;
  const oci::NetworkConfigList list =
      TRY(oci::ParseNetworkConfig(record.config), "recorded cni configuration");
  CniTarget target = TRY(TargetOf(record));
  // After a reboot, or when somebody removed it: plugins then give back what they hold outside (CNI
  // spec, DEL).
  const bool no_netns = !NsExists(id);
  if (no_netns) target.netns.clear();
  const std::optional<std::string> cached = TRY(records_.LoadResult(id, true));
  const ChainSlot slot(state_, 1, options_.max_chains);
  const CniChain chain(plugins_, list, TRY(plugins_.FindAgain(list, record.programs)));
  Result<> deleted = chain.Del(target, cached);
  // The bridge plugin (1.1) fails on rules that a DEL which was cut short has removed already. What
  // is in the namespace goes with it; the lease and the rules are given back without it.
  if (!deleted && record.is_default && !no_netns) {
    target.netns.clear();
    deleted = chain.Del(target, cached);
  }
  TRY(std::move(deleted));
  if (record.is_default && target.netns.empty()) TRY(default_.CleanupPod(id));
  return Ok();
}

Result<CniRecord> CniNetwork::Begin(const PodNetwork& pod) {
  const std::string& id = pod.sandbox_id;
  // A call that was cut short: what it did is undone with what it wrote.
  if (TRY(records_.Exists(id), OfPod(id))) TRY(DetachLocked(id));
  Result<CniRecord> record = Traced(pod.trace, "cni record", [&] { return MakeRecord(pod); });
  if (!record) {
    // The intent may have reached the disk although writing it failed; no plugin has run.
    Result<> removed = records_.Remove(id);
    Result<> left = removed ? LeaveDefault(id) : std::move(removed);
    std::string message = StrCat(OfPod(id), ": ", record.error().message());
    if (!left) message += StrCat("; undo: ", left.error().message());
    return Error(record.error().code(), std::move(message));
  }
  TRY(CrashPoint("intent"));
  return record;
}

Result<> CniNetwork::Prepare(const PodNetwork& pod) {
  const std::string& id = pod.sandbox_id;
  TRY(CheckId(id));
  const PodLock lock(state_, id);
  CniRecord record = TRY(Begin(pod));
  record.pod.trace = nullptr;  // lent for this call only
  state_.Lock()->prepared.insert_or_assign(id, std::move(record));
  return Ok();
}

Result<NetworkStatus> CniNetwork::Attach(const PodNetwork& pod) {
  const std::string& id = pod.sandbox_id;
  TRY(CheckId(id));
  const PodLock lock(state_, id);
  if (!NsExists(id))
    return Error(Code::kFailedPrecondition, StrCat(OfPod(id), ": it has no network namespace"));
  auto prepared = state_.Lock()->prepared.extract(id);
  CniRecord record;
  if (prepared) {
    record = std::move(prepared.mapped());
    record.pod.trace = pod.trace;
  } else {
    record = TRY(Begin(pod));
  }
  Result<NetworkStatus> status = RunAdd(record);
  if (status) return status;
  Error why = std::move(status.error()).Wrap(OfPod(id));
  if (why.code() == Code::kCancelled && crash_) return why;  // a crash point
  if (Result<> undone = DetachLocked(id); !undone) {
    const Code code = why.code();
    return Error(code, StrCat(why.message(), "; undo: ", undone.error().message()));
  }
  return why;
}

Result<> CniNetwork::Detach(const std::string& sandbox_id) {
  TRY(CheckId(sandbox_id));
  const PodLock lock(state_, sandbox_id);
  return DetachLocked(sandbox_id);
}

Result<> CniNetwork::DetachLocked(const std::string& sandbox_id) {
  // No plugin has run: there is nothing that one would have to undo.
  if (const auto prepared = state_.Lock()->prepared.extract(sandbox_id))
    return ForgetDetached(sandbox_id, prepared.mapped().is_default);
  Result<CniRecord> record = records_.Load(sandbox_id);
  if (!record && record.error().code() == Code::kNotFound) return Ok();
  if (!record && record.error().code() == Code::kDataLoss)
    return DetachUnreadable(sandbox_id, std::move(record.error()));
  if (!record) return std::move(record.error()).Wrap(OfPod(sandbox_id));
  TRY(DelAsCorrected(*record), OfPod(sandbox_id));
  TRY(CrashPoint("deleted"));
  return ForgetDetached(sandbox_id, record->is_default);
}

Result<> CniNetwork::ForgetDetached(const std::string& sandbox_id, bool is_default) {
  TRY(FAIL_STEP("network.forget", records_.Remove(sandbox_id)), OfPod(sandbox_id));
  TRY(CrashPoint("removed"));
  if (!is_default) return Ok();
  // The pod is detached; what the host still has of the network is tried again by the next pod's
  // end or at the start.
  if (Result<> cleaned = LeaveDefault(sandbox_id); !cleaned)
    LogWarn(StrCat("clean up after the last pod: ", cleaned.error().message()));
  return Ok();
}

// A configuration that no plugin accepts fails at DEL as it did at ADD, and would keep the pod for ever. When no plugin
// has succeeded with it and the operator has corrected the network since, DEL with what is in force now is as good.
Result<> CniNetwork::DelAsCorrected(const CniRecord& record) {
  Result<> done = RunDel(record);
  if (done || record.is_default) return done;
  if (TRY(records_.LoadResult(record.pod.sandbox_id, true))) return done;
  const oci::NetworkConfigList recorded =
      TRY(oci::ParseNetworkConfig(record.config), "recorded cni configuration");
  CniRecord corrected = record;
  Result<std::shared_ptr<const CniConfig>> present = PresentConfig(&corrected.is_default);
  if (!present || corrected.is_default || (*present)->list.name != recorded.name ||
      (*present)->list.raw == record.config) {
    return done;
  }
  corrected.config = (*present)->list.raw;
  corrected.programs.clear();
  if (Result<> again = RunDel(corrected); !again) return done;
  LogWarn(StrCat(OfPod(record.pod.sandbox_id), ": detached by the corrected configuration of ",
                 recorded.name, "; with the one it was begun with: ", done.error().message()));
  return Ok();
}

Result<> CniNetwork::DetachUnreadable(const std::string& sandbox_id, Error why) {
  CniRecord record;
  record.pod.sandbox_id = sandbox_id;
  record.netns = NsPath(sandbox_id);
  record.ifname = kIfName;
  auto try_del = [&]() -> Result<> {
    const std::shared_ptr<const CniConfig> config = TRY(PresentConfig(&record.is_default));
    record.config = config->list.raw;
    return RunDel(record);
  };
  if (Result<> done = try_del(); !done)
    return Error(Code::kDataLoss,
                 StrCat(OfPod(sandbox_id), ": ", why.message(),
                        "; DEL with the present configuration: ", done.error().message()));
  TRY(records_.SetAside(sandbox_id), OfPod(sandbox_id));
  if (Result<> cleaned = LeaveDefault(sandbox_id); !cleaned)
    LogWarn(StrCat("clean up after the last pod: ", cleaned.error().message()));
  return Error(Code::kDataLoss, StrCat(OfPod(sandbox_id), ": ", why.message(),
                                       "; detached by the present configuration, the record is "
                                       "kept as ",
                                       sandbox_id, ".bad"));
}

// Without PodLock: each file is replaced as a whole, and asking must not wait for a chain that is
// running.
Result<NetworkStatus> CniNetwork::Cached(const std::string& sandbox_id) {
  TRY(records_.Load(sandbox_id), OfPod(sandbox_id));
  const std::optional<std::string> text =
      TRY(records_.LoadResult(sandbox_id, false), OfPod(sandbox_id));
  if (!text) return Error(Code::kNotFound, StrCat(OfPod(sandbox_id), ": nothing is attached"));
  return StatusOf(TRY(oci::ParseCniResult(*text, "1.0.0"), OfPod(sandbox_id)));
}

Result<> CniNetwork::Check(const std::string& sandbox_id) {
  const PodLock lock(state_, sandbox_id);
  const CniRecord record = TRY(records_.Load(sandbox_id), OfPod(sandbox_id));
  const std::optional<std::string> result =
      TRY(records_.LoadResult(sandbox_id, false), OfPod(sandbox_id));
  if (!result) return Error(Code::kNotFound, StrCat(OfPod(sandbox_id), ": nothing is attached"));
  const oci::NetworkConfigList list = TRY(oci::ParseNetworkConfig(record.config));
  const CniTarget target = TRY(TargetOf(record));
  const ChainSlot slot(state_, 1, options_.max_chains);
  const CniChain chain(plugins_, list, TRY(plugins_.FindAgain(list, record.programs)));
  TRY(chain.Check(target, *result), OfPod(sandbox_id));
  return Ok();
}

}  // namespace berth::runtime

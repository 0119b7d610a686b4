// SPDX-License-Identifier: Apache-2.0
// User namespaces: made before a pod's monitor, which then keeps them.
#include "base/strings.h"
#include "runtime/monitor_runtime.h"

namespace berth::runtime {

namespace {
constexpr std::chrono::milliseconds kMake{10'000};
// What the kubelet gives a pod; any range would do for the question.
constexpr os::IdRange kTried{.inside = 0, .outside = 65536, .count = 65536};
}  // namespace

Result<os::UserNs> MonitorRuntime::MakeUserNs(const os::IdRange& range) {
  os::SpawnOptions holder;
  holder.path = config_.monitor_path;
  holder.args = {"berth-monitor", "--namespaces"};
  holder.env = config_.monitor_env;
  return os::MakeUserNs(std::move(holder), range, kMake);
}

// The monitor lives as long as its connection, so the path in the handle is still its own.
Result<os::Fd> MonitorRuntime::OpenUserNs(const SandboxHandle& handle) {
  if (handle.user_ns_path.empty())
    return Error(Code::kInternal, "the pod has no user namespace of its own");
  Result<os::Fd> ns = os::OpenUserNs(handle.user_ns_path);
  if (!ns) return std::move(ns.error()).WithCode(Code::kUnavailable);
  return ns;
}

Result<> MonitorRuntime::TryUserNs() {
  if (!config_.try_user_ns) return Error(Code::kUnimplemented, "not asked for");
  const os::UserNs made = TRY(MakeUserNs(kTried));
  return config_.try_user_ns(made.user.get());
}

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// Pods and containers that the runtime has and the records do not. No crash makes such: a record is written before and
// removed after all else. So records were lost, or the whole database, and what runs is not to be taken for a leftover:
// the copy that was kept with it becomes its record again.
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"
#include "pod/record_codec.h"

namespace berth::pod {

Result<bool> Engine::Impl::RestoreRecords(const Found& found) {
  std::set<std::string> known;
  for (const SandboxRecord& record : found.sandboxes) known.insert(record.id);
  for (const ContainerRecord& record : found.containers) known.insert(record.id);
  bool restored = false;
  for (const runtime::SandboxObservation& pod : found.observations) {
    bool lost = !known.contains(pod.sandbox_id);
    for (const auto& container : pod.containers) lost |= !known.contains(container.container_id);
    if (!lost) continue;
    Result<runtime::RememberedPod> remembered = d.runtime.Remembered(pod.sandbox_id);
    if (!remembered) {
      LogWarn(StrCat("pod ", pod.sandbox_id, ": ", remembered.error().message()));
      continue;
    }
    // Without a copy it was never ours: a leftover.
    if (remembered->record.empty()) continue;
    TRY(RestorePod(pod.sandbox_id, *remembered), StrCat("restore pod ", pod.sandbox_id));
    restored = true;
  }
  return restored;
}

Result<> Engine::Impl::RestorePod(const std::string& id, const runtime::RememberedPod& pod) {
  std::string body = pod.record;
  if (Result<SandboxRecord> record = DecodeSandbox(body); record) {
    Result<runtime::NetworkStatus> network = d.network.Cached(id);
    if (network) record->ips = std::move(network->ips);
    body = Encode(*record);
  }
  LogWarn(StrCat("pod ", id, " has no record; restored from what is kept beside its monitor"));
  TRY(d.records.RestoreSandbox(id, body));
  for (const runtime::RememberedPod::Container& container : pod.containers) {
    if (container.record.empty()) continue;
    TRY(d.records.RestoreContainer(container.container_id, container.record, container.spec_json));
  }
  return Ok();
}

}  // namespace berth::pod

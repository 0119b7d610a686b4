// SPDX-License-Identifier: Apache-2.0
// Reconcile: from what is remembered and what is there after a start to what is to be done. Pure,
// and the only recovery path: a crash at any step, a reboot and an ordinary restart all come
// through here.
#pragma once

#include <string>
#include <vector>

#include "pod/records.h"
#include "runtime/runtime.h"

namespace berth::pod {

struct Found {
  std::vector<SandboxRecord> sandboxes;
  std::vector<ContainerRecord> containers;
  std::vector<runtime::SandboxObservation> observations;
  std::vector<std::string> network_namespaces;  // sandbox ids
  std::vector<std::string> rootfs;              // container ids
  std::string boot_id;
  int64_t now = 0;  // wall nanoseconds
};

struct Action {
  enum class Kind {
    kKeepSandbox,           // `sandbox` is what is true now; write it if `changed`
    kKeepContainer,         // `container`, the same
    kDetach,                // CNI DEL of a pod whose boot is over: its address is freed
    kUndoContainer,         // an intent or a removal that a crash cut short: finish the undo
    kUndoSandbox,           // the same for a pod; if it fails the pod is kept as NotReady
    kRemoveStrayContainer,  // there without a record
    kRemoveStraySandbox,
    kRemoveStrayNs,
    kRemoveStrayRootfs,
  };
  Kind kind;
  std::string sandbox_id;
  std::string container_id;
  bool changed = false;
  bool unanswered =
      false;  // its pod's monitor is there and has not answered yet: this is as on record
  SandboxRecord sandbox;
  ContainerRecord container;
};

// In the order in which to apply them: containers are undone before their pods.
std::vector<Action> Reconcile(const Found& found);

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// What the operator asks of the image store beside what pods need of it. Implemented by ImageStore.
// Owned by the daemon; calls block; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::image {

// A pull that is going on.
struct PullStatus {
  std::string reference;  // canonical
  int64_t seconds = 0;    // since it began
  int waiting = 0;        // callers that share it
  uint64_t received_bytes = 0;
  uint64_t total_bytes = 0;  // of the layers that it fetches; 0: the manifest is not there yet
  size_t layers_done = 0;
  size_t layers = 0;
};

// "registry.test/app:1: 1/3 layers, 5000 of 200000 bytes, 12 s, 1 caller"
std::string PullLine(const PullStatus& pull);

// Since the daemon began; running pulls count in received_bytes only.
struct PullTotals {
  uint64_t done = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
  uint64_t received_bytes = 0;
};

enum class LayerState {
  kGood,
  kUnknown,     // unpacked by a Berth that kept no sum
  kMissing,     // its directory is gone
  kChanged,     // it is not what was unpacked
  kNotChecked,  // could not be read: `detail` says why; it may be good
  kHealed,      // was bad, and is there anew
  kNotHealed    // is bad: `detail` says why it stays so
};
struct LayerCheck {
  std::string diff_id;  // hex
  LayerState state = LayerState::kGood;
  std::string detail;
};

class Maintenance {
 public:
  virtual ~Maintenance() = default;
  virtual std::vector<PullStatus> Pulls() = 0;
  virtual PullTotals Totals() = 0;
  // Reads the layers of one image, or with an empty reference those of all, and compares them with what
  // was unpacked. With `heal` each layer that is missing or changed is fetched again, without
  // credentials of a pod, and nothing else, unless a container has it mounted; it stays as it is until
  // the new one is complete. NotFound for an unknown image.
  virtual Result<std::vector<LayerCheck>> Verify(const std::string& reference, bool heal) = 0;
};

}  // namespace berth::image

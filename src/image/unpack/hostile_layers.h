// SPDX-License-Identifier: Apache-2.0
// The adversarial suite's layers: what each holds and what must come of it. Values, made by one
// thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::image {

// Where the canary tree is, as a layer would name it.
struct HostilePaths {
  std::string absolute;  // "/tmp/x/canary"
  std::string up;        // "../../(many)../tmp/x/canary"
  std::string inside;    // "tmp/x/canary": where both lead in the layer's own tree
};

struct HostileLayer {
  std::string name;
  std::string stream;
  // What must come of it: an error of this code with this text in its message ...
  Code code = Code::kUnknown;
  std::string message;
  // ... or, without a message, a tree in which these paths are what DescribeEntry says.
  std::vector<std::pair<std::string, std::string>> tree;
};

HostileLayer Refused(std::string name, std::string stream, Code code, std::string message);
HostileLayer Contained(std::string name, std::string stream,
                       std::vector<std::pair<std::string, std::string>> tree);

// The shapes of containerd's TestBreakouts, each by its name there.
std::vector<HostileLayer> Breakouts(const HostilePaths& paths);
// Known attacks beyond those: parents swapped, whiteouts, metadata through links, trojans.
std::vector<HostileLayer> Attacks(const HostilePaths& paths);
// Bombs, and archives that are none.
std::vector<HostileLayer> Bombs();
std::vector<HostileLayer> BrokenArchives();

// The budget that the suite gives each layer, so that bombs can be small.
inline constexpr uint64_t kHostileBytes = 16U << 20;
inline constexpr uint64_t kHostileEntries = 2000;

}  // namespace berth::image

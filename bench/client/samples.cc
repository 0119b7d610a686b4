// SPDX-License-Identifier: Apache-2.0
#include "samples.h"

#include <nlohmann/json.hpp>

namespace berth::bench {

void Samples::Add(const std::string& step, double milliseconds) {
  const std::lock_guard lock(mutex_);
  by_step_[step].push_back(milliseconds);
}

std::string Samples::Json() const {
  const std::lock_guard lock(mutex_);
  return nlohmann::json(by_step_).dump();
}

}  // namespace berth::bench

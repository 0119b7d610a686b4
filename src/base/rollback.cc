// SPDX-License-Identifier: Apache-2.0
#include "base/rollback.h"

#include "base/log.h"
#include "base/strings.h"

namespace berth {

Rollback::~Rollback() {
  for (const Failure& f : Run()) {
    LogWarn(StrCat("undo ", f.step, ": ", f.error.message()));
  }
}

void Rollback::Add(std::string step, Undo undo) {
  steps_.push_back({std::move(step), std::move(undo)});
}

void Rollback::Commit() { steps_.clear(); }

std::vector<Rollback::Failure> Rollback::Run() {
  std::vector<Failure> failures;
  while (!steps_.empty()) {
    Step step = std::move(steps_.back());
    steps_.pop_back();
    if (Result<> done = step.undo(); !done) {
      failures.push_back({std::move(step.name), std::move(done.error())});
    }
  }
  return failures;
}

}  // namespace berth

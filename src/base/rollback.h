// SPDX-License-Identifier: Apache-2.0
// Undo steps registered where each thing is made; run newest first, every one of them, even when
// one fails. Owned by the operation that creates the things; one thread. Runs by itself when it
// goes out of scope uncommitted.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth {

class Rollback {
 public:
  struct Failure {
    std::string step;
    Error error;
  };
  using Undo = std::function<Result<>()>;

  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback();

  // For a call that can half-succeed (CNI ADD, an OCI create) add its undo before the call, and
  // make it idempotent.
  void Add(std::string step, Undo undo);
  // The operation succeeded: forget every step.
  void Commit();
  // Runs all steps now, newest first, and disarms. Returns those that failed; empty means nothing
  // is left behind.
  std::vector<Failure> Run();
  bool empty() const { return steps_.empty(); }

 private:
  struct Step {
    std::string name;
    Undo undo;
  };
  std::vector<Step> steps_;
};

}  // namespace berth

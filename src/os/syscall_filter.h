// SPDX-License-Identifier: Apache-2.0
// An allow-list of system calls for this process (seccomp(2), by libseccomp). Everything else is EPERM instead of death:
// a library that tries something new gets an error that it can report. Filled and loaded by main, while the process has
// one thread. Its own library, berth_syscall_filter: only the programs that confine themselves link libseccomp.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"

namespace berth::os {

// A condition on one argument (the first is 0): (argument & mask) == value.
struct ArgumentRule {
  unsigned int argument;
  uint64_t mask;
  uint64_t value;
};
inline ArgumentRule ArgumentIs(unsigned int argument, uint64_t value) {
  return {argument, ~uint64_t{0}, value};
}
inline ArgumentRule ArgumentHas(unsigned int argument, uint64_t mask, uint64_t value) {
  return {argument, mask, value};
}

class SyscallFilter {
 public:
  SyscallFilter();
  ~SyscallFilter();

  // Names that this architecture or this libseccomp does not have are left out.
  void Allow(const char* name);
  // Allowed when the rule holds; several rules of one call: any of them.
  void AllowIf(const char* name, const ArgumentRule& rule);
  void Answer(int error, const char* name);
  Result<> Load();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::os

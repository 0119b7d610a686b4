// SPDX-License-Identifier: Apache-2.0
// Linux capabilities by name, and the five sets of a container from what was asked. Pure functions;
// any thread. capabilities(7) gives the names; docs/decisions/0003-default-capabilities.md why the
// defaults are what they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/build_spec.h"
#include "oci/spec.h"

namespace berth::oci {

// A set of capabilities: bit n is capability number n, as in CapBnd of /proc/<pid>/status
// (proc(5)).
class CapabilityMask {
 public:
  CapabilityMask() = default;
  explicit CapabilityMask(uint64_t bits) : bits_(bits) {}
  // Names as in ParseCapability; the first bad one is the error, said to be in `what`.
  static Result<CapabilityMask> FromNames(const std::vector<std::string>& names,
                                          std::string_view what);

  uint64_t bits() const { return bits_; }
  bool empty() const { return bits_ == 0; }
  bool Has(int capability) const { return ((bits_ >> capability) & 1) != 0; }
  bool Has(std::string_view name) const;
  void Add(int capability) { bits_ |= uint64_t{1} << capability; }
  void Remove(int capability) { bits_ &= ~(uint64_t{1} << capability); }
  CapabilityMask Intersect(CapabilityMask other) const {
    return CapabilityMask(bits_ & other.bits_);
  }
  // "CAP_CHOWN"... in the order of their numbers; bits without a name are left out.
  std::vector<std::string> Names() const;
  bool operator==(const CapabilityMask&) const = default;

 private:
  uint64_t bits_ = 0;
};

// The number of "CAP_NET_ADMIN", "NET_ADMIN" or "cap_net_admin"; InvalidArgument for an unknown
// name.
Result<int> ParseCapability(std::string_view name);

// Add ALL, drop ALL, single adds, single drops. The defaults are the base only if ALL is in neither
// list. ALL and privileged mean plan.available; privileged ignores both lists. bounding, permitted
// and effective are equal; inheritable and ambient are empty but for add_ambient (CVE-2022-24769).
// InvalidArgument for an unknown name, FailedPrecondition for one that the daemon itself does not
// have.
Result<CapabilitySets> BuildCapabilities(const PlanCapabilities& plan, bool privileged);

}  // namespace berth::oci

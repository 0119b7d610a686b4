// SPDX-License-Identifier: Apache-2.0
#include "oci/capabilities.h"

#include <array>

#include "base/strings.h"
#include "oci/defaults.h"

namespace berth::oci {

namespace {

// linux/capability.h; the place is the number.
constexpr std::array<std::string_view, 41> kNames = {"CHOWN",
                                                     "DAC_OVERRIDE",
                                                     "DAC_READ_SEARCH",
                                                     "FOWNER",
                                                     "FSETID",
                                                     "KILL",
                                                     "SETGID",
                                                     "SETUID",
                                                     "SETPCAP",
                                                     "LINUX_IMMUTABLE",
                                                     "NET_BIND_SERVICE",
                                                     "NET_BROADCAST",
                                                     "NET_ADMIN",
                                                     "NET_RAW",
                                                     "IPC_LOCK",
                                                     "IPC_OWNER",
                                                     "SYS_MODULE",
                                                     "SYS_RAWIO",
                                                     "SYS_CHROOT",
                                                     "SYS_PTRACE",
                                                     "SYS_PACCT",
                                                     "SYS_ADMIN",
                                                     "SYS_BOOT",
                                                     "SYS_NICE",
                                                     "SYS_RESOURCE",
                                                     "SYS_TIME",
                                                     "SYS_TTY_CONFIG",
                                                     "MKNOD",
                                                     "LEASE",
                                                     "AUDIT_WRITE",
                                                     "AUDIT_CONTROL",
                                                     "SETFCAP",
                                                     "MAC_OVERRIDE",
                                                     "MAC_ADMIN",
                                                     "SYSLOG",
                                                     "WAKE_ALARM",
                                                     "BLOCK_SUSPEND",
                                                     "AUDIT_READ",
                                                     "PERFMON",
                                                     "BPF",
                                                     "CHECKPOINT_RESTORE"};

// Upper case, without CAP_.
std::string Canonical(std::string_view name) {
  std::string out;
  for (char c : name) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (out.starts_with("CAP_")) out.erase(0, 4);
  return out;
}

bool IsAll(std::string_view name) { return Canonical(name) == "ALL"; }

// What a request's list says: ALL or not, and the single names.
struct Wish {
  bool all = false;
  CapabilityMask single;
};

Result<Wish> ParseWish(const std::vector<std::string>& names, std::string_view what) {
  Wish wish;
  for (const std::string& name : names) {
    if (IsAll(name)) {
      wish.all = true;
      continue;
    }
    wish.single.Add(TRY(ParseCapability(name), what));
  }
  return wish;
}

Result<> CheckAvailable(CapabilityMask wanted, CapabilityMask available) {
  CapabilityMask missing(wanted.bits() & ~available.bits());
  if (missing.empty()) return Ok();
  return Error(Code::kFailedPrecondition,
               StrCat("capabilities: ", Join(missing.Names(), ", "),
                      " cannot be added: this daemon itself does not have it"));
}

CapabilitySets SetsOf(CapabilityMask mask, CapabilityMask ambient) {
  std::vector<std::string> names = mask.Names();
  return CapabilitySets{.bounding = names,
                        .effective = names,
                        .inheritable = ambient.Names(),
                        .permitted = names,
                        .ambient = ambient.Names()};
}

Result<CapabilityMask> Base(const PlanCapabilities& plan, CapabilityMask available, bool add_all,
                            bool drop_all) {
  if (drop_all) return CapabilityMask();
  if (add_all) return available;
  if (plan.defaults.empty()) {
    return TRY(CapabilityMask::FromNames(DefaultCapabilities(), "default capabilities"))
        .Intersect(available);
  }
  return TRY(CapabilityMask::FromNames(plan.defaults, "default capabilities")).Intersect(available);
}

}  // namespace

Result<int> ParseCapability(std::string_view name) {
  std::string canonical = Canonical(name);
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == canonical) return static_cast<int>(i);
  }
  return Error(Code::kInvalidArgument, StrCat("unknown capability ", Quote(name)));
}

Result<CapabilityMask> CapabilityMask::FromNames(const std::vector<std::string>& names,
                                                 std::string_view what) {
  CapabilityMask mask;
  for (const std::string& name : names) mask.Add(TRY(ParseCapability(name), what));
  return mask;
}

bool CapabilityMask::Has(std::string_view name) const {
  auto number = ParseCapability(name);
  return number.has_value() && Has(*number);
}

std::vector<std::string> CapabilityMask::Names() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (Has(static_cast<int>(i))) names.push_back(StrCat("CAP_", kNames[i]));
  }
  return names;
}

Result<CapabilitySets> BuildCapabilities(const PlanCapabilities& plan, bool privileged) {
  CapabilityMask available = TRY(CapabilityMask::FromNames(plan.available, "own capabilities"));
  if (available.empty()) {
    return Error(Code::kInternal, "capabilities: the daemon's own bounding set is not given");
  }
  if (privileged) return SetsOf(available, CapabilityMask());

  Wish add = TRY(ParseWish(plan.add, "add capabilities"));
  Wish drop = TRY(ParseWish(plan.drop, "drop capabilities"));
  Wish ambient = TRY(ParseWish(plan.add_ambient, "add ambient capabilities"));
  CapabilityMask single(add.single.bits() | ambient.single.bits());
  // What is dropped again need not be there.
  TRY(CheckAvailable(CapabilityMask(single.bits() & ~drop.single.bits()), available));

  CapabilityMask mask = TRY(Base(plan, available, add.all || ambient.all, drop.all));
  mask = CapabilityMask((mask.bits() | single.bits()) & ~drop.single.bits());
  CapabilityMask raised = ambient.all ? mask : ambient.single.Intersect(mask);
  return SetsOf(mask, raised);
}

}  // namespace berth::oci

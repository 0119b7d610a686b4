// SPDX-License-Identifier: Apache-2.0
// Localhost profiles: the runtime spec's form, and the wider one of Docker and containers/common.
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "oci/json_internal.h"
#include "oci/seccomp.h"

namespace berth::oci {

namespace {

constexpr size_t kMaxRules = 4096;
constexpr size_t kMaxNames = 4096;
constexpr int64_t kMaxErrno = 4095;  // MAX_ERRNO of the kernel

template <size_t N>
Result<std::string> OneOf(const JsonReader& reader, const std::array<std::string_view, N>& known) {
  std::string word = TRY(reader.String());
  if (std::find(known.begin(), known.end(), word) == known.end()) {
    return reader.Fail(StrCat("unknown value ", Quote(word)));
  }
  return word;
}

// SCMP_ACT_NOTIFY is not among them: it needs a listener, which a pod cannot bring.
Result<std::string> Action(const JsonReader& reader) {
  static constexpr std::array<std::string_view, 8> kActions = {
      "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS",
      "SCMP_ACT_LOG",   "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"};
  return OneOf(reader, kActions);
}

Result<std::string> Architecture(const JsonReader& reader) {
  static constexpr std::array<std::string_view, 21> kArchitectures = {
      "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
      "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
      "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
      "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
      "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
      "SCMP_ARCH_M68K"};
  return OneOf(reader, kArchitectures);
}

Result<std::string> Flag(const JsonReader& reader) {
  static constexpr std::array<std::string_view, 4> kFlags = {
      "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  return OneOf(reader, kFlags);
}

Result<std::string> Operator(const JsonReader& reader) {
  static constexpr std::array<std::string_view, 7> kOperators = {
      "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
      "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
  return OneOf(reader, kOperators);
}

Result<uint64_t> Unsigned64(const JsonReader& reader) {
  if (!reader.value().is_number_unsigned()) return reader.Fail("not a whole number from 0");
  return reader.value().get<uint64_t>();
}

Result<std::optional<uint32_t>> ErrnoOf(const JsonReader& reader, std::string_view key) {
  auto member = TRY(reader.Optional(key));
  if (!member) return std::optional<uint32_t>();
  return std::optional<uint32_t>(static_cast<uint32_t>(TRY(member->Int(0, kMaxErrno))));
}

Result<SeccompArg> ParseArg(const JsonReader& reader) {
  SeccompArg arg;
  arg.index = static_cast<uint32_t>(TRY(TRY(reader.Required("index")).Int(0, 5)));
  arg.value = TRY(Unsigned64(TRY(reader.Required("value"))));
  if (auto two = TRY(reader.Optional("valueTwo"))) arg.value_two = TRY(Unsigned64(*two));
  arg.op = TRY(Operator(TRY(reader.Required("op"))));
  return arg;
}

std::string_view GoArch(Arch arch) {
  return arch == Arch::kAmd64 ? "amd64" : arch == Arch::kArm64 ? "arm64" : "";
}

// "4.8": holds on every kernel that Berth runs on (5.14 and later). Which kernel this is, is not
// known here.
Result<> CheckMinKernel(const JsonReader& reader) {
  std::string text = TRY(reader.String());
  std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() != 2) return reader.Fail(StrCat("not a kernel version: ", Quote(text)));
  int64_t major = TRY(ParseInt(parts[0], 0, 1000, "minKernel"));
  int64_t minor = TRY(ParseInt(parts[1], 0, 1000, "minKernel"));
  if (major < 5 || (major == 5 && minor <= 14)) return Ok();
  return reader.Fail("kernels after 5.14 cannot be told apart");
}

// includes: all that is given must hold. excludes: none of it may. `caps`: every one (includes) or
// any one.
struct Condition {
  bool all_caps = true, any_cap = false;
  bool arch = true, has_arch = false;
};

Result<Condition> ParseCondition(const JsonReader& reader, CapabilityMask bounding, Arch arch) {
  Condition condition;
  for (const auto& [key, member] : TRY(reader.Members(16))) {
    if (member.value().is_null()) continue;
    if (key == "caps") {
      for (const std::string& name : TRY(member.Strings(64))) {
        bool held = bounding.Has(TRY(ParseCapability(name), member.path()));
        condition.all_caps = condition.all_caps && held;
        condition.any_cap = condition.any_cap || held;
      }
    } else if (key == "arches") {
      std::vector<std::string> arches = TRY(member.Strings(64));
      if (arches.empty()) continue;
      condition.has_arch = true;
      condition.arch = std::find(arches.begin(), arches.end(), GoArch(arch)) != arches.end();
    } else if (key == "minKernel") {
      TRY(CheckMinKernel(member));
    } else {
      return member.Fail("unknown condition");
    }
  }
  return condition;
}

Result<bool> Applies(const JsonReader& rule, CapabilityMask bounding, Arch arch) {
  if (auto includes = TRY(rule.Optional("includes"))) {
    Condition c = TRY(ParseCondition(*includes, bounding, arch));
    if (!c.all_caps || !c.arch) return false;
  }
  if (auto excludes = TRY(rule.Optional("excludes"))) {
    Condition c = TRY(ParseCondition(*excludes, bounding, arch));
    if (excludes->Has("minKernel")) return excludes->Fail("minKernel is not known here");
    if (c.any_cap || (c.has_arch && c.arch)) return false;
  }
  return true;
}

Result<SeccompRule> ParseRule(const JsonReader& reader) {
  SeccompRule rule;
  rule.names = TRY(reader.OptionalStrings("names", kMaxNames));
  std::string name = TRY(reader.OptionalString("name"));  // the form before 2017
  if (!name.empty()) rule.names.push_back(std::move(name));
  if (rule.names.empty()) return reader.Fail("names no system call");
  for (const std::string& call : rule.names) {
    if (call.empty()) return reader.Fail("an empty system call name");
  }
  rule.action = TRY(Action(TRY(reader.Required("action"))));
  rule.errno_ret = TRY(ErrnoOf(reader, "errnoRet"));
  if (!rule.errno_ret && reader.Has("errno")) return reader.Fail("errno without errnoRet");
  if (auto args = TRY(reader.Optional("args"))) {
    for (const JsonReader& arg : TRY(args->Elements(64))) rule.args.push_back(TRY(ParseArg(arg)));
  }
  return rule;
}

// archMap: the entry of this machine's architecture and its sub-architectures.
Result<> ReadArchMap(const JsonReader& map, Arch arch, Seccomp& profile) {
  std::string_view own = arch == Arch::kAmd64   ? "SCMP_ARCH_X86_64"
                         : arch == Arch::kArm64 ? "SCMP_ARCH_AARCH64"
                                                : "";
  for (const JsonReader& entry : TRY(map.Elements(64))) {
    std::string name = TRY(Architecture(TRY(entry.Required("architecture"))));
    if (name != own) continue;
    profile.architectures.push_back(std::move(name));
    if (auto subs = TRY(entry.Optional("subArchitectures"))) {
      for (const JsonReader& sub : TRY(subs->Elements(64))) {
        profile.architectures.push_back(TRY(Architecture(sub)));
      }
    }
  }
  return Ok();
}

Result<> ReadHead(const JsonReader& root, Arch arch, Seccomp& profile) {
  profile.default_action = TRY(Action(TRY(root.Required("defaultAction"))));
  profile.default_errno_ret = TRY(ErrnoOf(root, "defaultErrnoRet"));
  if (!profile.default_errno_ret && root.Has("defaultErrno")) {
    return root.Fail("defaultErrno without defaultErrnoRet");
  }
  if (root.Has("listenerPath")) return root.Fail("listenerPath is not supported");
  if (auto list = TRY(root.Optional("architectures"))) {
    for (const JsonReader& item : TRY(list->Elements(64))) {
      profile.architectures.push_back(TRY(Architecture(item)));
    }
  }
  if (auto map = TRY(root.Optional("archMap"))) {
    if (!profile.architectures.empty()) return root.Fail("both architectures and archMap");
    TRY(ReadArchMap(*map, arch, profile));
  }
  if (auto flags = TRY(root.Optional("flags"))) {
    for (const JsonReader& flag : TRY(flags->Elements(16))) {
      profile.flags.push_back(TRY(Flag(flag)));
    }
  }
  return Ok();
}

}  // namespace

Result<Seccomp> ParseSeccompProfile(std::string_view text, CapabilityMask bounding, Arch arch) {
  JsonLimits limits;
  limits.max_bytes = kMaxSeccompProfileBytes;
  limits.max_depth = 16;
  Json tree = TRY(ParseJson(text, limits, "seccomp profile"));
  JsonReader root(tree);
  Seccomp profile;
  TRY(root.ExpectObject(), "seccomp profile");
  TRY(ReadHead(root, arch, profile), "seccomp profile");
  auto syscalls = TRY(root.Optional("syscalls"), "seccomp profile");
  if (!syscalls) return profile;
  for (const JsonReader& item : TRY(syscalls->Elements(kMaxRules), "seccomp profile")) {
    // A rule that does not apply must be well-formed all the same.
    SeccompRule rule = TRY(ParseRule(item), "seccomp profile");
    if (TRY(Applies(item, bounding, arch), "seccomp profile")) {
      profile.syscalls.push_back(std::move(rule));
    }
  }
  return profile;
}

Result<> CheckLocalhostSeccompPath(std::string_view path) {
  auto fail = [&](std::string_view problem) {
    return Error(Code::kInvalidArgument,
                 StrCat("localhost seccomp profile ", Quote(path), ": ", problem));
  };
  if (path.empty()) return fail("no path");
  if (path[0] != '/') return fail("not an absolute path");
  if (path.find('\0') != std::string_view::npos) return fail("contains a zero byte");
  for (std::string_view part : Split(path, '/')) {
    if (part == "..") return fail("contains \"..\"");
  }
  return Ok();
}

}  // namespace berth::oci

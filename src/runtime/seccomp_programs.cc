// SPDX-License-Identifier: Apache-2.0
#include "runtime/seccomp_programs.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/base64.h"
#include "base/strings.h"
#include "oci/spec_json.h"
#include "os/fd.h"

namespace berth::runtime {

namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

constexpr uint32_t kDefaultErrno = EPERM;  // runtime spec: errnoRet

Error Refused(std::string_view what) {
  return Error(Code::kInvalidArgument, StrCat("seccomp: ", what, ": not possible"));
}

Result<uint32_t> ActionOf(const std::string& name, const std::optional<uint32_t>& errno_ret) {
  const uint32_t number = errno_ret.value_or(kDefaultErrno);
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(number);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(number);
  if (errno_ret) return Refused(StrCat("errno of ", name));
  static constexpr std::array<std::pair<std::string_view, uint32_t>, 6> kActions = {
      {{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
       {"SCMP_ACT_KILL", SCMP_ACT_KILL},
       {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
       {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
       {"SCMP_ACT_LOG", SCMP_ACT_LOG},
       {"SCMP_ACT_TRAP", SCMP_ACT_TRAP}}};
  for (const auto& [known, value] : kActions)
    if (known == name) return value;
  return Refused(StrCat("action ", Quote(name)));
}

Result<scmp_compare> OperatorOf(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, scmp_compare>, 7> kOperators = {
      {{"SCMP_CMP_NE", SCMP_CMP_NE},
       {"SCMP_CMP_LT", SCMP_CMP_LT},
       {"SCMP_CMP_LE", SCMP_CMP_LE},
       {"SCMP_CMP_EQ", SCMP_CMP_EQ},
       {"SCMP_CMP_GE", SCMP_CMP_GE},
       {"SCMP_CMP_GT", SCMP_CMP_GT},
       {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}}};
  for (const auto& [known, value] : kOperators)
    if (known == name) return value;
  return Refused(StrCat("operator ", Quote(name)));
}

Result<> AddArchitecture(const Context& context, const std::string& name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  const std::string_view rest = std::string_view(name).starts_with(kPrefix)
                                    ? std::string_view(name).substr(kPrefix.size())
                                    : std::string_view(name);
  const uint32_t arch = seccomp_arch_resolve_name(ToLower(rest).c_str());
  const int rc = arch == 0 ? -EINVAL : seccomp_arch_add(context.get(), arch);
  if (rc < 0 && rc != -EEXIST) return Refused(StrCat("architecture ", Quote(name)));
  return Ok();
}

Result<std::vector<scmp_arg_cmp>> ConditionsOf(const oci::SeccompRule& rule) {
  std::vector<scmp_arg_cmp> conditions;
  for (const oci::SeccompArg& arg : rule.args) {
    if (arg.index > 5) return Refused("argument");
    conditions.push_back({arg.index, TRY(OperatorOf(arg.op)), arg.value, arg.value_two});
  }
  return conditions;
}

bool OneArgumentTwice(const std::vector<scmp_arg_cmp>& conditions) {
  std::array<bool, 6> seen{};
  for (const scmp_arg_cmp& condition : conditions)
    if (std::exchange(seen[condition.arg], true)) return true;
  return false;
}

Result<> AddRule(const Context& context, const oci::SeccompRule& rule, uint32_t default_action) {
  const uint32_t action = TRY(ActionOf(rule.action, rule.errno_ret));
  if (action == default_action) return Ok();
  const std::vector<scmp_arg_cmp> all = TRY(ConditionsOf(rule));
  const bool apart = OneArgumentTwice(all);
  const size_t rules = apart ? all.size() : 1;
  const auto each = static_cast<unsigned int>(apart ? 1 : all.size());
  for (const std::string& name : rule.names) {
    const int call = seccomp_syscall_resolve_name(name.c_str());
    if (call == __NR_SCMP_ERROR) continue;
    for (size_t i = 0; i < rules; ++i) {
      if (seccomp_rule_add_array(context.get(), action, call, each, all.data() + i) < 0)
        return Refused(StrCat("rule of ", Quote(name)));
    }
  }
  return Ok();
}

Result<std::string> Export(const Context& context) {
  os::Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return ErrnoError("seccomp: memfd");
  if (seccomp_export_bpf(context.get(), file.get()) < 0) return Refused("program");
  struct stat st{};
  if (::fstat(file.get(), &st) < 0) return ErrnoError("seccomp: memfd");
  std::string program(static_cast<size_t>(st.st_size), '\0');
  if (::pread(file.get(), program.data(), program.size(), 0) !=
      static_cast<ssize_t>(program.size()))
    return ErrnoError("seccomp: read program");
  return program;
}

}  // namespace

Result<std::string> CompileSeccomp(const oci::Seccomp& filter) {
  const uint32_t default_action = TRY(ActionOf(filter.default_action, filter.default_errno_ret));
  const Context context(seccomp_init(default_action));
  if (!context) return Refused("default action");
  for (const std::string& name : filter.architectures) TRY(AddArchitecture(context, name));
  for (const oci::SeccompRule& rule : filter.syscalls) TRY(AddRule(context, rule, default_action));
  return Export(context);
}

std::string WithoutSeccompProgram(std::string spec_json) {
  if (spec_json.find(kSeccompProgramAnnotation) == std::string::npos) return spec_json;
  Result<oci::Spec> spec = oci::ParseSpec(spec_json);
  if (!spec || spec->annotations.erase(kSeccompProgramAnnotation) == 0) return spec_json;
  return oci::ToJson(*spec).value_or(spec_json);
}

Result<std::shared_ptr<const std::string>> SeccompPrograms::Get(const oci::Seccomp& filter) {
  auto entries = entries_.Lock();
  auto found = std::find_if(entries->begin(), entries->end(),
                            [&](const Entry& entry) { return entry.first == filter; });
  if (found != entries->end()) {
    std::rotate(found, found + 1, entries->end());
    return entries->back().second;
  }
  // Under the lock: it is computing only, and those who wait want the same most of the time.
  auto program = std::make_shared<const std::string>(Base64Encode(TRY(CompileSeccomp(filter))));
  if (entries->size() >= kMost) entries->erase(entries->begin());
  entries->emplace_back(filter, program);
  return program;
}

}  // namespace berth::runtime

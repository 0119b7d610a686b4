// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "oci/build_spec_parts.h"
#include "oci/capabilities.h"
#include "oci/defaults.h"

namespace berth::oci {

namespace {

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

bool HasZeroByte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Variables in the order in which they were first set; setting one again keeps its place.
class Environment {
 public:
  void Set(std::string_view name, std::string_view value) {
    std::string entry = StrCat(name, '=', value);
    for (std::string& existing : entries_) {
      if (NameOf(existing) == name) {
        existing = std::move(entry);
        return;
      }
    }
    entries_.push_back(std::move(entry));
  }
  bool Has(std::string_view name) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const std::string& entry) { return NameOf(entry) == name; });
  }
  std::vector<std::string> Take() && { return std::move(entries_); }

 private:
  static std::string_view NameOf(std::string_view entry) {
    return entry.substr(0, entry.find('='));
  }
  std::vector<std::string> entries_;
};

// An entry of the image without a name or a '=' sets nothing: image builders have written both.
Result<> AddImageEnv(const std::vector<std::string>& image, Environment& env) {
  for (const std::string& entry : image) {
    if (HasZeroByte(entry)) return Invalid("image environment: contains a zero byte");
    size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) continue;
    std::string_view view = entry;
    env.Set(view.substr(0, equals), view.substr(equals + 1));
  }
  return Ok();
}

Result<> AddRequestEnv(const std::vector<std::pair<std::string, std::string>>& request,
                       Environment& env) {
  for (const auto& [name, value] : request) {
    if (name.empty() || name.find('=') != std::string::npos || HasZeroByte(name)) {
      return Invalid(StrCat("environment variable name ", Quote(name), " is not valid"));
    }
    if (HasZeroByte(value)) {
      return Invalid(StrCat("environment variable ", name, ": contains a zero byte"));
    }
    env.Set(name, value);
  }
  return Ok();
}

Result<> CheckArgs(const std::vector<std::string>& args) {
  if (args.empty()) return Invalid("no command: neither the request nor the image has one");
  // Only the first is looked up as a program; an empty later argument is fine.
  if (args[0].empty()) return Invalid("command: the program's name is empty");
  for (const std::string& arg : args) {
    if (HasZeroByte(arg)) return Invalid("command: contains a zero byte");
  }
  return Ok();
}

Result<std::string> BuildCwd(const ContainerPlan& plan) {
  const std::string& own = plan.process.working_dir;
  const std::string& cwd = own.empty() ? plan.image.working_dir : own;
  if (cwd.empty()) return std::string("/");
  return TRY(CleanContainerPath(cwd), "working directory");
}

}  // namespace

Result<std::vector<std::string>> BuildArgs(const PlanImageProcess& image,
                                           const PlanProcess& process) {
  std::vector<std::string> args = process.command.empty() ? image.entrypoint : process.command;
  // A command of the request's drops the image's arguments; arguments of the request's always
  // replace them.
  bool use_image_cmd = process.command.empty() && process.args.empty();
  const std::vector<std::string>& tail = use_image_cmd ? image.cmd : process.args;
  args.insert(args.end(), tail.begin(), tail.end());
  TRY(CheckArgs(args));
  return args;
}

Result<std::vector<std::string>> BuildEnv(const PlanImageProcess& image, const PlanProcess& process,
                                          std::string_view hostname) {
  Environment env;
  env.Set("PATH", kDefaultPath);
  TRY(AddImageEnv(image.env, env));
  if (!hostname.empty()) env.Set("HOSTNAME", hostname);
  TRY(AddRequestEnv(process.env, env));
  if (!env.Has("HOME")) env.Set("HOME", process.home.empty() ? "/" : process.home);
  if (process.tty && !env.Has("TERM")) env.Set("TERM", "xterm");
  return std::move(env).Take();
}

// The primary group is among the additional ones too: a file may deny by group what it grants to
// others, and setgroups(2) without it would lift that (CVE-2022-36109, CVE-2023-25173).
SpecUser BuildUser(const SpecUser& user) {
  SpecUser out = user;
  out.additional_gids = {user.gid};
  for (uint32_t gid : user.additional_gids) {
    bool known = std::find(out.additional_gids.begin(), out.additional_gids.end(), gid) !=
                 out.additional_gids.end();
    if (!known) out.additional_gids.push_back(gid);
  }
  return out;
}

Result<std::vector<Rlimit>> BuildRlimits(const std::vector<Rlimit>& rlimits) {
  std::set<std::string> seen;
  for (const Rlimit& limit : rlimits) {
    if (!IsRlimitName(limit.type)) return Invalid(StrCat("unknown rlimit ", Quote(limit.type)));
    if (!seen.insert(limit.type).second) return Invalid(StrCat("rlimit ", limit.type, ": twice"));
    if (limit.soft > limit.hard) {
      return Invalid(
          StrCat("rlimit ", limit.type, ": soft ", limit.soft, " is above hard ", limit.hard));
    }
  }
  return rlimits;
}

Result<int64_t> BuildOomScoreAdj(const ContainerPlan& plan) {
  int64_t value = plan.resources.oom_score_adj.value_or(0);
  if (value < -1000 || value > 1000) {
    return Invalid(StrCat("oom_score_adj ", value, " is not from -1000 to 1000"));
  }
  return std::max(value, plan.min_oom_score_adj.value_or(-1000));
}

Result<SpecProcess> BuildProcess(const ContainerPlan& plan) {
  SpecProcess process;
  process.terminal = plan.process.tty;
  process.user = BuildUser(plan.process.user);
  process.args = TRY(BuildArgs(plan.image, plan.process));
  process.env = TRY(BuildEnv(plan.image, plan.process, plan.hostname));
  process.cwd = TRY(BuildCwd(plan));
  process.capabilities = TRY(BuildCapabilities(plan.capabilities, plan.privileged));
  process.no_new_privileges = plan.no_new_privileges;
  process.oom_score_adj = TRY(BuildOomScoreAdj(plan));
  process.rlimits = TRY(BuildRlimits(plan.process.rlimits));
  if (!plan.privileged) process.apparmor_profile = plan.apparmor_profile;
  process.selinux_label = plan.selinux_process_label;
  return process;
}

Result<SpecProcess> BuildExecProcess(const Spec& container, const std::vector<std::string>& args,
                                     bool tty) {
  TRY(CheckArgs(args), "exec");
  SpecProcess process = container.process;
  process.terminal = tty;
  process.args = args;
  Environment env;
  TRY(AddImageEnv(container.process.env, env));
  if (tty && !env.Has("TERM")) env.Set("TERM", "xterm");
  process.env = std::move(env).Take();
  return process;
}

}  // namespace berth::oci

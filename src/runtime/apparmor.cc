// SPDX-License-Identifier: Apache-2.0
#include "runtime/apparmor.h"

#include "base/strings.h"
#include "os/process.h"
#include "runtime/host.h"

namespace berth::runtime {

Result<std::vector<std::string>> ParseApparmorProfiles(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    size_t mode = line.rfind(" (");
    if (mode == std::string_view::npos || mode == 0 || !line.ends_with(')')) {
      return Error(Code::kInvalidArgument,
                   StrCat("apparmor profiles: malformed line ", Quote(line, 128)));
    }
    out.emplace_back(line.substr(0, mode));
  }
  return out;
}

// A second lock on what the masked paths, capabilities and seccomp keep a container from already: mounting, and the
// files through which root in a container could change the node.
std::string DefaultApparmorPolicy() {
  const std::string name = kDefaultApparmorProfile;
  return StrCat("#include <tunables/global>\nprofile ", name,
                " flags=(attach_disconnected,mediate_deleted) {\n",
                R"(  #include <abstractions/base>
  file,
  network,
  capability,
  umount,
  signal (receive) peer=unconfined,
)",
                "  signal peer=", name, ",\n  ptrace peer=", name, ",\n", R"(
  deny mount,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,
  deny @{PROC}/{acpi,bus,fs,irq,scsi}/** wklx,
  deny @{PROC}/sys/{dev,fs,vm}/** wklx,
  deny @{PROC}/sys/kernel/{core_pattern,modprobe,hotplug} wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/{debug,security,tracing}/** rwklx,
  deny /sys/{block,bus,class,dev,devices,module,power}/** wklx,
}
)");
}

Result<> LoadDefaultApparmorProfile(const std::string& parser) {
  os::RunOptions run;
  run.spawn.path = parser;
  // Replaces an older one; no cache file.
  run.spawn.args = {"apparmor_parser", "--replace", "--skip-cache"};
  run.input = DefaultApparmorPolicy();
  os::RunOutput done = TRY(os::Run(run), parser);
  if (done.status.ok()) return Ok();
  return Error(Code::kFailedPrecondition, StrCat(parser, ": ", Quote(TrimSpace(done.err), 512)));
}

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
#include "oci/defaults.h"

#include <algorithm>
#include <array>

namespace berth::oci {

namespace {
using Words = std::vector<std::string>;

template <size_t N>
bool Contains(const std::array<std::string_view, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}
}  // namespace

const std::vector<std::string>& DefaultCapabilities() {
  static const Words kList = {"CAP_CHOWN",       "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                              "CAP_FSETID",      "CAP_KILL",         "CAP_SETGID",
                              "CAP_SETUID",      "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE",
                              "CAP_NET_RAW",     "CAP_SYS_CHROOT",   "CAP_MKNOD",
                              "CAP_AUDIT_WRITE", "CAP_SETFCAP"};
  return kList;
}

const std::vector<std::string>& ReducedCapabilities() {
  static const Words kList = {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",
                              "CAP_FSETID", "CAP_KILL",         "CAP_SETGID",
                              "CAP_SETUID", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE"};
  return kList;
}

const std::vector<std::string>& DefaultMaskedPaths() {
  static const Words kList = {"/proc/acpi",
                              "/proc/asound",
                              "/proc/interrupts",
                              "/proc/kcore",
                              "/proc/keys",
                              "/proc/latency_stats",
                              "/proc/sched_debug",
                              "/proc/scsi",
                              "/proc/timer_list",
                              "/proc/timer_stats",
                              "/sys/devices/virtual/powercap",
                              "/sys/firmware",
                              "/sys/fs/selinux"};
  return kList;
}

const std::vector<std::string>& DefaultReadonlyPaths() {
  static const Words kList = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                              "/proc/sysrq-trigger"};
  return kList;
}

std::vector<SpecMount> DefaultMounts() {
  auto mount = [](const char* destination, const char* type, const char* source, Words options) {
    return SpecMount{.destination = destination,
                     .type = type,
                     .source = source,
                     .options = std::move(options),
                     .uid_mappings = {},
                     .gid_mappings = {}};
  };
  return {
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

bool IsMountableProcLeaf(std::string_view path) {
  static constexpr std::array<std::string_view, 11> kLeaves = {"/proc/cpuinfo",
                                                               "/proc/diskstats",
                                                               "/proc/loadavg",
                                                               "/proc/meminfo",
                                                               "/proc/net/dev",
                                                               "/proc/slabinfo",
                                                               "/proc/stat",
                                                               "/proc/swaps",
                                                               "/proc/uptime",
                                                               "/proc/sys/kernel/ns_last_pid",
                                                               "/proc/sys/crypto/fips_enabled"};
  return Contains(kLeaves, path);
}

bool IsRlimitName(std::string_view name) {
  static constexpr std::array<std::string_view, 16> kNames = {
      "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
      "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
      "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
      "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};
  return Contains(kNames, name);
}

bool IsDangerousAnnotation(std::string_view key) {
  static constexpr std::array<std::string_view, 7> kPrefixes = {"org.systemd.property.",
                                                                "run.oci.",
                                                                "krun.",
                                                                "org.criu.config",
                                                                "module.wasm.image/variant",
                                                                "io.kubernetes.cri.",
                                                                "io.kubernetes.cri-o."};
  if (key == "bundle") return true;
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

}  // namespace berth::oci

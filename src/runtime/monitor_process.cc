// SPDX-License-Identifier: Apache-2.0
#include "runtime/monitor_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "monitor/protocol.h"
#include "os/process.h"

namespace berth::runtime {

namespace {

constexpr int kEndMs = 5'000;
constexpr size_t kMaxProcesses = 1'000'000;
constexpr const char* kComm = "berth-monitor\n";

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// What cannot be read has ended meanwhile.
bool IsMonitorOf(const os::DirFd& proc, const std::string& number, const struct stat& pod) {
  struct stat directory{};
  struct stat listener{};
  const std::string fds = StrCat(number, "/fd/");
  if (::fstatat(proc.get(), StrCat(fds, monitor::kRunDirFd).c_str(), &directory, 0) != 0 ||
      !SameFile(directory, pod))
    return false;
  if (::fstatat(proc.get(), StrCat(fds, monitor::kListenerFd).c_str(), &listener, 0) != 0 ||
      !S_ISSOCK(listener.st_mode))
    return false;
  const Result<std::string> comm = proc.ReadFile(StrCat(number, "/comm"), 64);
  return comm && *comm == kComm;
}

Result<> KillAndWait(pid_t pid, os::Fd pidfd) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  os::Process process(pid, std::move(pidfd));
  Result<> killed = process.Kill(SIGKILL);
  if (killed) (void)::poll(&ended, 1, kEndMs);
  (void)process.Detach();
  return killed;
}

}  // namespace

Result<> KillOther(const os::DirFd& pod, const os::Fd& pidfd) {
  constexpr pid_t kNotAsked = 1;  // nothing is done by number
  if (pidfd) return KillAndWait(kNotAsked, TRY(pidfd.Duplicate()));
  struct stat own{};
  if (::fstat(pod.get(), &own) < 0) return ErrnoError("run directory");
  const os::DirFd proc = TRY(os::DirFd::OpenTrusted("/proc"));
  for (const std::string& number : TRY(proc.List(kMaxProcesses), "/proc")) {
    Result<int64_t> pid = ParseInt(number, 1, INT32_MAX, "process");
    if (!pid || !IsMonitorOf(proc, number, own)) continue;
    Result<os::Fd> found = os::Process::OpenPidFd(static_cast<pid_t>(*pid));
    // Looked at again: it was alive after the pidfd was opened, or is somebody else and no monitor of this pod.
    if (!found || !IsMonitorOf(proc, number, own)) continue;
    TRY(KillAndWait(static_cast<pid_t>(*pid), std::move(*found)));
  }
  return Ok();
}

}  // namespace berth::runtime

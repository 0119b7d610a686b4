// SPDX-License-Identifier: Apache-2.0
#include "monitor/oom.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::monitor {

int64_t OomKills(std::string_view text) {
  constexpr std::string_view kKey = "oom_kill ";
  for (std::string_view line : Split(text, '\n')) {
    if (!line.starts_with(kKey)) continue;
    Result<int64_t> count = ParseInt(line.substr(kKey.size()), 0, INT64_MAX, "oom_kill");
    return count ? *count : 0;
  }
  return 0;
}

namespace {

// cgroup v1, memory.txt section 10: "<eventfd> <fd of memory.oom_control>" into
// cgroup.event_control.
Result<os::Fd> RegisterV1(const os::DirFd& group, const os::Fd& control) {
  os::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return ErrnoError("make eventfd");
  os::Fd registry = TRY(group.Open("cgroup.event_control", O_WRONLY | O_CLOEXEC));
  TRY(os::WriteAll(registry.get(), StrCat(event.get(), ' ', control.get())));
  return event;
}

}  // namespace

Result<> OomWatch::Open(Loop* loop, const std::string& root,
                        const std::map<std::string, std::string>& groups) {
  const auto v1 = groups.find("memory");
  const bool is_v1 = v1 != groups.end();
  const auto found = is_v1 ? v1 : groups.find("");
  if (found == groups.end()) return Error(Code::kNotFound, "memory cgroup: none");
  os::DirFd group = TRY(os::DirFd::OpenTrusted(StrCat(root, is_v1 ? "/memory" : "", found->second)),
                        "memory cgroup");
  counters_ = TRY(group.Open(is_v1 ? "memory.oom_control" : "memory.events", O_RDONLY | O_CLOEXEC));
  os::Fd event = is_v1 ? TRY(RegisterV1(group, counters_), "memory cgroup")
                       : TRY(counters_.Duplicate(), "memory cgroup");
  return event_.Open(loop, std::move(event), is_v1 ? EPOLLIN : EPOLLPRI, [this, is_v1](uint32_t) {
    uint64_t count = 0;
    if (is_v1) (void)!::read(event_.fd(), &count, sizeof count);
    // A group that was removed stays in error: reading it fails, and there is nothing more to
    // learn.
    if (!Look() || killed_) event_.Close();
  });
}

bool OomWatch::Look() {
  if (killed_ || !counters_) return killed_;
  char text[512];
  const ssize_t n = ::pread(counters_.get(), text, sizeof text, 0);
  if (n <= 0) return false;
  killed_ = OomKills(std::string_view(text, static_cast<size_t>(n))) > 0;
  return true;
}

bool OomWatch::Killed() {
  Look();
  return killed_;
}

void OomWatch::Close() {
  event_.Close();
  counters_.Reset();
}

}  // namespace berth::monitor

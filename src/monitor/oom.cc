// SPDX-License-Identifier: Apache-2.0
#include "monitor/oom.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

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

// -1: cannot be read.
int64_t ReadKills(const os::Fd& counters) {
  char text[512];
  const ssize_t n = ::pread(counters.get(), text, sizeof text, 0);
  return n <= 0 ? -1 : OomKills(std::string_view(text, static_cast<size_t>(n)));
}

}  // namespace

std::string AboveScope(std::string_view group) {
  constexpr std::string_view kScope = ".scope";
  size_t begin = 0;
  while (begin < group.size()) {
    const size_t end = std::min(group.find('/', begin + 1), group.size());
    if (group.substr(begin, end - begin).ends_with(kScope))
      return std::string(group.substr(0, begin));
    begin = end;
  }
  return "";
}

void OomLedger::Add(OomWatch* watch, const std::string& outer) {
  if (path_.empty()) {
    auto opened = os::DirFd::OpenTrusted(outer.substr(0, outer.rfind('/')));
    if (!opened) return;
    auto file = opened->Open(outer.substr(outer.rfind('/') + 1), O_RDONLY | O_CLOEXEC);
    if (!file) return;
    outer_ = std::move(*file);
    path_ = outer;
    explained_ = std::max<int64_t>(0, ReadKills(outer_));
  }
  if (path_ != outer) return;
  // What nobody here can have been is settled, so that nobody is blamed for it later.
  if (const Sum sum = Take(); sum.gone == 0) explained_ += sum.unexplained;
  watches_.push_back(watch);
}

void OomLedger::Remove(OomWatch* watch) { std::erase(watches_, watch); }

// The kernel counts a kill below first, then above: two equal readings of the sum above have all of
// it below.
OomLedger::Sum OomLedger::Take() {
  constexpr int kTries = 5;
  Sum sum;
  for (int i = 0; i < kTries; ++i) {
    const int64_t before = ReadKills(outer_);
    sum.gone = 0;
    for (OomWatch* watch : watches_) sum.gone += watch->Look() ? 0 : 1;
    const int64_t after = ReadKills(outer_);
    sum.unexplained = after < 0 ? 0 : std::max<int64_t>(0, after - explained_);
    if (before == after) break;
  }
  return sum;
}

bool OomLedger::Claim(OomWatch* watch) {
  if (std::find(watches_.begin(), watches_.end(), watch) == watches_.end()) return false;
  const Sum sum = Take();
  if (sum.unexplained == 0) return false;
  // memory.oom.group ends all processes of a group, and each counts. Others that are gone as well
  // may have a part in the sum.
  explained_ += sum.gone > 1 ? 1 : sum.unexplained;
  return true;
}

Result<> OomWatch::OpenCounters(const std::string& root,
                                const std::map<std::string, std::string>& groups,
                                OomLedger* ledger) {
  const auto v1 = groups.find("memory");
  is_v1_ = v1 != groups.end();
  const auto found = is_v1_ ? v1 : groups.find("");
  if (found == groups.end()) return Error(Code::kNotFound, "memory cgroup: none");
  os::DirFd group =
      TRY(os::DirFd::OpenTrusted(StrCat(root, is_v1_ ? "/memory" : "", found->second)),
          "memory cgroup");
  counters_ =
      TRY(group.Open(is_v1_ ? "memory.oom_control" : "memory.events", O_RDONLY | O_CLOEXEC));
  if (is_v1_) v1_event_ = TRY(RegisterV1(group, counters_), "memory cgroup");
  const std::string above = is_v1_ ? "" : AboveScope(found->second);
  if (above.empty()) return Ok();  // nobody takes the group away before Berth does
  ledger_ = ledger;
  ledger_->Add(this, StrCat(root, above, "/memory.events"));
  return Ok();
}

Result<> OomWatch::Open(Loop* loop, const std::string& root,
                        const std::map<std::string, std::string>& groups, OomLedger* ledger) {
  TRY(OpenCounters(root, groups, ledger));
  os::Fd event = is_v1_ ? std::move(v1_event_) : TRY(counters_.Duplicate(), "memory cgroup");
  return event_.Open(loop, std::move(event), is_v1_ ? EPOLLIN : EPOLLPRI, [this](uint32_t) {
    uint64_t count = 0;
    if (is_v1_) (void)!::read(event_.fd(), &count, sizeof count);
    // A group that was removed stays in error: reading it fails, and there is nothing more to
    // learn.
    if (!Look()) event_.Close();
  });
}

bool OomWatch::Look() {
  if (!counters_) return false;
  const int64_t kills = ReadKills(counters_);
  if (kills < 0) return false;
  if (ledger_ != nullptr) ledger_->Explain(kills - kills_);
  kills_ = kills;
  return true;
}

bool OomWatch::Killed(bool by_sigkill) {
  if (Look() || ledger_ == nullptr) return kills_ > 0;
  if (kills_ == 0 && !by_sigkill) return false;
  // Also when an event has said it: of several kills it may have told the first only.
  return ledger_->Claim(this) || kills_ > 0;
}

void OomWatch::Close() {
  if (ledger_ != nullptr) ledger_->Remove(this);
  ledger_ = nullptr;
  event_.Close();
  counters_.Reset();
}

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
#include "image/rootfs_usage.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "os/tree_usage.h"

namespace berth::image {

// Those whose time has come and that nobody walks, the longest overdue first.
std::vector<std::string> RootfsUsageMeter::TakeDue(const std::vector<std::string>& ids) {
  const std::chrono::nanoseconds now = clock_.Monotonic();
  std::vector<std::pair<std::chrono::nanoseconds, std::string>> due;
  {
    auto entries = entries_.Lock();
    for (const std::string& id : ids) {
      const Entry& entry = (*entries)[id];
      if (!entry.running && (!entry.measured || entry.due <= now)) due.emplace_back(entry.due, id);
    }
  }
  std::sort(due.begin(), due.end());
  std::vector<std::string> out;
  out.reserve(due.size());
  for (auto& [when, id] : due) out.push_back(std::move(id));
  return out;
}

void RootfsUsageMeter::Measure(const std::string& id) {
  {
    auto entries = entries_.Lock();
    const auto at = entries->find(id);
    if (at == entries->end() || at->second.running) return;
    at->second.running = true;
  }
  const std::chrono::nanoseconds began = clock_.Monotonic();
  auto measure = [&]() -> Result<os::TreeUsage> {
    const os::DirFd own = TRY(containers_.OpenDir(StrCat(id, "/diff")));
    return os::MeasureTree(own, kMaxInodes);
  };
  Result<os::TreeUsage> tree = measure();
  const std::chrono::nanoseconds now = clock_.Monotonic();
  if (!tree && tree.error().code() != Code::kNotFound)
    LogWarn(StrCat("container ", id, ": its files cannot be measured: ", tree.error().message()));
  auto entries = entries_.Lock();
  const auto at = entries->find(id);
  if (at == entries->end()) return;  // forgotten meanwhile
  Entry& entry = at->second;
  entry.running = false;
  entry.measured = true;
  entry.due = now + std::max<std::chrono::nanoseconds>(kInterval, kShare * (now - began));
  // No old figure instead of one that could not be had.
  entry.last.reset();
  if (tree) {
    RootfsUsage& usage = entry.last.emplace();
    usage.timestamp = clock_.WallNanos();
    usage.used_bytes = tree->bytes;
    usage.inodes = tree->inodes;
  } else if (tree.error().code() == Code::kNotFound) {
    entries->erase(at);  // its container is gone
  }
}

std::map<std::string, RootfsUsage> RootfsUsageMeter::Read(const std::vector<std::string>& ids) {
  const std::chrono::nanoseconds end = clock_.Monotonic() + kBudget;
  for (const std::string& id : TakeDue(ids)) {
    Measure(id);
    if (clock_.Monotonic() >= end) break;
  }
  std::map<std::string, RootfsUsage> out;
  auto entries = entries_.Lock();
  for (const std::string& id : ids) {
    const auto at = entries->find(id);
    if (at != entries->end() && at->second.last) out.emplace(id, *at->second.last);
  }
  return out;
}

void RootfsUsageMeter::Forget(const std::string& id) { entries_.Lock()->erase(id); }

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
#include "runtime/process_counts.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/strings.h"

namespace berth::runtime {

namespace {

constexpr size_t kMaxProcesses = 4096;
constexpr size_t kMaxDescriptors = 1'000'000;

// ESRCH: it ended between two system calls.
bool IsGone(const Error& error) {
  return error.code() == Code::kNotFound || error.sys_errno() == ESRCH;
}

// "socket:[4711]"
bool IsSocket(const os::DirFd& dir, const std::string& name) {
  std::array<char, 8> target{};
  const ssize_t n = ::readlinkat(dir.get(), name.c_str(), target.data(), target.size());
  return n == static_cast<ssize_t>(target.size()) &&
         std::string_view(target.data(), target.size()) == "socket:[";
}

Result<> CountDescriptors(const os::DirFd& process, ProcessCounts& counts) {
  const os::DirFd dir = TRY(process.OpenDir("fd"));
  for (const std::string& name : TRY(dir.List(kMaxDescriptors))) {
    ++counts.file_descriptors;
    if (IsSocket(dir, name)) ++counts.sockets;
  }
  if (counts.file_descriptors > kMaxDescriptors)
    return Error(Code::kResourceExhausted,
                 StrCat("more than ", kMaxDescriptors, " descriptors in one container"));
  return Ok();
}

}  // namespace

Result<std::optional<uint64_t>> ParseOpenFilesLimit(std::string_view limits) {
  constexpr std::string_view kName = "Max open files";
  for (std::string_view line : Split(limits, '\n')) {
    if (!line.starts_with(kName)) continue;
    std::string_view soft = TrimSpace(line.substr(kName.size()));
    soft = soft.substr(0, soft.find(' '));
    if (soft == "unlimited") return std::optional<uint64_t>();
    const int64_t value = TRY(ParseInt(soft, 0, INT64_MAX, "limit of open files"));
    return std::optional<uint64_t>(static_cast<uint64_t>(value));
  }
  return Error(Code::kInvalidArgument, "process limits: there is no line for open files");
}

Result<ProcessCounts> CountProcesses(const os::DirFd& proc, const std::vector<int>& pids) {
  constexpr size_t kMaxLimitsBytes = 64U << 10;
  if (pids.size() > kMaxProcesses)
    return Error(Code::kResourceExhausted,
                 StrCat("more than ", kMaxProcesses, " processes in one container"));
  ProcessCounts counts;
  bool limits_known = false;
  for (int pid : pids) {
    auto count = [&]() -> Result<> {
      const os::DirFd process = TRY(proc.OpenDir(StrCat(pid)));
      TRY(CountDescriptors(process, counts));
      if (limits_known) return Ok();
      const std::string text = TRY(process.ReadFile("limits", kMaxLimitsBytes));
      counts.max_open_files = TRY(ParseOpenFilesLimit(text));
      limits_known = true;
      return Ok();
    };
    Result<> counted = count();
    if (!counted && !IsGone(counted.error()))
      return std::move(counted.error()).Wrap(StrCat("process ", pid));
  }
  return counts;
}

}  // namespace berth::runtime

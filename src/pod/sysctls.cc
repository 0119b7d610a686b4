// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/strings.h"
#include "pod/validate.h"

namespace berth::pod {

namespace {

Error Invalid(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// "net/ipv4/ip_forward" -> "net.ipv4.ip_forward": the first separator decides which of the two is
// meant (sysctl(8)).
std::string WithDots(std::string name) {
  size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '.') return name;
  for (char& c : name) {
    if (c == '/') {
      c = '.';
    } else if (c == '.') {
      c = '/';
    }
  }
  return name;
}

// No empty part: "net.ipv4/../../kernel" would leave /proc/sys/net.
Result<> CheckName(const std::string& name) {
  bool after_separator = true;
  for (char c : name) {
    bool separator = c == '.' || c == '/';
    if (!separator && !IsLetterOrDigit(c) && c != '_' && c != '-') {
      return Invalid(StrCat("sysctl ", Quote(name), ": not a sysctl's name"));
    }
    if (separator && after_separator) {
      return Invalid(StrCat("sysctl ", Quote(name), ": not a sysctl's name"));
    }
    after_separator = separator;
  }
  if (after_separator) return Invalid(StrCat("sysctl ", Quote(name), ": not a sysctl's name"));
  return Ok();
}

// A helper program once took "+" for a separator and set kernel.core_pattern (CVE-2022-0811). We
// write the value ourselves, and still refuse what no namespaced sysctl needs.
Result<> CheckValue(const std::string& name, const std::string& value) {
  auto allowed = [](char c) {
    return IsLetterOrDigit(c) || std::string_view(" \t,._:/-").find(c) != std::string_view::npos;
  };
  if (value.empty() || value.size() > 4096 || !std::all_of(value.begin(), value.end(), allowed)) {
    return Invalid(StrCat("sysctl ", name, ": value ", Quote(value), " is not allowed"));
  }
  return Ok();
}

bool IsIpcSysctl(std::string_view name) {
  return name.starts_with("kernel.shm") || name.starts_with("kernel.msg") || name == "kernel.sem" ||
         name.starts_with("fs.mqueue.");
}

struct NamedSignal {
  std::string_view name;
  int number;
};
// signal(7), x86 and arm.
constexpr NamedSignal kSignals[] = {
    {"HUP", 1},   {"INT", 2},   {"QUIT", 3},  {"ILL", 4},     {"TRAP", 5},    {"ABRT", 6},
    {"IOT", 6},   {"BUS", 7},   {"FPE", 8},   {"KILL", 9},    {"USR1", 10},   {"SEGV", 11},
    {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15},   {"STKFLT", 16}, {"CHLD", 17},
    {"CLD", 17},  {"CONT", 18}, {"STOP", 19}, {"TSTP", 20},   {"TTIN", 21},   {"TTOU", 22},
    {"URG", 23},  {"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26}, {"PROF", 27},   {"WINCH", 28},
    {"IO", 29},   {"POLL", 29}, {"PWR", 30},  {"SYS", 31},    {"RTMIN", 34},  {"RTMAX", 64},
};

}  // namespace

Result<SplitSysctls> SplitPodSysctls(const StringMap& sysctls, bool host_network, bool host_ipc) {
  SplitSysctls out;
  for (const auto& [given, value] : sysctls) {
    std::string name = WithDots(given);
    TRY(CheckName(name));
    TRY(CheckValue(name, value));
    if (name.starts_with("net.")) {
      if (host_network) {
        return Invalid(StrCat("sysctl ", name, ": the pod uses the host's network (NODE)"));
      }
      out.net[name] = value;
    } else if (IsIpcSysctl(name)) {
      if (host_ipc) return Invalid(StrCat("sysctl ", name, ": the pod uses the host's IPC (NODE)"));
      out.ipc[name] = value;
    } else {
      return Invalid(StrCat("sysctl ", name, ": belongs to no namespace of the pod"));
    }
  }
  return out;
}

Result<int> ParseStopSignal(std::string_view text) {
  constexpr int kTerm = 15, kRtMin = 34, kRtMax = 64;
  if (text.empty()) return kTerm;
  if (text[0] >= '0' && text[0] <= '9') {
    return static_cast<int>(TRY(ParseInt(text, 1, kRtMax, "stop signal")));
  }
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const NamedSignal& signal : kSignals) {
    if (signal.name == name) return signal.number;
  }
  if (name.starts_with("RTMIN+")) {
    return kRtMin +
           static_cast<int>(TRY(ParseInt(name.substr(6), 0, kRtMax - kRtMin, "stop signal")));
  }
  if (name.starts_with("RTMAX-")) {
    return kRtMax -
           static_cast<int>(TRY(ParseInt(name.substr(6), 0, kRtMax - kRtMin, "stop signal")));
  }
  return Invalid(StrCat("stop signal ", Quote(text), " is not known"));
}

}  // namespace berth::pod

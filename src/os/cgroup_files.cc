// SPDX-License-Identifier: Apache-2.0
#include "os/cgroup_files.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/strings.h"

namespace berth::os {

namespace {

Error Malformed(std::string_view file, std::string_view line) {
  return {Code::kInvalidArgument, StrCat(file, ": malformed line ", Quote(line, 80))};
}

// No Error is made for a number that is none: these run for every line of every container.
bool ReadNumber(std::string_view text, uint64_t& out) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && at == end;
}

template <class T>
bool ReadSmall(std::string_view text, T& out) {
  uint64_t wide = 0;
  if (!ReadNumber(text, wide) || wide > static_cast<uint64_t>(std::numeric_limits<T>::max()))
    return false;
  out = static_cast<T>(wide);
  return true;
}

// "12.34", as psi_show writes it: never negative, at most two decimals, no exponent.
bool ReadPercent(std::string_view text, double& out) {
  const size_t dot = text.find('.');
  uint64_t whole = 0;
  uint64_t hundredths = 0;
  if (dot == std::string_view::npos || text.size() - dot != 3) return false;
  if (!ReadNumber(text.substr(0, dot), whole) || !ReadNumber(text.substr(dot + 1), hundredths))
    return false;
  out = static_cast<double>(whole) + static_cast<double>(hundredths) / 100;
  return true;
}

// Takes what is before the first `separator`, or everything.
std::string_view Take(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view piece = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return piece;
}

// "8:16"
bool ReadDevice(std::string_view text, DeviceIo& out) {
  const std::string_view major = Take(text, ':');
  return ReadSmall(major, out.major) && ReadSmall(text, out.minor);
}

DeviceIo& DeviceOf(std::vector<DeviceIo>& devices, const DeviceIo& wanted) {
  for (DeviceIo& device : devices)
    if (device.major == wanted.major && device.minor == wanted.minor) return device;
  devices.push_back(wanted);
  return devices.back();
}

}  // namespace

Result<std::optional<uint64_t>> ParseCgroupNumber(std::string_view text) {
  const std::string_view value = TrimSpace(text);
  if (value == "max") return std::optional<uint64_t>();
  uint64_t number = 0;
  if (!ReadNumber(value, number)) return Malformed("control group number", value);
  return std::optional<uint64_t>(number);
}

Result<> ParseFlatKeyed(std::string_view text,
                        const std::function<void(std::string_view, uint64_t)>& each) {
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    if (line.empty()) continue;
    std::string_view value = line;
    const std::string_view key = Take(value, ' ');
    uint64_t number = 0;
    if (key.empty() || !ReadNumber(value, number)) return Malformed("control group file", line);
    each(key, number);
  }
  return Ok();
}

Result<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    if (line.empty()) continue;
    std::string_view rest = line;
    const std::string_view kind = Take(rest, ' ');
    if (kind != "some" && kind != "full") return Malformed("pressure", line);
    PressureTimes& times = kind == "some" ? pressure.some : pressure.full;
    while (!rest.empty()) {
      std::string_view value = Take(rest, ' ');
      const std::string_view key = Take(value, '=');
      const bool read = key == "total"    ? ReadNumber(value, times.total_us)
                        : key == "avg10"  ? ReadPercent(value, times.avg10)
                        : key == "avg60"  ? ReadPercent(value, times.avg60)
                        : key == "avg300" ? ReadPercent(value, times.avg300)
                                          : !key.empty();
      if (!read) return Malformed("pressure", line);
    }
  }
  return pressure;
}

Result<std::vector<DeviceIo>> ParseIoStat(std::string_view text) {
  std::vector<DeviceIo> devices;
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    std::string_view rest = line;
    DeviceIo device;
    bool named = false;
    bool counted = false;
    while (!rest.empty()) {
      std::string_view value = Take(rest, ' ');
      if (value.empty()) continue;
      // Kernels before 6.2 may write a device without counters and the next one on the same line.
      if (value.find('=') == std::string_view::npos) {
        device = DeviceIo();
        if (!ReadDevice(value, device)) return Malformed("io.stat", line);
        named = true;
        continue;
      }
      const std::string_view key = Take(value, '=');
      uint64_t number = 0;
      if (!named) return Malformed("io.stat", line);
      // Of the iocost controller: not all of its values are numbers.
      if (!ReadNumber(value, number)) continue;
      if (key == "rbytes") device.read_bytes = number;
      if (key == "wbytes") device.write_bytes = number;
      if (key == "rios") device.reads = number;
      if (key == "wios") device.writes = number;
      counted = true;
    }
    if (named && counted) DeviceOf(devices, device) = device;
  }
  return devices;
}

namespace {

// "8:0 Read 4096"; the last line is "Total 4096".
Result<> ParseBlkioFile(std::string_view text, std::vector<DeviceIo>& devices,
                        uint64_t DeviceIo::* read, uint64_t DeviceIo::* write) {
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    if (line.empty() || line.starts_with("Total ")) continue;
    std::string_view rest = line;
    DeviceIo wanted;
    uint64_t number = 0;
    if (!ReadDevice(Take(rest, ' '), wanted)) return Malformed("blkio", line);
    const std::string_view operation = Take(rest, ' ');
    if (!ReadNumber(rest, number)) return Malformed("blkio", line);
    if (operation == "Read") DeviceOf(devices, wanted).*read = number;
    if (operation == "Write") DeviceOf(devices, wanted).*write = number;
  }
  return Ok();
}

}  // namespace

Result<std::vector<DeviceIo>> ParseBlkio(std::string_view bytes, std::string_view operations) {
  std::vector<DeviceIo> devices;
  TRY(ParseBlkioFile(bytes, devices, &DeviceIo::read_bytes, &DeviceIo::write_bytes));
  TRY(ParseBlkioFile(operations, devices, &DeviceIo::reads, &DeviceIo::writes));
  return devices;
}

Result<std::vector<int>> ParsePids(std::string_view text) {
  std::vector<int> pids;
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    if (line.empty()) continue;
    int pid = 0;
    if (!ReadSmall(line, pid)) return Malformed("cgroup.procs", line);
    if (pid > 0) pids.push_back(pid);  // 0: a process of another pid namespace
  }
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

}  // namespace berth::os

// SPDX-License-Identifier: Apache-2.0
// The texts of control group files. The first byte says which; the rest is the file.
#include "os/cgroup_files.h"

#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace os = berth::os;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text = berth::fuzz::Text(data + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      if (auto number = os::ParseCgroupNumber(text)) Require(!text.empty());
      break;
    case 1: {
      size_t lines = 0;
      (void)os::ParseFlatKeyed(text, [&](std::string_view key, uint64_t) {
        ++lines;
        Require(!key.empty() && key.find_first_of(" \n") == std::string_view::npos);
      });
      Require(lines <= text.size());
      break;
    }
    case 2:
      if (auto pressure = os::ParsePressure(text)) Require(pressure->some.avg10 >= 0);
      break;
    case 3:
      if (auto io = os::ParseIoStat(text)) Require(io->size() <= text.size());
      break;
    case 4:
      if (auto io = os::ParseBlkio(text, text)) Require(io->size() <= text.size());
      break;
    default:
      if (auto pids = os::ParsePids(text)) {
        int last = 0;
        for (int pid : *pids) {
          Require(pid > last);
          last = pid;
        }
      }
  }
  return 0;
}

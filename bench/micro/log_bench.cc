// SPDX-License-Identifier: Apache-2.0
// A monitor's way from what it read to a log file's records: lines of 100 bytes and of 16, in reads of 64 and 256 KiB. The
// file is in memory and emptied now and then; the pipe's own read is not in it.   build/bin/log_bench
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <string>

#include "monitor/log_writer.h"

namespace berth::monitor {
namespace {

constexpr uint64_t kLargest = 256U << 20;

std::string Lines(size_t line, size_t bytes) {
  std::string text(bytes - bytes % line, 'x');
  for (size_t i = line; i <= text.size(); i += line) text[i - 1] = '\n';
  return text;
}

// Arguments: bytes of a line, KiB of a read.
void CopyLines(benchmark::State& state) {
  const std::string piece =
      Lines(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)) << 10);
  const os::Fd memory = *os::MakeMemFile("log", "", false);
  LogFile file(*memory.Duplicate());
  LogStream stream(&file, "stdout");
  uint64_t written = 0;
  for (auto _ : state) {
    stream.Feed(piece.data(), piece.size());
    written += 2 * piece.size();
    if (written < kLargest) continue;
    state.PauseTiming();
    if (::ftruncate(memory.get(), 0) != 0 || ::lseek(memory.get(), 0, SEEK_SET) != 0)
      state.SkipWithError("the log file cannot be emptied");
    written = 0;
    state.ResumeTiming();
  }
  if (file.dropped_bytes() != 0) state.SkipWithError("bytes were dropped");
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(piece.size()));
}
BENCHMARK(CopyLines)->ArgsProduct({{16, 100, 1000}, {64, 256}})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace berth::monitor

BENCHMARK_MAIN();

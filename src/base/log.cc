// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <string>

namespace berth {

namespace {
// One of the two process-wide variables of Berth (base/fail_point.cc has the other): a log line must be possible from
// anywhere.
std::atomic<LogSink*> g_sink{nullptr};

void WriteToStderr(LogLevel level, std::string_view line) {
  static constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warning", "error"};
  if (level == LogLevel::kDebug) return;
  std::string text;
  text.reserve(line.size() + 16);
  text += kNames[static_cast<size_t>(level)];
  text += ": ";
  for (char c : line) text += (static_cast<unsigned char>(c) < 0x20) ? ' ' : c;
  text += '\n';
  // One write per line keeps lines of several processes whole; a failing stderr has nowhere to be
  // reported.
  [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
}
}  // namespace

void SetLogSink(LogSink* sink) { g_sink.store(sink); }

void Log(LogLevel level, std::string_view line) {
  if (LogSink* sink = g_sink.load()) {
    sink->Write(level, line);
  } else {
    WriteToStderr(level, line);
  }
}

}  // namespace berth

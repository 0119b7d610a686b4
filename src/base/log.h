// SPDX-License-Identifier: Apache-2.0
// Log lines for the operator. The sink is set once at the start of the program (spdlog in berthd,
// write(2) elsewhere). Any thread. Log an error or return it, never both.
#pragma once

#include <string_view>

namespace berth {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Write(LogLevel level, std::string_view line) = 0;
};

// Not owned; must outlive every use. nullptr restores the default: lines of level Info and above to
// stderr.
void SetLogSink(LogSink* sink);

void Log(LogLevel level, std::string_view line);
inline void LogDebug(std::string_view line) { Log(LogLevel::kDebug, line); }
inline void LogInfo(std::string_view line) { Log(LogLevel::kInfo, line); }
inline void LogWarn(std::string_view line) { Log(LogLevel::kWarn, line); }
inline void LogError(std::string_view line) { Log(LogLevel::kError, line); }

}  // namespace berth

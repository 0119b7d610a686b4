// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_sink.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/strings.h"

namespace berth::daemon {

namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

class SpdlogSink final : public LogSink {
 public:
  explicit SpdlogSink(spdlog::level::level_enum level)
      : logger_(spdlog::stderr_color_mt("berthd")) {
    logger_->set_level(level);
    logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger_->flush_on(spdlog::level::debug);
  }
  void Write(LogLevel level, std::string_view line) override {
    // Text from outside (an OCI runtime's words, a registry's) must not forge a second line.
    std::string clean(line);
    for (char& c : clean) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    logger_->log(ToSpdlog(level), "{}", clean);
  }

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace

Result<std::unique_ptr<LogSink>> MakeLogSink(std::string_view level) {
  spdlog::level::level_enum least = spdlog::level::info;
  if (level == "debug") {
    least = spdlog::level::debug;
  } else if (level == "warning") {
    least = spdlog::level::warn;
  } else if (level == "error") {
    least = spdlog::level::err;
  } else if (level != "info") {
    return Error(Code::kInvalidArgument, StrCat("log level ", Quote(level), " is unknown"));
  }
  return std::unique_ptr<LogSink>(new SpdlogSink(least));
}

}  // namespace berth::daemon

// SPDX-License-Identifier: Apache-2.0
#include "api/stream/status.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace berth::stream {

namespace {

using Json = nlohmann::ordered_json;
constexpr int kFirstJsonVersion = 4;

std::string Dump(const Json& status) {
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string SuccessStatus(int version) {
  if (version < kFirstJsonVersion) return {};
  return Dump({{"metadata", Json::object()}, {"status", "Success"}});
}

std::string ExitStatus(int version, uint32_t code) {
  const std::string message =
      StrCat("command terminated with non-zero exit code: exit status ", code);
  if (version < kFirstJsonVersion) return message;
  Json cause = {{"reason", "ExitCode"}, {"message", StrCat(code)}};
  return Dump({{"metadata", Json::object()},
               {"status", "Failure"},
               {"message", message},
               {"reason", "NonZeroExitCode"},
               {"details", {{"causes", Json::array({cause})}}}});
}

std::string ErrorStatus(int version, const Error& error) {
  const std::string message = StrCat("Internal error occurred: ", error.message());
  if (version < kFirstJsonVersion) return message;
  return Dump({{"metadata", Json::object()},
               {"status", "Failure"},
               {"message", message},
               {"reason", "InternalError"},
               {"code", 500}});
}

}  // namespace berth::stream

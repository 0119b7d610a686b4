// SPDX-License-Identifier: Apache-2.0
#include "daemon/handlers.h"

#include <unistd.h>

#include "base/strings.h"

namespace berth::daemon {

namespace {

// Absolute path of an executable; empty when there is none.
std::string FindProgram(const std::string& name) {
  if (name.starts_with('/')) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  if (name.empty() || name.find('/') != std::string::npos) return "";
  for (const char* dir :
       {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    std::string path = dir + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

Result<ResolvedHandlers> ResolveHandlers(const Config& config) {
  ResolvedHandlers out;
  out.default_name = config.default_handler;
  bool has_default = false;
  for (const auto& [name, handler] : config.handlers) {
    std::string path = FindProgram(handler.path);
    if (path.empty()) {
      if (handler.implicit) continue;
      return Error(Code::kFailedPrecondition,
                   StrCat("runtime handler ", Quote(name), ": no program ", Quote(handler.path)));
    }
    out.handlers.push_back({name, path, handler.args, StrCat(config.state, "/runtime/", name)});
    has_default = has_default || name == out.default_name;
  }
  if (out.handlers.empty()) {
    return Error(Code::kFailedPrecondition, "no OCI runtime: neither crun nor runc is installed");
  }
  if (!has_default) {
    auto wanted = config.handlers.find(out.default_name);
    if (wanted == config.handlers.end() || !wanted->second.implicit) {
      return Error(
          Code::kFailedPrecondition,
          StrCat("default runtime handler ", Quote(out.default_name), " is not configured"));
    }
    out.default_name = out.handlers.front().name;
  }
  return out;
}

}  // namespace berth::daemon

// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci_handlers.h"

#include <algorithm>
#include <array>
#include <future>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "oci/json.h"
#include "os/process.h"

namespace berth::runtime {

namespace {

using Version = std::array<int64_t, 3>;

// "1.1.5+ds1", "1.28", "1.4.0-rc.1": missing numbers are 0. A pre-release counts as its release.
Version ParseVersion(std::string_view text) {
  Version version{};
  for (size_t i = 0; i < version.size() && !text.empty(); ++i) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    Result<int64_t> number = ParseInt(text.substr(0, digits), 0, 1'000'000, "version");
    if (!number) break;
    version[i] = *number;
    text.remove_prefix(digits);
    if (!text.starts_with('.')) break;
    text.remove_prefix(1);
  }
  return version;
}

// Fixes went into three branches of runc.
bool IsSafeRunc(const Version& v) {
  if (v[0] == 1 && v[1] == 2) return v[2] >= 8;
  if (v[0] == 1 && v[1] == 3) return v[2] >= 3;
  return v >= Version{1, 4, 0};
}

Result<std::string> Ask(const std::string& path, const char* question) {
  os::RunOptions run;
  run.spawn.path = path;
  run.spawn.args = {path.substr(path.rfind('/') + 1), question};
  run.spawn.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  run.timeout = std::chrono::seconds(10);
  os::RunOutput output = TRY(os::Run(run));
  if (!output.status.ok())
    return Error(Code::kInternal, StrCat(os::Describe(output.status), ": ", Quote(output.err)));
  return std::move(output.out);
}

std::string FirstLine(std::string_view text) {
  return std::string(TrimSpace(Split(text, '\n')[0]).substr(0, 256));
}

// "crun version 1.8.1" has the words "crun", "version"; another program has neither.
Version VersionOf(std::string_view first_line, std::string_view program) {
  const auto words = Split(first_line, ' ');
  if (words.size() < 3 || words[0] != program || words[1] != "version") return {};
  return ParseVersion(words[2]);
}

// Others may look for files beside their program, or be too large to keep in memory.
bool CopiesItself(std::string_view first_line) {
  return first_line.starts_with("crun version ") || first_line.starts_with("runc version ");
}

// https://github.com/opencontainers/runtime-spec/blob/main/features.md
bool Lists(std::string_view features, const char* pointer, const char* wanted) {
  if (!oci::CheckJson(features, {}, "features")) return false;
  const nlohmann::json json = nlohmann::json::parse(features, nullptr, false);
  const nlohmann::json::json_pointer place(pointer);
  if (!json.contains(place)) return false;
  const nlohmann::json& list = json[place];
  return list.is_array() && std::find(list.begin(), list.end(), wanted) != list.end();
}

Result<> CheckHandler(const OciHandler& handler) {
  if (handler.name.empty()) return Error(Code::kInvalidArgument, "runtime handler without a name");
  for (const std::string* path : {&handler.path, &handler.root}) {
    if (!path->starts_with('/'))
      return Error(Code::kInvalidArgument, StrCat("runtime handler ", handler.name, ": ",
                                                  Quote(*path), " is not an absolute path"));
  }
  return Ok();
}

}  // namespace

std::string VersionWarning(std::string_view first_line) {
  // "runc version 1.1.5+ds1", "crun version 1.8.1"
  const auto words = Split(first_line, ' ');
  if (words.size() < 3 || words[1] != "version") return "";
  const Version version = ParseVersion(words[2]);
  if (words[0] == "runc" && !IsSafeRunc(version))
    return StrCat("runc ", words[2],
                  " has known container escapes (CVE-2025-31133): use 1.2.8, 1.3.3, 1.4 or later");
  if (words[0] == "crun" && version < Version{1, 28, 0})
    return StrCat("crun ", words[2],
                  " has known container escapes (CVE-2026-47766): use 1.28 or later");
  return "";
}

bool CanRecursiveReadOnly(std::string_view first_line, std::string_view features) {
  if (Lists(features, "/mountOptions", "rro")) return true;
  // crun had the option before it had the command.
  return VersionOf(first_line, "crun") >= Version{1, 4, 0};
}

bool CanUserNs(std::string_view first_line, std::string_view features) {
  if (Lists(features, "/linux/namespaces", "user")) return true;
  return VersionOf(first_line, "crun") >= Version{1, 4, 0};
}

void OciHandlers::ForbidUserNs() {
  for (HandlerInfo& info : infos_) info.user_namespaces = false;
}

Result<OciHandlers> OciHandlers::Make(std::vector<OciHandler> handlers,
                                      const std::string& default_name) {
  OciHandlers all;
  bool has_default = false;
  for (OciHandler& handler : handlers) {
    TRY(CheckHandler(handler));
    if (std::any_of(all.infos_.begin(), all.infos_.end(),
                    [&](const HandlerInfo& info) { return info.name == handler.name; }))
      return Error(Code::kInvalidArgument,
                   StrCat("runtime handler ", handler.name, ": configured twice"));
    HandlerInfo info;
    info.name = handler.name;
    info.is_default = handler.name == default_name;
    has_default = has_default || info.is_default;
    all.infos_.push_back(std::move(info));
    all.handlers_.push_back(std::move(handler));
  }
  if (!has_default)
    return Error(Code::kInvalidArgument,
                 StrCat("default runtime handler ", Quote(default_name), ": not configured"));
  all.AskAll();
  return all;
}

// All programs at once: one after the other they would be most of the time that the daemon takes to start.
void OciHandlers::AskAll() {
  // Where there is no thread to be had, `get` does it.
  constexpr std::launch kBeside = std::launch::async | std::launch::deferred;
  std::vector<std::pair<std::future<Result<std::string>>, std::future<Result<std::string>>>> asked;
  for (const OciHandler& handler : handlers_)
    asked.emplace_back(std::async(kBeside, Ask, handler.path, "--version"),
                       std::async(kBeside, Ask, handler.path, "features"));
  for (size_t i = 0; i < infos_.size(); ++i) {
    HandlerInfo& info = infos_[i];
    Result<std::string> version = asked[i].first.get();
    const std::string features = asked[i].second.get().value_or("");
    if (!version) {
      info.warning = version.error().message();
      continue;
    }
    info.version = FirstLine(*version);
    info.warning = VersionWarning(info.version);
    handlers_[i].copies_itself = CopiesItself(info.version);
    info.recursive_read_only = CanRecursiveReadOnly(info.version, features);
    info.user_namespaces = CanUserNs(info.version, features);
  }
}

Result<const OciHandler*> OciHandlers::Resolve(const std::string& name) const {
  for (size_t i = 0; i < infos_.size(); ++i)
    if (name.empty() ? infos_[i].is_default : infos_[i].name == name) return &handlers_[i];
  return Error(Code::kNotFound, StrCat("runtime handler ", Quote(name), ": not configured"));
}

}  // namespace berth::runtime

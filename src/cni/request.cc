// SPDX-License-Identifier: Apache-2.0
#include "cni/request.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "oci/cni.h"

namespace berth::cni {

namespace {

constexpr size_t kMaxVariable = 64U << 10;
constexpr size_t kMaxIfName = 15;  // IFNAMSIZ without the NUL

Failure Fail(CniCode code, std::string msg, std::string details = {}) {
  return {code, std::move(msg), std::move(details)};
}

bool IsWord(std::string_view text) {
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
         std::ranges::all_of(text, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ||
                  c == '-';
         });
}

// As the kernel wants it, and the spec: no ':', '/', space. Of "e%d" the kernel would make a name of its own.
std::optional<Failure> CheckIfName(std::string_view name) {
  if (name.size() > kMaxIfName)
    return Fail(CniCode::kInvalidEnvironment, "interface name is too long",
                StrCat("interface name should be less than ", kMaxIfName + 1, " characters"));
  if (name == "." || name == "..")
    return Fail(CniCode::kInvalidEnvironment, "interface name is . or ..");
  if (std::ranges::any_of(name, [](char c) {
        return c == '/' || c == ':' || c == '%' || static_cast<unsigned char>(c) <= ' ';
      }))
    return Fail(CniCode::kInvalidEnvironment,
                "interface name contains / or : or % or whitespace characters");
  return std::nullopt;
}

struct Variable {
  const char* name;
  std::string Request::* member;
  bool always;        // needed by every command but VERSION
  bool of_container;  // needed by ADD, CHECK and DEL
  bool not_by_del;
};
constexpr std::array<Variable, 4> kVariables{{
    {"CNI_CONTAINERID", &Request::container_id, false, true, false},
    {"CNI_NETNS", &Request::netns, false, true, true},
    {"CNI_IFNAME", &Request::ifname, false, true, false},
    {"CNI_ARGS", &Request::args, false, false, false},
}};

std::optional<Failure> ReadEnvironment(const std::function<std::string(const char*)>& env,
                                       Request& out) {
  const bool of_container = out.command == "ADD" || out.command == "CHECK" || out.command == "DEL";
  const bool known = of_container || out.command == "GC" || out.command == "STATUS";
  std::vector<std::string> missing;
  for (const Variable& variable : kVariables) {
    std::string value = env(variable.name);
    if (value.size() > kMaxVariable)
      return Fail(CniCode::kInvalidEnvironment, StrCat(variable.name, " is too long"));
    if (value.empty() && variable.of_container && of_container &&
        !(variable.not_by_del && out.command == "DEL"))
      missing.emplace_back(variable.name);
    out.*variable.member = std::move(value);
  }
  const std::string path = env("CNI_PATH");
  if (path.empty() && known) missing.emplace_back("CNI_PATH");
  for (std::string_view dir : Split(path, ':'))
    if (!dir.empty()) out.path.emplace_back(dir);
  const std::string override_text = env("CNI_NETNS_OVERRIDE");
  out.netns_override = override_text == "1" || ToLower(override_text) == "true";
  if (!missing.empty())
    return Fail(CniCode::kInvalidEnvironment,
                StrCat("required env variables [", Join(missing, ","), "] missing"));
  if (!of_container) return std::nullopt;
  if (!IsWord(out.container_id))
    return Fail(CniCode::kInvalidEnvironment, "invalid characters in containerID",
                out.container_id);
  return CheckIfName(out.ifname);
}

Result<std::string> ReadIpamType(const JsonReader& root) {
  std::optional<JsonReader> ipam = TRY(root.Optional("ipam"));
  if (!ipam) return std::string();
  std::string type = TRY(ipam->OptionalString("type"));
  if (!type.empty() && !oci::IsValidPluginType(type))
    return Error(Code::kInvalidArgument,
                 StrCat("ipam.type: ", Quote(type), " is not a plain name"));
  return type;
}

Result<std::optional<Outcome>> ReadPrevious(const JsonReader& root) {
  std::optional<JsonReader> prev = TRY(root.Optional("prevResult"));
  if (!prev) return std::optional<Outcome>();
  TRY(prev->ExpectObject());
  const std::string version = TRY(prev->OptionalString("cniVersion"));
  if (!version.empty() && !oci::IsSupportedCniVersion(version))
    return prev->Fail(StrCat("unsupported CNI result version ", Quote(version, 64)));
  return std::optional<Outcome>(TRY(ReadOutcome(*prev)));
}

Result<> ReadCommonKeys(const JsonReader& root, Request& out) {
  Result<std::string> ipam = ReadIpamType(root);
  Result<std::optional<Outcome>> previous = ReadPrevious(root);
  // What no ADD has taken has made nothing; DEL removes the rest.
  if (out.command == "DEL") {
    out.ipam_type = ipam.value_or("");
    out.prev_result = previous.value_or(std::nullopt);
    return Ok();
  }
  out.ipam_type = TRY(std::move(ipam));
  out.prev_result = TRY(std::move(previous), "could not parse prevResult");
  if (!root.Has("cni.dev/valid-attachments")) return Ok();
  out.valid_attachments.emplace();
  for (const JsonReader& each : TRY(ReadList(root, "cni.dev/valid-attachments"))) {
    auto& attachment = out.valid_attachments->emplace_back();
    attachment.container_id = TRY(each.RequiredString("containerID"));
    attachment.ifname = TRY(each.RequiredString("ifname"));
  }
  return Ok();
}

std::optional<Failure> CheckVersion(const Request& request) {
  if (!oci::IsSupportedCniVersion(request.cni_version)) {
    std::string list;
    for (std::string_view version : oci::SupportedCniVersions())
      list += StrCat(list.empty() ? "" : " ", "\"", version, "\"");
    return Fail(
        CniCode::kIncompatibleVersion, "incompatible CNI versions",
        StrCat("config is ", Quote(request.cni_version, 64), ", plugin supports [", list, "]"));
  }
  const std::string_view since = request.command == "CHECK"                               ? "0.4.0"
                                 : request.command == "GC" || request.command == "STATUS" ? "1.1.0"
                                                                                          : "0.3.0";
  if (oci::CompareCniVersions(request.cni_version, since) < 0)
    return Fail(CniCode::kIncompatibleVersion,
                StrCat("config version does not allow ", request.command));
  return std::nullopt;
}

std::optional<Failure> ReadConfig(Request& out) {
  Result<Json> tree = oci::ParseJson(out.config, kInputLimits, "network config");
  if (!tree)
    return Fail(CniCode::kDecodingFailure,
                StrCat("error unmarshall network config: ", tree.error().message()));
  // As Go reads it: a configuration without anything.
  if (tree->is_null()) return Fail(CniCode::kInvalidConfig, "missing network name");
  const JsonReader root(*tree);
  Result<std::string> name = root.OptionalString("name");
  Result<std::string> version =
      name ? root.OptionalString("cniVersion") : Result<std::string>(std::string());
  if (!name || !version)
    return Fail(CniCode::kDecodingFailure, StrCat("error unmarshall network config: ",
                                                  (name ? version : name).error().message()));
  if (name->empty()) return Fail(CniCode::kInvalidConfig, "missing network name");
  if (!IsWord(*name))
    return Fail(CniCode::kInvalidConfig, "invalid characters found in network name", *name);
  out.network = std::move(*name);
  out.cni_version = version->empty() ? "0.1.0" : std::move(*version);
  if (std::optional<Failure> failure = CheckVersion(out)) return failure;
  // From here on as the plugins themselves fail.
  if (Result<> done = ReadCommonKeys(root, out); !done)
    return Fail(CniCode::kInternal, StrCat("failed to load netconf: ", done.error().message()));
  return std::nullopt;
}

}  // namespace

std::optional<Request> ReadRequest(const std::function<std::string(const char*)>& env,
                                   std::string input, Failure& failure) {
  Request out;
  auto failed = [&](std::optional<Failure> why) {
    if (why) failure = std::move(*why);
    return why.has_value();
  };
  out.command = env("CNI_COMMAND");
  if (out.command.empty()) {
    failure = Fail(CniCode::kInvalidEnvironment, "required env variables [CNI_COMMAND] missing");
    return std::nullopt;
  }
  constexpr std::array<std::string_view, 6> kCommands{"ADD", "DEL",    "CHECK",
                                                      "GC",  "STATUS", "VERSION"};
  if (std::ranges::find(kCommands, out.command) == kCommands.end()) {
    failure =
        Fail(CniCode::kInvalidEnvironment, StrCat("unknown CNI_COMMAND: ", Quote(out.command, 64)));
    return std::nullopt;
  }
  if (out.command == "VERSION") return out;
  out.config = std::move(input);
  if (failed(ReadEnvironment(env, out)) || failed(ReadConfig(out))) return std::nullopt;
  return out;
}

Result<std::string> CniArg(std::string_view args, std::string_view name) {
  std::string found;
  std::string unknown;
  bool ignore_unknown = false;
  if (args.empty()) return found;
  for (std::string_view pair : Split(args, ';')) {
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.find('=', equals + 1) != std::string_view::npos)
      return Error(Code::kInvalidArgument, StrCat("ARGS: invalid pair ", Quote(pair, 64)));
    const std::string_view key = pair.substr(0, equals);
    const std::string value = ToLower(pair.substr(equals + 1));
    if (key == name) found = pair.substr(equals + 1);
    if (key == "IgnoreUnknown") {
      ignore_unknown = value == "1" || value == "true";
      if (!ignore_unknown && value != "0" && value != "false")
        return Error(Code::kInvalidArgument,
                     StrCat("ARGS: IgnoreUnknown: ", Quote(value, 64), " is not 1 or 0"));
    }
    if (key != name && key != "IgnoreUnknown")
      unknown += StrCat(unknown.empty() ? "" : " ", Quote(pair, 64));
  }
  if (!unknown.empty() && !ignore_unknown)
    return Error(Code::kInvalidArgument, StrCat("ARGS: unknown args [", unknown, "]"));
  return found;
}

Failure ToFailure(const Error& error) {
  const CniCode code = error.code() == Code::kUnimplemented ? CniCode::kUnsupportedField
                       : error.code() == Code::kUnavailable ? CniCode::kTryAgainLater
                                                            : CniCode::kInternal;
  return Fail(code, error.message());
}

std::string FormatFailure(const Failure& failure, std::string_view cni_version) {
  Json out{{"code", static_cast<unsigned>(failure.code)}, {"msg", ToValidUtf8(failure.msg)}};
  if (!cni_version.empty()) out["cniVersion"] = ToValidUtf8(cni_version);
  if (!failure.details.empty()) out["details"] = ToValidUtf8(failure.details);
  return out.dump(4);
}

std::string FormatVersions() {
  Json out{{"cniVersion", std::string(oci::SupportedCniVersions().back())}};
  for (std::string_view version : oci::SupportedCniVersions())
    out["supportedVersions"].push_back(std::string(version));
  return out.dump();
}

}  // namespace berth::cni

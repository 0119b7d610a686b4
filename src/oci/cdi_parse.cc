// SPDX-License-Identifier: Apache-2.0
// A CDI spec file into plain values.
#include <algorithm>
#include <array>
#include <set>

#include "base/strings.h"
#include "oci/cdi.h"
#include "oci/json_internal.h"
#include "oci/yaml_internal.h"

namespace berth::oci {

namespace {

constexpr JsonLimits kLimits{.max_bytes = kMaxCdiFileBytes};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return IsLetter(c) || IsDigit(c); }

bool IsName(std::string_view name, bool digit_first, std::string_view inside) {
  if (name.empty() || name.size() > 253) return false;
  if (!(digit_first ? IsAlnum(name.front()) : IsLetter(name.front()))) return false;
  if (!IsAlnum(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return IsAlnum(c) || inside.find(c) != std::string_view::npos;
  });
}

bool IsKind(std::string_view kind) {
  size_t slash = kind.find('/');
  return slash != std::string_view::npos && IsName(kind.substr(0, slash), false, "_-.") &&
         IsName(kind.substr(slash + 1), false, "_-.");
}

// The file's version as a number: 0.7.0 is 7, 1.1.0 is 101.
class Version {
 public:
  static Result<Version> Read(const JsonReader& root) {
    static constexpr std::array<std::pair<std::string_view, int>, 8> kKnown = {{{"0.3.0", 3},
                                                                                {"0.4.0", 4},
                                                                                {"0.5.0", 5},
                                                                                {"0.6.0", 6},
                                                                                {"0.7.0", 7},
                                                                                {"0.8.0", 8},
                                                                                {"1.0.0", 100},
                                                                                {"1.1.0", 101}}};
    JsonReader json = TRY(root.Required("cdiVersion"));
    std::string text = TRY(json.String());
    for (const auto& [known, number] : kKnown) {
      if (text == known || text == StrCat("v", known)) return Version(number);
    }
    return json.Fail(StrCat("version ", Quote(text, 32), " is none of 0.3.0 to 1.1.0"));
  }
  Result<> Needs(int number, std::string_view since, const JsonReader& where) const {
    if (number_ >= number) return Ok();
    return where.Fail(StrCat("needs cdiVersion ", since));
  }

 private:
  explicit Version(int number) : number_(number) {}
  int number_;
};

Result<> OnlyMembers(const JsonReader& json, std::initializer_list<std::string_view> known) {
  for (const auto& [name, member] : TRY(json.Members(kMaxCdiEntries))) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return json.Fail(StrCat("unknown member ", Quote(name, 64)));
    }
  }
  return Ok();
}

Result<std::string> ReadPath(const JsonReader& json, std::string_view key) {
  JsonReader member = TRY(json.Required(key));
  std::string path = TRY(member.String());
  if (!path.starts_with('/')) return member.Fail("not an absolute path");
  return path;
}

Result<std::optional<int64_t>> ReadInt(const JsonReader& json, std::string_view key, int64_t min,
                                       int64_t max) {
  auto member = TRY(json.Optional(key));
  if (!member) return std::optional<int64_t>();
  return std::optional(TRY(member->Int(min, max)));
}

Result<std::vector<std::pair<std::string, std::string>>> ReadEnv(const JsonReader& json) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& entry : TRY(json.Strings(kMaxCdiEntries))) {
    size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return json.Fail(StrCat(Quote(entry, 64), " is not NAME=value"));
    }
    out.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return out;
}

Result<CdiDeviceNode> ReadNode(const JsonReader& json, const Version& version) {
  TRY(OnlyMembers(json, {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions",
                         "uid", "gid"}));
  CdiDeviceNode out;
  out.node.path = TRY(ReadPath(json, "path"));
  if (json.Has("hostPath")) {
    TRY(version.Needs(5, "0.5.0", json));
    out.host_path = TRY(ReadPath(json, "hostPath"));
  }
  std::string type = TRY(json.OptionalString("type"));
  auto major = TRY(ReadInt(json, "major", 0, INT64_MAX));
  auto minor = TRY(ReadInt(json, "minor", 0, INT64_MAX));
  if (type.size() > 1 ||
      (!type.empty() && std::string_view("bcup").find(type[0]) == std::string_view::npos)) {
    return json.Fail(StrCat("type ", Quote(type, 16), " is none of b, c, u, p"));
  }
  // Without all three the host's own node says what it is.
  out.has_type = !type.empty() && (type == "p" || (major && minor));
  if (!type.empty()) out.node.type = type[0];
  out.node.major = major.value_or(0);
  out.node.minor = minor.value_or(0);
  constexpr int64_t kMaxId = 0xfffffffe;
  if (auto mode = TRY(ReadInt(json, "fileMode", 0, UINT32_MAX))) {
    out.node.file_mode = static_cast<uint32_t>(*mode) & 07777;
  }
  if (auto uid = TRY(ReadInt(json, "uid", 0, kMaxId))) out.node.uid = static_cast<uint32_t>(*uid);
  if (auto gid = TRY(ReadInt(json, "gid", 0, kMaxId))) out.node.gid = static_cast<uint32_t>(*gid);
  out.access = TRY(json.OptionalString("permissions"));
  if (out.access.find_first_not_of("rwm") != std::string::npos) {
    return json.Fail(StrCat("permissions ", Quote(out.access, 16), " are not of \"rwm\""));
  }
  return out;
}

Result<SpecMount> ReadMount(const JsonReader& json, const Version& version) {
  TRY(OnlyMembers(json, {"hostPath", "containerPath", "options", "type"}));
  SpecMount out;
  out.source = TRY(json.RequiredString("hostPath"));
  out.destination = TRY(ReadPath(json, "containerPath"));
  out.options = TRY(json.OptionalStrings("options", kMaxCdiEntries));
  if (json.Has("type")) TRY(version.Needs(4, "0.4.0", json));
  out.type = TRY(json.OptionalString("type"));
  if (out.type.empty()) out.type = "bind";
  if (out.type == "bind" && !out.source.starts_with('/')) {
    return json.Fail("hostPath is not an absolute path");
  }
  bool bind_option = std::any_of(out.options.begin(), out.options.end(),
                                 [](const auto& o) { return o == "bind" || o == "rbind"; });
  if (out.type == "bind" && !bind_option) out.options.insert(out.options.begin(), "rbind");
  return out;
}

Result<> ReadHook(const JsonReader& json, SpecHooks& hooks) {
  TRY(OnlyMembers(json, {"hookName", "path", "args", "env", "timeout"}));
  std::string name = TRY(json.RequiredString("hookName"));
  static constexpr std::array<std::string_view, 6> kNames = {
      "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) {
    return json.Fail(StrCat("hookName ", Quote(name, 32), " is unknown"));
  }
  SpecHook hook;
  hook.path = TRY(ReadPath(json, "path"));
  hook.args = TRY(json.OptionalStrings("args", kMaxCdiEntries));
  hook.env = TRY(json.OptionalStrings("env", kMaxCdiEntries));
  if (auto timeout = TRY(ReadInt(json, "timeout", 1, INT32_MAX))) hook.timeout_s = timeout;
  hooks[name].push_back(std::move(hook));
  return Ok();
}

Result<IntelRdt> ReadRdt(const JsonReader& json) {
  TRY(OnlyMembers(json, {"closID", "l3CacheSchema", "memBwSchema", "enableCMT", "enableMBM"}));
  IntelRdt out;
  out.clos_id = TRY(json.OptionalString("closID"));
  // It names a directory of resctrl.
  bool plain = out.clos_id.size() < 4096 && out.clos_id != "." && out.clos_id != ".." &&
               out.clos_id.find_first_of("/\n") == std::string::npos;
  if (!plain) return json.Fail(StrCat("closID ", Quote(out.clos_id, 64), " is not a plain name"));
  out.l3_cache_schema = TRY(json.OptionalString("l3CacheSchema"));
  out.mem_bw_schema = TRY(json.OptionalString("memBwSchema"));
  if (auto flag = TRY(json.Optional("enableCMT"))) out.enable_cmt = TRY(flag->Bool());
  if (auto flag = TRY(json.Optional("enableMBM"))) out.enable_mbm = TRY(flag->Bool());
  return out;
}

Result<CdiEdits> ReadEdits(const JsonReader& json, const Version& version) {
  if (json.Has("netDevices")) return json.Fail("netDevices are not supported");
  TRY(OnlyMembers(json, {"env", "deviceNodes", "mounts", "hooks", "intelRdt", "additionalGids"}));
  CdiEdits out;
  if (auto env = TRY(json.Optional("env"))) out.env = TRY(ReadEnv(*env));
  if (auto nodes = TRY(json.Optional("deviceNodes"))) {
    for (const JsonReader& node : TRY(nodes->Elements(kMaxCdiEntries))) {
      out.device_nodes.push_back(TRY(ReadNode(node, version)));
    }
  }
  if (auto mounts = TRY(json.Optional("mounts"))) {
    for (const JsonReader& mount : TRY(mounts->Elements(kMaxCdiEntries))) {
      out.mounts.push_back(TRY(ReadMount(mount, version)));
    }
  }
  if (auto hooks = TRY(json.Optional("hooks"))) {
    for (const JsonReader& hook : TRY(hooks->Elements(kMaxCdiEntries))) {
      TRY(ReadHook(hook, out.hooks));
    }
  }
  if (auto rdt = TRY(json.Optional("intelRdt"))) {
    TRY(version.Needs(7, "0.7.0", *rdt));
    out.intel_rdt = TRY(ReadRdt(*rdt));
  }
  if (auto gids = TRY(json.Optional("additionalGids"))) {
    TRY(version.Needs(7, "0.7.0", *gids));
    for (const JsonReader& gid : TRY(gids->Elements(kMaxCdiEntries))) {
      out.additional_gids.push_back(static_cast<uint32_t>(TRY(gid.Int(0, 0xfffffffe))));
    }
  }
  return out;
}

Result<> ReadDevice(const JsonReader& json, const Version& version, CdiSpec& out) {
  TRY(OnlyMembers(json, {"name", "annotations", "containerEdits"}));
  std::string name = TRY(json.RequiredString("name"));
  if (!IsName(name, true, "_-.:")) return json.Fail(StrCat(Quote(name, 64), " is no device name"));
  if (IsDigit(name[0])) TRY(version.Needs(5, "0.5.0", json));
  if (json.Has("annotations")) TRY(version.Needs(6, "0.6.0", json));
  TRY(json.OptionalStringMap("annotations", kMaxCdiEntries));
  JsonReader edits = TRY(json.Required("containerEdits"));
  CdiEdits read = TRY(ReadEdits(edits, version));
  if (!out.devices.emplace(name, std::move(read)).second) {
    return json.Fail(StrCat("device ", Quote(name, 64), " twice"));
  }
  return Ok();
}

}  // namespace

Result<CdiSpec> ParseCdiSpec(std::string_view text, bool yaml) {
  Json tree =
      yaml ? TRY(ParseYaml(text, kLimits, "document")) : TRY(ParseJson(text, kLimits, "document"));
  JsonReader root(tree);
  TRY(root.ExpectObject());
  TRY(OnlyMembers(root, {"cdiVersion", "kind", "annotations", "devices", "containerEdits"}));
  Version version = TRY(Version::Read(root));
  CdiSpec out;
  JsonReader kind = TRY(root.Required("kind"));
  out.kind = TRY(kind.String());
  if (!IsKind(out.kind)) return kind.Fail(StrCat(Quote(out.kind, 64), " is not vendor/class"));
  if (out.kind.find('.', out.kind.find('/')) != std::string::npos) {
    TRY(version.Needs(6, "0.6.0", kind));
  }
  if (root.Has("annotations")) TRY(version.Needs(6, "0.6.0", root));
  TRY(root.OptionalStringMap("annotations", kMaxCdiEntries));
  if (auto edits = TRY(root.Optional("containerEdits")))
    out.edits = TRY(ReadEdits(*edits, version));
  JsonReader devices = TRY(root.Required("devices"));
  for (const JsonReader& device : TRY(devices.Elements(kMaxCdiEntries))) {
    TRY(ReadDevice(device, version, out));
  }
  if (out.devices.empty()) return devices.Fail("no device");
  return out;
}

Result<CdiName> ParseCdiName(std::string_view name) {
  size_t equals = name.find('=');
  CdiName out;
  if (equals != std::string_view::npos) {
    out.kind = name.substr(0, equals);
    out.device = name.substr(equals + 1);
  }
  if (!IsKind(out.kind) || !IsName(out.device, true, "_-.:")) {
    return Error(Code::kInvalidArgument,
                 StrCat("CDI device ", Quote(name, 128), " is not vendor/class=name"));
  }
  return out;
}

Result<std::vector<std::string>> CdiNamesOf(const std::map<std::string, std::string>& annotations) {
  constexpr std::string_view kPrefix = "cdi.k8s.io/";
  std::vector<std::string> out;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kPrefix)) continue;
    for (std::string_view name : Split(value, ',')) {
      TRY(ParseCdiName(name), StrCat("annotation ", Quote(key, 128)));
      out.emplace_back(name);
    }
  }
  return out;
}

}  // namespace berth::oci

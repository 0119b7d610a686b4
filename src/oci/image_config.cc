// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "base/strings.h"
#include "oci/image.h"
#include "oci/json_internal.h"

namespace berth::oci {

namespace {

// {"80/tcp": {}, ...}: a set, as Go writes it. Old builders wrote null for the empty object.
Result<std::vector<std::string>> OptionalSet(const JsonReader& object, std::string_view key) {
  std::vector<std::string> out;
  auto set = TRY(object.Optional(key));
  if (!set) return out;
  for (auto& [name, member] : TRY(set->Members(kMaxListEntries))) {
    if (!member.value().is_null()) TRY(member.ExpectObject());
    out.push_back(std::move(name));
  }
  return out;
}

Result<ImageProcess> ReadProcess(const JsonReader& json) {
  ImageProcess out;
  out.user = TRY(json.OptionalString("User"));
  out.env = TRY(json.OptionalStrings("Env", kMaxListEntries));
  out.entrypoint = TRY(json.OptionalStrings("Entrypoint", kMaxListEntries));
  out.cmd = TRY(json.OptionalStrings("Cmd", kMaxListEntries));
  out.working_dir = TRY(json.OptionalString("WorkingDir"));
  out.labels = TRY(json.OptionalStringMap("Labels", kMaxListEntries));
  out.stop_signal = TRY(json.OptionalString("StopSignal"));
  out.volumes = TRY(OptionalSet(json, "Volumes"));
  out.exposed_ports = TRY(OptionalSet(json, "ExposedPorts"));
  return out;
}

Result<std::vector<Digest>> ReadDiffIds(const JsonReader& root) {
  std::vector<Digest> out;
  JsonReader rootfs = TRY(root.Required("rootfs"));
  JsonReader type = TRY(rootfs.Required("type"));
  if (TRY(type.String()) != "layers") return type.Fail("not \"layers\"");
  if (!rootfs.Has("diff_ids")) return out;  // how Docker writes an image without layers
  for (const JsonReader& json : TRY(TRY(rootfs.Required("diff_ids")).Elements(kMaxLayers))) {
    std::string text = TRY(json.String());
    const Digest digest = TRY(Digest::Parse(text), json.path());
    // What layers are known by here, and everywhere else so far.
    if (digest.algorithm() != Digest::Algorithm::kSha256) return json.Fail("not a sha256 digest");
    out.push_back(digest);
  }
  return out;
}

Result<ImageConfig> Parse(std::string_view bytes) {
  Json tree = TRY(ParseJson(bytes, {.max_bytes = kMaxConfigBytes}, "document"));
  JsonReader root(tree);
  ImageConfig out;
  out.platform.architecture = TRY(root.RequiredString("architecture"));
  out.platform.os = TRY(root.RequiredString("os"));
  out.platform.variant = TRY(root.OptionalString("variant"));
  out.platform.os_version = TRY(root.OptionalString("os.version"));
  out.created = TRY(root.OptionalString("created"));
  if (auto process = TRY(root.Optional("config"))) out.process = TRY(ReadProcess(*process));
  out.diff_ids = TRY(ReadDiffIds(root));
  return out;
}

void PutText(Json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

template <class List>
void PutList(Json& object, const char* key, const List& values) {
  if (!values.empty()) object[key] = values;
}

void PutSet(Json& object, const char* key, const std::vector<std::string>& names) {
  for (const std::string& name : names) object[key][name] = Json::object();
}

}  // namespace

Result<ImageConfig> ParseImageConfig(std::string_view bytes) {
  return TRY(Parse(bytes), "image config");
}

Result<std::string> EncodeImageConfig(const ImageConfig& config) {
  Json process = Json::object();
  PutText(process, "User", config.process.user);
  PutList(process, "Env", config.process.env);
  PutList(process, "Entrypoint", config.process.entrypoint);
  PutList(process, "Cmd", config.process.cmd);
  PutText(process, "WorkingDir", config.process.working_dir);
  PutList(process, "Labels", config.process.labels);
  PutText(process, "StopSignal", config.process.stop_signal);
  PutSet(process, "Volumes", config.process.volumes);
  PutSet(process, "ExposedPorts", config.process.exposed_ports);

  Json root = {{"architecture", config.platform.architecture}, {"os", config.platform.os}};
  PutText(root, "variant", config.platform.variant);
  PutText(root, "os.version", config.platform.os_version);
  PutText(root, "created", config.created);
  root["config"] = std::move(process);
  Json diff_ids = Json::array();
  for (const Digest& digest : config.diff_ids) diff_ids.push_back(digest.ToString());
  root["rootfs"] = {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}};
  return DumpJson(root, "image config");
}

Result<> CheckConsistency(const Manifest& manifest, const ImageConfig& config) {
  if (manifest.layers.size() == config.diff_ids.size()) return Ok();
  return Error(Code::kInvalidArgument,
               StrCat("image config: rootfs.diff_ids: ", config.diff_ids.size(),
                      " entries for the manifest's ", manifest.layers.size(), " layers"));
}

}  // namespace berth::oci

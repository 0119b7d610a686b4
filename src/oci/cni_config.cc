// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "base/strings.h"
#include "oci/cni.h"
#include "oci/json_internal.h"

namespace berth::oci {

namespace {

constexpr JsonLimits kConfigLimits{.max_bytes = kMaxCniConfigBytes};
constexpr JsonLimits kResultLimits{.max_bytes = kMaxCniResultBytes};

Result<std::string> ReadType(const JsonReader& plugin) {
  JsonReader json = TRY(plugin.Required("type"));
  std::string type = TRY(json.String());
  // The type becomes a file name in the plugin directories (CVE-2021-20206).
  if (!IsValidPluginType(type)) return json.Fail(StrCat(Quote(type, 64), " is not a plugin name"));
  return type;
}

Result<CniPlugin> ReadPlugin(const JsonReader& json) {
  TRY(json.ExpectObject());
  CniPlugin out;
  out.type = TRY(ReadType(json));
  if (auto ipam = TRY(json.Optional("ipam"))) {
    // An empty object is how a plugin is told to give no address.
    TRY(ipam->ExpectObject());
    if (ipam->Has("type")) out.ipam_type = TRY(ReadType(*ipam));
  }
  if (auto capabilities = TRY(json.Optional("capabilities"))) {
    for (const auto& [name, member] : TRY(capabilities->Members(kMaxCniListEntries))) {
      out.capabilities.emplace(name, TRY(member.Bool()));
    }
  }
  out.raw = TRY(DumpJson(json.value(), "plugin"));
  return out;
}

// The reference library takes "true" and "false" as text too, and such files exist.
Result<bool> ReadFlag(const JsonReader& root, std::string_view key) {
  auto json = TRY(root.Optional(key));
  if (!json) return false;
  if (!json->value().is_string()) return json->Bool();
  std::string text = ToLower(TRY(json->String()));
  if (text != "true" && text != "false") return json->Fail("not true or false");
  return text == "true";
}

Result<std::string> ChooseVersion(const JsonReader& root) {
  std::vector<std::string> offered = TRY(root.OptionalStrings("cniVersions", kMaxCniListEntries));
  std::string single = TRY(root.OptionalString("cniVersion"));
  if (!single.empty()) offered.push_back(std::move(single));
  std::string best;
  for (const std::string& version : offered) {
    if (CompareCniVersions(version, best) > 0) best = version;
  }
  if (!best.empty()) return best;
  std::string shown = offered.empty() ? "none" : Quote(Join(offered, ", "), 128);
  return Error(Code::kFailedPrecondition,
               StrCat("cniVersion: no supported version: offered ", shown, ", supported ",
                      SupportedCniVersions().front(), " to ", SupportedCniVersions().back()));
}

Result<NetworkConfigList> ReadList(std::string_view text) {
  Json tree = TRY(ParseJson(text, kConfigLimits, "document"));
  JsonReader root(tree);
  NetworkConfigList out;
  JsonReader name = TRY(root.Required("name"));
  out.name = TRY(name.String());
  if (!IsValidNetworkName(out.name)) {
    return name.Fail(StrCat(Quote(out.name, 64), " is not a network name"));
  }
  out.cni_version = TRY(ChooseVersion(root));
  out.disable_check = TRY(ReadFlag(root, "disableCheck"));
  out.disable_gc = TRY(ReadFlag(root, "disableGC"));
  out.load_only_inlined = TRY(ReadFlag(root, "loadOnlyInlinedPlugins"));
  if (root.Has("type") && !root.Has("plugins")) {
    out.load_only_inlined = true;  // a single plugin has no folder
    out.plugins.push_back(TRY(ReadPlugin(root)));
  } else {
    JsonReader plugins = TRY(root.Required("plugins"));
    for (const JsonReader& json : TRY(plugins.Elements(kMaxCniPlugins))) {
      out.plugins.push_back(TRY(ReadPlugin(json)));
    }
    if (out.plugins.empty()) return plugins.Fail("empty");
  }
  out.raw = text;
  return out;
}

Json PortMappingsJson(const std::vector<PortMapping>& mappings) {
  Json out = Json::array();
  for (const PortMapping& mapping : mappings) {
    if (mapping.host_port == 0) continue;
    Json entry = {{"hostPort", mapping.host_port},
                  {"containerPort", mapping.container_port},
                  {"protocol", mapping.protocol}};
    if (!mapping.host_ip.empty()) entry["hostIP"] = mapping.host_ip;
    out.push_back(std::move(entry));
  }
  return out;
}

Json DnsJson(const CniDns& dns) {
  Json out = Json::object();
  if (!dns.nameservers.empty()) out["servers"] = dns.nameservers;
  if (!dns.search.empty()) out["searches"] = dns.search;
  if (!dns.options.empty()) out["options"] = dns.options;
  return out;
}

// All that the runtime has to say, by capability; a part without content is not in it.
Json CapabilityArgs(const RuntimeConfig& runtime) {
  Json out = Json::object();
  if (Json ports = PortMappingsJson(runtime.port_mappings); !ports.empty()) {
    out["portMappings"] = std::move(ports);
  }
  if (const auto& limits = runtime.bandwidth) {
    out["bandwidth"] = {{"ingressRate", limits->ingress_rate},
                        {"ingressBurst", limits->ingress_burst},
                        {"egressRate", limits->egress_rate},
                        {"egressBurst", limits->egress_burst}};
  }
  if (runtime.dns) {
    if (Json dns = DnsJson(*runtime.dns); !dns.empty()) out["dns"] = std::move(dns);
  }
  if (!runtime.ips.empty()) out["ips"] = runtime.ips;
  if (!runtime.mac.empty()) out["mac"] = runtime.mac;
  if (!runtime.cgroup_path.empty()) out["cgroupPath"] = runtime.cgroup_path;
  if (!runtime.pod_annotations.empty()) {
    out["io.kubernetes.cri.pod-annotations"] = runtime.pod_annotations;
  }
  return out;
}

// Removes what only the runtime may write ("Reserved keys" in the spec), so that a config cannot
// fake it.
void DropReserved(Json& config) {
  config.erase("prevResult");
  for (auto it = config.begin(); it != config.end();) {
    it = it.key().starts_with("cni.dev/") ? config.erase(it) : std::next(it);
  }
}

void PutRuntimeConfig(Json& config, const CniPlugin& plugin, const RuntimeConfig& runtime) {
  Json declared = Json::object();
  Json args = CapabilityArgs(runtime);
  for (auto it = args.begin(); it != args.end(); ++it) {
    auto found = plugin.capabilities.find(it.key());
    if (found != plugin.capabilities.end() && found->second) declared[it.key()] = it.value();
  }
  if (!declared.empty()) config["runtimeConfig"] = std::move(declared);
}

void PutAttachments(Json& config, const std::vector<CniAttachment>& attachments) {
  Json list = Json::array();
  for (const CniAttachment& attachment : attachments) {
    list.push_back({{"containerID", attachment.container_id}, {"ifname", attachment.ifname}});
  }
  // The second is the name that plugins written before the spec was corrected look for.
  config["cni.dev/valid-attachments"] = list;
  config["cni.dev/attachments"] = std::move(list);
}

Result<std::string> BuildInput(const CniPlugin& plugin, const PluginInput& input) {
  Json config = TRY(ParseJson(plugin.raw, kConfigLimits, "config"));
  TRY(JsonReader(config).ExpectObject(), "config");
  DropReserved(config);
  config["name"] = input.name;
  config["cniVersion"] = input.cni_version;
  if (input.runtime != nullptr) PutRuntimeConfig(config, plugin, *input.runtime);
  if (input.prev_result) {
    Json previous = TRY(ParseJson(*input.prev_result, kResultLimits, "prevResult"));
    TRY(JsonReader(previous).ExpectObject(), "prevResult");
    config["prevResult"] = std::move(previous);
  }
  if (input.valid_attachments) PutAttachments(config, *input.valid_attachments);
  return DumpJson(config, "input");
}

}  // namespace

Result<NetworkConfigList> ParseNetworkConfig(std::string_view text) {
  return TRY(ReadList(text), "cni config");
}

Result<CniPlugin> ParseCniPlugin(std::string_view text) {
  Json tree = TRY(ParseJson(text, kConfigLimits, "cni plugin config"));
  return TRY(ReadPlugin(JsonReader(tree)), "cni plugin config");
}

Result<std::string> BuildPluginInput(const CniPlugin& plugin, const PluginInput& input) {
  return TRY(BuildInput(plugin, input), StrCat("cni plugin ", plugin.type));
}

}  // namespace berth::oci

// SPDX-License-Identifier: Apache-2.0
// CNI configs, results, errors and version answers, and the input that is built from a config and a
// result.
#include "oci/cni.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace oci = berth::oci;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = berth::fuzz::Text(data, size);
  if (auto result = oci::ParseCniResult(text, "1.0.0")) {
    Require(oci::PodIps(*result).size() <= result->ips.size());
    oci::CniPlugin plugin{
        .type = "x", .ipam_type = "", .capabilities = {}, .raw = "{\"type\":\"x\"}"};
    oci::PluginInput input{.name = "n", .cni_version = "1.0.0", .prev_result = result->raw};
    Require(oci::BuildPluginInput(plugin, input).has_value());
  }
  if (auto error = oci::ParseCniError(text)) (void)oci::CniErrorToError(*error, "x").code();
  if (auto info = oci::ParseCniVersionInfo(text)) (void)info->Supports("1.0.0");
  auto list = oci::ParseNetworkConfig(text);
  if (!list) return 0;
  Require(!list->plugins.empty() && oci::IsSupportedCniVersion(list->cni_version));
  for (const oci::CniPlugin& plugin : list->plugins) {
    Require(plugin.type.find('/') == std::string::npos && plugin.type != "..");
    Require(oci::ParseCniPlugin(plugin.raw).has_value());
    oci::PluginInput input{.name = list->name, .cni_version = list->cni_version};
    Require(oci::BuildPluginInput(plugin, input).has_value());
  }
  return 0;
}

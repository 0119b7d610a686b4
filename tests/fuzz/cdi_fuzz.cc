// SPDX-License-Identifier: Apache-2.0
// CDI spec files, as JSON and as YAML, device names and annotations; what is accepted must be applicable.
#include "oci/cdi.h"
#include "tests/fuzz/fuzz.h"

using berth::fuzz::Require;
namespace oci = berth::oci;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = berth::fuzz::Text(data, size);
  if (auto name = oci::ParseCdiName(text)) Require(!name->kind.empty() && !name->device.empty());
  if (auto names = oci::CdiNamesOf({{"cdi.k8s.io/x", std::string(text)}})) Require(!names->empty());
  for (bool yaml : {false, true}) {
    auto spec = oci::ParseCdiSpec(text, yaml);
    if (!spec) continue;
    Require(!spec->devices.empty());
    for (const auto& [name, edits] : spec->devices) {
      oci::Spec out;
      if (!oci::ApplyCdiEdits(edits, &out)) continue;
      Require(out.mounts.size() <= edits.mounts.size());
      Require(out.linux.devices.size() <= edits.device_nodes.size());
    }
  }
  return 0;
}

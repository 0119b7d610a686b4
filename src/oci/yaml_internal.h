// SPDX-License-Identifier: Apache-2.0
// YAML as a JSON tree: what JSON can say and no more. No anchors, aliases or tags, one document, text keys, no
// key twice; plain scalars as YAML 1.1's core: null, true, false, whole numbers (decimal, 0x, 0 and 0o octal),
// fractions; the rest is text. Pulls in nlohmann: include this from .cc files only. Pure; any thread.
#pragma once

#include <string_view>

#include "oci/json_internal.h"

namespace berth::oci {

// InvalidArgument with the line. The limits are those of a JSON text.
Result<Json> ParseYaml(std::string_view text, const JsonLimits& limits, std::string_view what);

}  // namespace berth::oci

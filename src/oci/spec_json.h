// SPDX-License-Identifier: Apache-2.0
// The runtime spec as JSON: config.json, exec's process.json and update's resources, and
// config.json read back. Pure functions; any thread.
// https://github.com/opencontainers/runtime-spec/tree/main/schema
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/spec.h"

namespace berth::oci {

inline constexpr size_t kMaxSpecBytes = 16u << 20;

// One line, keys in alphabetical order. InvalidArgument when a text is not UTF-8, which JSON cannot
// say.
Result<std::string> ToJson(const Spec& spec);
Result<std::string> ProcessToJson(const SpecProcess& process);
Result<std::string> ResourcesToJson(const Resources& resources);

// What ToJson wrote, or another program's config.json; members that Spec does not have are passed
// over. InvalidArgument naming the place for a wrong type, a number out of range, or a text above
// kMaxSpecBytes.
Result<Spec> ParseSpec(std::string_view text);

}  // namespace berth::oci

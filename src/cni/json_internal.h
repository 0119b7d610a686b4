// SPDX-License-Identifier: Apache-2.0
// What the plugins' parsers share: limits, and readers of addresses. Pulls in nlohmann: include this from .cc files only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cni/result.h"
#include "oci/json_internal.h"

namespace berth::cni {

using oci::Json;
using oci::JsonReader;

// A plugin's input: the configuration and a result, each of at most 1 MiB. Go's decoder takes the last of two equal keys.
inline constexpr oci::JsonLimits kInputLimits{.max_bytes = 4u << 20,
                                              .max_depth = 64,
                                              .max_values = 1u << 17,
                                              .duplicate_keys = oci::DuplicateKeys::kLastWins};
inline constexpr size_t kMaxEntries = 4096;

Result<Outcome> ReadOutcome(const JsonReader& json);
Result<Dns> ReadDns(const JsonReader& json);
Result<Route> ReadRoute(const JsonReader& json);
// A member that may be absent: nothing then.
Result<std::optional<IpAddress>> ReadAddress(const JsonReader& json, std::string_view key);
// A text that is an address, with or without a prefix length: the address.
Result<IpAddress> ReadIpOrCidr(const JsonReader& json);
// Members that may be absent.
Result<bool> ReadFlag(const JsonReader& json, std::string_view key, bool absent = false);
Result<int64_t> ReadNumber(const JsonReader& json, std::string_view key, int64_t min, int64_t max,
                           int64_t absent = 0);
// For DEL, which works with what can be read: the flag is set, or is something that is no flag.
bool MayBeSet(std::string_view config, std::string_view key);
// "ipMasqBackend": of no consequence, the rules are Berth's own.
Result<> CheckMasqueradeBackend(const JsonReader& root);
Result<std::vector<JsonReader>> ReadList(const JsonReader& json, std::string_view key);

}  // namespace berth::cni

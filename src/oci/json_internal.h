// SPDX-License-Identifier: Apache-2.0
// JSON trees and a reader whose errors name the place: "layers[2].digest: not a string". One thread
// at a time. Pulls in nlohmann: include this from .cc files only.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/json.h"

namespace berth::oci {

using Json = nlohmann::json;

// CheckJson, then the tree.
Result<Json> ParseJson(std::string_view text, const JsonLimits& limits, std::string_view what);
// InvalidArgument when a string in the tree is not UTF-8.
Result<std::string> DumpJson(const Json& value, std::string_view what);

// One value of a tree and its path. The tree must outlive it.
class JsonReader {
 public:
  explicit JsonReader(const Json& root) : value_(&root) {}

  const Json& value() const { return *value_; }
  // "" for the root.
  const std::string& path() const { return path_; }
  // InvalidArgument, "path: problem".
  Error Fail(std::string_view problem) const;

  // Members. Optional: absent and null are the same, as Go's encoders write them. Both need an
  // object; null is a failure for a required member ("config: missing" or "config: is null").
  Result<JsonReader> Required(std::string_view key) const;
  Result<std::optional<JsonReader>> Optional(std::string_view key) const;
  bool Has(std::string_view key) const;

  // This value.
  Result<> ExpectObject() const;
  Result<std::string> String() const;
  Result<bool> Bool() const;
  // A whole number within [min, max]; 1.0 and 1e3 are not.
  Result<int64_t> Int(int64_t min, int64_t max) const;
  Result<std::vector<JsonReader>> Elements(size_t max) const;
  Result<std::vector<std::pair<std::string, JsonReader>>> Members(size_t max) const;
  Result<std::vector<std::string>> Strings(size_t max) const;
  Result<std::map<std::string, std::string>> StringMap(size_t max) const;

  // The same for a member that may be absent: the empty value then.
  Result<std::string> RequiredString(std::string_view key) const;  // and not empty
  Result<std::string> OptionalString(std::string_view key) const;
  Result<std::vector<std::string>> OptionalStrings(std::string_view key, size_t max) const;
  Result<std::map<std::string, std::string>> OptionalStringMap(std::string_view key,
                                                               size_t max) const;

 private:
  JsonReader(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}
  std::string PathOf(std::string_view key) const;
  const Json* value_;
  std::string path_;
};

}  // namespace berth::oci

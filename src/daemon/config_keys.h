// SPDX-License-Identifier: Apache-2.0
// The table of configuration keys: name, where it goes, limits and one sentence of documentation.
// Constant; any thread.
#pragma once

#include <span>
#include <variant>

#include "daemon/config.h"

namespace berth::daemon {

using TextField = std::string& (*)(Config&);
using FlagField = bool& (*)(Config&);
using ListField = std::vector<std::string>& (*)(Config&);
struct NumberField {
  int64_t& (*field)(Config&);
  int64_t min;
  int64_t max;
};
struct ChoiceField {
  std::string& (*field)(Config&);
  std::vector<std::string_view> choices;
};

struct ConfigKey {
  std::string_view name;  // "section.key" or "key"
  std::variant<TextField, FlagField, ListField, NumberField, ChoiceField> field;
  std::string_view doc;
};

// Ordered by section.
std::span<const ConfigKey> ConfigKeys();

}  // namespace berth::daemon

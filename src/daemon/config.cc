// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "daemon/config_keys.h"
#include "oci/toml.h"
#include "oci/toml_library.h"
#include "os/dir_fd.h"

namespace berth::daemon {

namespace {

constexpr size_t kFileLimit = 1U << 20;
constexpr std::string_view kHandlers = "runtime.handlers";

Error Bad(std::string_view file, const toml::node& node, std::string_view key,
          std::string_view what) {
  return Error(Code::kInvalidArgument,
               StrCat("config ", file, ", line ", node.source().begin.line, ": ", key, ": ", what));
}

Result<std::vector<std::string>> ReadList(const toml::node& node, std::string_view file,
                                          std::string_view key) {
  const toml::array* array = node.as_array();
  if (array == nullptr) return Bad(file, node, key, "must be a list of texts");
  std::vector<std::string> list;
  for (const toml::node& item : *array) {
    if (!item.is_string()) return Bad(file, item, key, "must be a list of texts");
    list.push_back(item.as_string()->get());
  }
  return list;
}

Result<std::string> ReadText(const toml::node& node, std::string_view file, std::string_view key) {
  if (!node.is_string()) return Bad(file, node, key, "must be a text");
  return node.as_string()->get();
}

// One alternative of ConfigKey::field each.
struct Apply {
  const toml::node& node;
  std::string_view file;
  std::string_view key;
  Config* config;

  Result<> operator()(TextField field) const {
    field(*config) = TRY(ReadText(node, file, key));
    return Ok();
  }
  Result<> operator()(FlagField field) const {
    if (!node.is_boolean()) return Bad(file, node, key, "must be true or false");
    field(*config) = node.as_boolean()->get();
    return Ok();
  }
  Result<> operator()(ListField field) const {
    field(*config) = TRY(ReadList(node, file, key));
    return Ok();
  }
  Result<> operator()(const NumberField& number) const {
    if (!node.is_integer()) return Bad(file, node, key, "must be a whole number");
    int64_t value = node.as_integer()->get();
    if (value < number.min || value > number.max) {
      return Bad(file, node, key, StrCat(value, " is not from ", number.min, " to ", number.max));
    }
    number.field(*config) = value;
    return Ok();
  }
  Result<> operator()(const ChoiceField& choice) const {
    std::string value = TRY(ReadText(node, file, key));
    for (std::string_view known : choice.choices) {
      if (value == known) {
        choice.field(*config) = value;
        return Ok();
      }
    }
    return Bad(file, node, key, StrCat(Quote(value), " is not one of its values"));
  }
};

// Levenshtein distance, for "did you mean".
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substitute, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string NearestKey(std::string_view name) {
  std::string_view best = kHandlers;
  size_t least = Distance(name, best);
  for (const ConfigKey& key : ConfigKeys()) {
    size_t distance = Distance(name, key.name);
    if (distance < least) {
      least = distance;
      best = key.name;
    }
  }
  return least <= name.size() / 2 ? StrCat("unknown key; did you mean ", best, "?") : "unknown key";
}

Result<> ReadHandler(const toml::node& node, std::string_view file, const std::string& name,
                     Config* config) {
  std::string prefix = StrCat(kHandlers, ".", name);
  const toml::table* table = node.as_table();
  if (table == nullptr) return Bad(file, node, prefix, "must be a table");
  HandlerConfig handler;
  for (const auto& [key, value] : *table) {
    std::string full = StrCat(prefix, ".", key.str());
    if (key.str() == "path") {
      handler.path = TRY(ReadText(value, file, full));
    } else if (key.str() == "args") {
      handler.args = TRY(ReadList(value, file, full));
    } else if (key.str() == "allowed_annotations") {
      handler.allowed_annotations = TRY(ReadList(value, file, full));
    } else {
      return Bad(file, value, full, "unknown key; a handler has path, args, allowed_annotations");
    }
  }
  if (handler.path.empty()) return Bad(file, node, prefix, "path is missing");
  config->handlers[name] = std::move(handler);
  return Ok();
}

Result<> ReadTable(const toml::table& table, const std::string& prefix, std::string_view file,
                   Config* config) {
  for (const auto& [key, value] : table) {
    std::string name = prefix.empty() ? std::string(key.str()) : StrCat(prefix, ".", key.str());
    if (prefix == kHandlers) {
      TRY(ReadHandler(value, file, std::string(key.str()), config));
      continue;
    }
    auto keys = ConfigKeys();
    auto found =
        std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& k) { return k.name == name; });
    if (found != keys.end()) {
      TRY(std::visit(Apply{value, file, name, config}, found->field));
      continue;
    }
    bool section = name == kHandlers ||
                   std::any_of(keys.begin(), keys.end(),
                               [&](const ConfigKey& k) { return k.name.starts_with(name + "."); });
    if (!section || !value.is_table()) return Bad(file, value, name, NearestKey(name));
    TRY(ReadTable(*value.as_table(), name, file, config));
  }
  return Ok();
}

}  // namespace

Result<> ReadConfig(std::string_view text, std::string_view file, Config* config) {
  if (Result<> checked = oci::CheckToml(text); !checked) {
    return Error(Code::kInvalidArgument, StrCat("config ", file, ", ", checked.error().message()));
  }
  toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    return Error(Code::kInvalidArgument,
                 StrCat("config ", file, ", line ", parsed.error().source().begin.line, ": ",
                        parsed.error().description()));
  }
  return ReadTable(parsed.table(), "", file, config);
}

void AddDefaultHandlers(Config* config) {
  for (const char* name : {"crun", "runc"}) {
    if (config->handlers.contains(name)) continue;
    config->handlers[name] = {
        .path = name, .args = {}, .allowed_annotations = {}, .implicit = true};
  }
}

Result<Config> LoadConfig(const std::string& path, bool required) {
  Config config;
  size_t slash = path.rfind('/');
  if (slash == std::string::npos || path[0] != '/') {
    return Error(Code::kInvalidArgument, StrCat("config ", Quote(path), ": not an absolute path"));
  }
  Result<os::DirFd> dir = os::DirFd::OpenTrusted(slash == 0 ? "/" : path.substr(0, slash));
  if (!dir) {
    if (required || dir.error().code() != Code::kNotFound) {
      return std::move(dir.error()).Wrap(StrCat("config ", path)).WithCode(Code::kInvalidArgument);
    }
    AddDefaultHandlers(&config);
    return config;
  }
  Result<std::string> text = dir->ReadFile(path.substr(slash + 1), kFileLimit);
  if (text) {
    TRY(ReadConfig(*text, path, &config));
  } else if (required || text.error().code() != Code::kNotFound) {
    return std::move(text.error()).Wrap(StrCat("config ", path)).WithCode(Code::kInvalidArgument);
  }
  if (Result<os::DirFd> parts = dir->OpenDir("conf.d")) {
    std::vector<std::string> names = TRY(parts->List());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (!name.ends_with(".toml")) continue;
      std::string part = TRY(parts->ReadFile(name, kFileLimit), StrCat("config conf.d/", name));
      TRY(ReadConfig(part, StrCat("conf.d/", name), &config));
    }
  }
  AddDefaultHandlers(&config);
  return config;
}

}  // namespace berth::daemon

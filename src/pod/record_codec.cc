// SPDX-License-Identifier: Apache-2.0
#include "pod/record_codec.h"

#include <nlohmann/json.hpp>

#include <limits>
#include <type_traits>

#include "base/strings.h"
#include "pod/record_fields.h"

namespace berth::pod {

namespace {

using Json = nlohmann::json;

// --- writing ---

class Writer {
 public:
  template <class T>
  void operator()(const char* name, const T& value) {
    json_[name] = From(value);
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value) {
    if (value) json_[name] = From(*value);
  }
  Json Take() { return std::move(json_); }

  template <class T>
  static Json From(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<int>(value);
    } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
      return value;
    } else {
      Writer writer;
      Fields(writer, value);
      return writer.Take();
    }
  }
  template <class T>
  static Json From(const std::vector<T>& list) {
    Json out = Json::array();
    for (const T& item : list) out.push_back(From(item));
    return out;
  }
  template <class T>
  static Json From(const std::map<std::string, T>& map) {
    Json out = Json::object();
    for (const auto& [key, value] : map) out[key] = value;
    return out;
  }
  static Json From(const std::pair<std::string, std::string>& pair) {
    return Json::array({pair.first, pair.second});
  }

 private:
  Json json_ = Json::object();
};

// --- reading: the first failure is kept, and nothing is read after it ---

class Reader {
 public:
  Reader(const Json& json, std::string& failure) : json_(json), failure_(failure) {}

  template <class T>
  void operator()(const char* name, T& value) {
    if (const Json* found = Find(name); found && !To(*found, value)) Fail(name);
  }
  template <class T>
  void operator()(const char* name, std::optional<T>& value) {
    const Json* found = Find(name);
    if (found && !To(*found, value.emplace())) Fail(name);
  }

 private:
  const Json* Find(const char* name) const {
    if (!failure_.empty()) return nullptr;
    auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  void Fail(const char* name) { failure_ = failure_.empty() ? name : StrCat(name, ".", failure_); }

  template <class T>
  bool To(const Json& json, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      if (!json.is_boolean()) return false;
      value = json.get<bool>();
      return true;
    } else if constexpr (std::is_enum_v<T>) {
      int number = 0;
      if (!To(json, number) || number < 0 || number > LastOf(T{})) return false;
      value = static_cast<T>(number);
      return true;
    } else if constexpr (std::is_integral_v<T>) {
      return ToInteger(json, value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!json.is_string()) return false;
      value = json.get_ref<const std::string&>();
      return true;
    } else {
      if (!json.is_object()) return false;
      Reader reader(json, failure_);
      Fields(reader, value);
      return failure_.empty();
    }
  }
  // nlohmann converts without a range check; a row must not read as another number than it says.
  template <class T>
  static bool ToInteger(const Json& json, T& value) {
    if (json.is_number_unsigned()) {
      auto wide = json.get<uint64_t>();
      if (wide > static_cast<uint64_t>(std::numeric_limits<T>::max())) return false;
      value = static_cast<T>(wide);
      return true;
    }
    if (!json.is_number_integer() || std::is_unsigned_v<T>) return false;
    auto wide = json.get<int64_t>();
    if (wide < static_cast<int64_t>(std::numeric_limits<T>::min())) return false;
    value = static_cast<T>(wide);
    return true;
  }
  template <class T>
  bool To(const Json& json, std::vector<T>& list) {
    if (!json.is_array()) return false;
    for (const Json& item : json) {
      if (!To(item, list.emplace_back())) return false;
    }
    return true;
  }
  template <class T>
  bool To(const Json& json, std::map<std::string, T>& map) {
    if (!json.is_object()) return false;
    for (const auto& [key, item] : json.items()) {
      if (!To(item, map[key])) return false;
    }
    return true;
  }
  bool To(const Json& json, std::pair<std::string, std::string>& pair) {
    return json.is_array() && json.size() == 2 && To(json[0], pair.first) &&
           To(json[1], pair.second);
  }

  const Json& json_;
  std::string& failure_;
};

// Text from outside that is not UTF-8 (an OCI runtime's error) must not make a record impossible to
// write.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
std::string EncodeRecord(const T& record) {
  Json json = Writer::From(record);
  json["version"] = T::kVersion;
  return Dump(json);
}

template <class T>
Result<T> DecodeRecord(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(Code::kDataLoss, "record is not a JSON object");
  std::string failure;
  int version = 0;
  Reader reader(json, failure);
  reader("version", version);
  if (!failure.empty() || version != T::kVersion) {
    return Error(Code::kDataLoss, StrCat("record version ", version, " is not known"));
  }
  T record;
  Fields(reader, record);
  if (!failure.empty()) return Error(Code::kDataLoss, StrCat("record member ", failure));
  return record;
}

}  // namespace

std::string Encode(const SandboxRecord& record) { return EncodeRecord(record); }
std::string Encode(const ContainerRecord& record) { return EncodeRecord(record); }
std::string Encode(const SandboxConfig& config) { return Dump(Writer::From(config)); }
std::string Encode(const ContainerConfig& config) { return Dump(Writer::From(config)); }
std::string Encode(const LinuxResources& resources) { return Dump(Writer::From(resources)); }

Result<SandboxRecord> DecodeSandbox(std::string_view text) {
  return DecodeRecord<SandboxRecord>(text);
}
Result<ContainerRecord> DecodeContainer(std::string_view text) {
  return DecodeRecord<ContainerRecord>(text);
}

}  // namespace berth::pod

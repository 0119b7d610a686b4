// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/strings.h"
#include "oci/cni.h"
#include "oci/json_internal.h"

namespace berth::oci {

namespace {

constexpr JsonLimits kResultLimits{.max_bytes = kMaxCniResultBytes};
constexpr int64_t kMaxUint32 = std::numeric_limits<uint32_t>::max();

// The number of bits of an address; 0 when the text is none. Texts from JSON hold no NUL
// (CheckJson).
int AddressBits(const std::string& text) {
  in6_addr buffer;
  if (inet_pton(AF_INET, text.c_str(), &buffer) == 1) return 32;
  return inet_pton(AF_INET6, text.c_str(), &buffer) == 1 ? 128 : 0;
}

Result<std::string> ReadCidr(const JsonReader& json) {
  std::string text = TRY(json.String());
  size_t slash = text.find('/');
  int bits = slash == std::string::npos ? 0 : AddressBits(text.substr(0, slash));
  if (bits == 0 || !ParseInt(std::string_view(text).substr(slash + 1), 0, bits, "prefix")) {
    return json.Fail(StrCat(Quote(text, 64), " is not an address with a prefix length"));
  }
  return text;
}

Result<std::string> ReadOptionalAddress(const JsonReader& object, std::string_view key) {
  auto json = TRY(object.Optional(key));
  if (!json) return std::string();
  std::string text = TRY(json->String());
  if (!text.empty() && AddressBits(text) == 0) {
    return json->Fail(StrCat(Quote(text, 64), " is not an address"));
  }
  return text;
}

Result<std::vector<JsonReader>> OptionalElements(const JsonReader& object, std::string_view key) {
  auto json = TRY(object.Optional(key));
  if (!json) return std::vector<JsonReader>();
  return json->Elements(kMaxCniListEntries);
}

Result<CniInterface> ReadInterface(const JsonReader& json) {
  CniInterface out;
  out.name = TRY(json.RequiredString("name"));
  out.mac = TRY(json.OptionalString("mac"));
  out.sandbox = TRY(json.OptionalString("sandbox"));
  out.socket_path = TRY(json.OptionalString("socketPath"));
  out.pci_id = TRY(json.OptionalString("pciID"));
  if (auto mtu = TRY(json.Optional("mtu"))) {
    out.mtu = static_cast<uint32_t>(TRY(mtu->Int(0, kMaxUint32)));
  }
  return out;
}

Result<CniIp> ReadIp(const JsonReader& json, size_t interfaces) {
  CniIp out;
  out.address = TRY(ReadCidr(TRY(json.Required("address"))));
  out.gateway = TRY(ReadOptionalAddress(json, "gateway"));
  if (auto index = TRY(json.Optional("interface"))) {
    auto number = static_cast<size_t>(TRY(index->Int(0, kMaxUint32)));
    if (number >= interfaces) {
      return index->Fail(StrCat("no interface ", number, " among ", interfaces));
    }
    out.interface = number;
  }
  return out;
}

Result<CniDns> ReadDns(const JsonReader& json) {
  CniDns out;
  out.nameservers = TRY(json.OptionalStrings("nameservers", kMaxCniListEntries));
  out.domain = TRY(json.OptionalString("domain"));
  out.search = TRY(json.OptionalStrings("search", kMaxCniListEntries));
  out.options = TRY(json.OptionalStrings("options", kMaxCniListEntries));
  return out;
}

Result<std::string> ReadVersion(const JsonReader& root, std::string_view fallback) {
  std::string version = TRY(root.OptionalString("cniVersion"));
  if (version.empty()) version = fallback;
  if (IsSupportedCniVersion(version)) return version;
  return Error(Code::kInvalidArgument,
               StrCat("cniVersion: ", Quote(version, 32), " is not supported"));
}

Result<CniResult> ReadResult(std::string_view text, std::string_view expected_version) {
  Json tree = TRY(ParseJson(text, kResultLimits, "document"));
  JsonReader root(tree);
  CniResult out;
  out.cni_version = TRY(ReadVersion(root, expected_version));
  for (const JsonReader& json : TRY(OptionalElements(root, "interfaces"))) {
    out.interfaces.push_back(TRY(ReadInterface(json)));
  }
  for (const JsonReader& json : TRY(OptionalElements(root, "ips"))) {
    out.ips.push_back(TRY(ReadIp(json, out.interfaces.size())));
  }
  for (const JsonReader& json : TRY(OptionalElements(root, "routes"))) {
    CniRoute& route = out.routes.emplace_back();
    route.dst = TRY(ReadCidr(TRY(json.Required("dst"))));
    route.gw = TRY(ReadOptionalAddress(json, "gw"));
  }
  if (auto dns = TRY(root.Optional("dns"))) out.dns = TRY(ReadDns(*dns));
  out.raw = text;
  return out;
}

Result<CniError> ReadError(std::string_view text) {
  Json tree = TRY(ParseJson(text, kResultLimits, "document"));
  JsonReader root(tree);
  CniError out;
  out.code = static_cast<uint32_t>(TRY(TRY(root.Required("code")).Int(0, kMaxUint32)));
  out.msg = TRY(root.OptionalString("msg"));
  out.details = TRY(root.OptionalString("details"));
  out.cni_version = TRY(root.OptionalString("cniVersion"));
  return out;
}

Result<CniVersionInfo> ReadVersionInfo(std::string_view text) {
  Json tree = TRY(ParseJson(text, kResultLimits, "document"));
  JsonReader root(tree);
  CniVersionInfo out;
  out.cni_version = TRY(root.OptionalString("cniVersion"));
  out.supported_versions = TRY(TRY(root.Required("supportedVersions")).Strings(kMaxCniListEntries));
  return out;
}

Code CodeOfCniError(uint32_t code) {
  switch (code) {
    case 1:
    case 2:
    case 7:
      return Code::kFailedPrecondition;
    case 3:
      return Code::kNotFound;
    case 11:
    case 50:
    case 51:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

Result<CniResult> ParseCniResult(std::string_view text, std::string_view expected_version) {
  return TRY(ReadResult(text, expected_version), "cni result");
}

std::vector<std::string> PodIps(const CniResult& result) {
  std::vector<std::string> out;
  for (const CniIp& ip : result.ips) {
    if (ip.interface && (*ip.interface >= result.interfaces.size() ||
                         result.interfaces[*ip.interface].sandbox.empty())) {
      continue;
    }
    std::string address = ip.address.substr(0, ip.address.find('/'));
    if (std::find(out.begin(), out.end(), address) == out.end()) out.push_back(std::move(address));
  }
  return out;
}

Result<CniError> ParseCniError(std::string_view text) { return TRY(ReadError(text), "cni error"); }

Error CniErrorToError(const CniError& error, std::string_view plugin) {
  constexpr size_t kShown = 1024;
  std::string text = StrCat("cni plugin ", plugin, ": ",
                            error.msg.empty() ? "no message" : Quote(error.msg, kShown));
  if (!error.details.empty()) text += StrCat(": ", Quote(error.details, kShown));
  return Error(CodeOfCniError(error.code), StrCat(text, " (CNI code ", error.code, ")"));
}

Result<CniVersionInfo> ParseCniVersionInfo(std::string_view text) {
  return TRY(ReadVersionInfo(text), "cni version");
}

}  // namespace berth::oci

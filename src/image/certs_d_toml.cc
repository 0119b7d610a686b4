// SPDX-License-Identifier: Apache-2.0
// hosts.toml: https://github.com/containerd/containerd/blob/main/docs/hosts.md
#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <tuple>

#include "base/strings.h"
#include "image/certs_d.h"
#include "oci/toml.h"
#include "oci/toml_library.h"

namespace berth::image {

namespace {

constexpr size_t kMaxClientPairs = 16;

struct Unit {
  std::string_view name;
  double milliseconds;
};
constexpr Unit kUnits[] = {{"ns", 1e-6}, {"us", 1e-3}, {"\u00b5s", 1e-3}, {"\u03bcs", 1e-3},
                           {"ms", 1},    {"s", 1e3},   {"m", 60e3},       {"h", 3600e3}};

Error Bad(std::string_view key, std::string_view what) {
  return Error(Code::kFailedPrecondition, StrCat("hosts.toml: ", key, ": ", what));
}

Result<std::string> String(const toml::node& node, std::string_view key) {
  if (const auto* text = node.as_string()) return text->get();
  return Bad(key, "not a string");
}

// A string or a list of strings.
Result<std::vector<std::string>> Strings(const toml::node& node, std::string_view key) {
  std::vector<std::string> out;
  if (node.is_string()) {
    out.push_back(TRY(String(node, key)));
    return out;
  }
  const auto* list = node.as_array();
  if (list == nullptr) return Bad(key, "neither a string nor a list of strings");
  for (const toml::node& item : *list) out.push_back(TRY(String(item, key)));
  return out;
}

Result<bool> Boolean(const toml::table& table, std::string_view key) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return false;
  if (const auto* value = node->as_boolean()) return value->get();
  return Bad(key, "not true or false");
}

// The operator's own configuration may name files anywhere.
Result<std::string> ReadFileOf(const os::DirFd& dir, const std::string& name) {
  if (!name.starts_with('/')) return dir.ReadFile(name, kMaxPem, os::Resolve::kInRoot);
  const size_t slash = name.rfind('/');
  const auto parent = TRY(os::DirFd::OpenTrusted(slash == 0 ? "/" : name.substr(0, slash)), name);
  return parent.ReadFile(name.substr(slash + 1), kMaxPem, os::Resolve::kInRoot);
}

Result<> ReadCapabilities(const toml::table& table, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("capabilities");
  if (node == nullptr) return Ok();
  if (!node->is_array()) return Bad("capabilities", "not a list");
  endpoint.pull = endpoint.resolve = false;
  for (const std::string& name : TRY(Strings(*node, "capabilities"))) {
    if (name == "pull") {
      endpoint.pull = true;
    } else if (name == "resolve") {
      endpoint.resolve = true;
    } else if (name != "push" && name != "referrers") {
      return Bad("capabilities", StrCat("unknown: ", Quote(name)));
    }
  }
  return Ok();
}

Result<> ReadCa(const toml::table& table, const os::DirFd& dir, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("ca");
  if (node == nullptr) return Ok();
  for (const std::string& name : TRY(Strings(*node, "ca"))) {
    endpoint.ca_pem += TRY(ReadFileOf(dir, name), "hosts.toml: ca") + "\n";
  }
  if (endpoint.ca_pem.size() > kMaxPem) return Bad("ca", "certificates larger than 1 MiB");
  return Ok();
}

// One file with both, or a certificate and its key.
Result<> ReadPair(const toml::node& node, const os::DirFd& dir, RegistryEndpoint& endpoint) {
  const std::vector<std::string> files = TRY(Strings(node, "client"));
  if (files.empty() || files.size() > 2) return Bad("client", "not one certificate and its key");
  std::string cert = TRY(ReadFileOf(dir, files.front()), "hosts.toml: client");
  std::string key = TRY(ReadFileOf(dir, files.back()), "hosts.toml: client");
  if (!endpoint.client_cert_pem.empty()) return Ok();
  endpoint.client_cert_pem = std::move(cert);
  endpoint.client_key_pem = std::move(key);
  return Ok();
}

// client = "both.pem", or a list of such and of pairs: ["both.pem", ["cert.pem", "key.pem"]]. All must
// be there; the first is the one that is shown, because a connection has one.
Result<> ReadClient(const toml::table& table, const os::DirFd& dir, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("client");
  if (node == nullptr) return Ok();
  const auto* list = node->as_array();
  if (list == nullptr) return ReadPair(*node, dir, endpoint);
  if (list->empty() || list->size() > kMaxClientPairs)
    return Bad("client", StrCat("not 1 to ", kMaxClientPairs, " certificates"));
  for (const toml::node& pair : *list) TRY(ReadPair(pair, dir, endpoint));
  return Ok();
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool IsFieldValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

Result<> ReadHeaders(const toml::table& table, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("header");
  if (node == nullptr) return Ok();
  const auto* headers = node->as_table();
  if (headers == nullptr) return Bad("header", "not a table");
  for (const auto& [name, value] : *headers) {
    if (!IsToken(name.str())) return Bad("header", "bad name");
    for (const std::string& text : TRY(Strings(value, "header"))) {
      if (!IsFieldValue(text)) return Bad("header", "bad value");
      endpoint.headers.emplace_back(std::string(name.str()), text);
    }
  }
  return Ok();
}

// "1m30s", "1.5s", "500ms": what https://pkg.go.dev/time#ParseDuration takes, whole milliseconds of it.
// Zero, a sign and more than a day are no time to wait.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  constexpr double kDay = 86'400'000;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0) || text.front() == '-' || number > 1e15) return {};
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t letters = std::min(text.find_first_of("0123456789."), text.size());
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) {
      return u.name == text.substr(0, letters);
    });
    if (unit == std::end(kUnits)) return {};
    text.remove_prefix(letters);
    total += number * unit->milliseconds;
  }
  if (!(total >= 1) || total > kDay) return {};
  return std::chrono::milliseconds(static_cast<int64_t>(total));
}

Result<> ReadDialTimeout(const toml::table& table, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("dial_timeout");
  if (node == nullptr) return Ok();
  const std::string text = TRY(String(*node, "dial_timeout"));
  const auto time = ParseDuration(text);
  if (!time) return Bad("dial_timeout", StrCat("not a time: ", Quote(text)));
  endpoint.dial_timeout = *time;
  return Ok();
}

// Berth's own key: other servers may see the credentials when this one names them as its token
// service.
Result<> ReadTokenHosts(const toml::table& table, RegistryEndpoint& endpoint) {
  const toml::node* node = table.get("token_hosts");
  if (node == nullptr) return Ok();
  for (const std::string& name : TRY(Strings(*node, "token_hosts"))) {
    if (name.empty() || name.size() > 255 || name.find_first_of("/:@*? \t") != std::string::npos)
      return Bad("token_hosts", StrCat("not a host's name: ", Quote(name)));
    endpoint.token_hosts.push_back(ToLower(name));
  }
  if (endpoint.token_hosts.size() > kMaxTokenHosts) return Bad("token_hosts", "more than 16");
  return Ok();
}

// "https://host:port/path" or "host:port" into the endpoint.
Result<> ReadServer(std::string_view text, bool override_path, RegistryEndpoint& endpoint) {
  std::string_view rest = text;
  endpoint.scheme = "https";
  if (const size_t at = rest.find("://"); at != std::string_view::npos) {
    endpoint.scheme = ToLower(rest.substr(0, at));
    rest.remove_prefix(at + 3);
  }
  if (endpoint.scheme != "https" && endpoint.scheme != "http") {
    return Bad(Quote(text), "neither https nor http");
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  endpoint.host = rest.substr(0, slash);
  endpoint.path = rest.substr(slash);
  // '@' would be userinfo: credentials do not belong in this file's URLs.
  if (!IsFieldValue(rest) || endpoint.host.empty() ||
      endpoint.host.find_first_of("@?#\\ \t%") != std::string::npos ||
      endpoint.path.find_first_of("?#\\ \t") != std::string::npos) {
    return Bad(Quote(text.substr(text.rfind('@') + 1)), "not a server");
  }
  while (endpoint.path.ends_with('/')) endpoint.path.pop_back();
  if (!override_path && !endpoint.path.ends_with("/v2")) endpoint.path += "/v2";
  return Ok();
}

Result<RegistryEndpoint> ReadEndpoint(const toml::table& table, std::string_view server,
                                      const os::DirFd& dir) {
  RegistryEndpoint endpoint;
  TRY(ReadServer(server, TRY(Boolean(table, "override_path")), endpoint));
  TRY(ReadTokenHosts(table, endpoint), server);
  TRY(ReadCapabilities(table, endpoint), server);
  endpoint.skip_verify = TRY(Boolean(table, "skip_verify"), server);
  TRY(ReadCa(table, dir, endpoint), server);
  TRY(ReadClient(table, dir, endpoint), server);
  TRY(ReadHeaders(table, endpoint), server);
  TRY(ReadDialTimeout(table, endpoint), server);
  return endpoint;
}

// [host."..."] tables in the order of the file; toml++ keeps them sorted by name.
Result<std::vector<std::pair<std::string, const toml::table*>>> HostTables(
    const toml::table& root) {
  std::vector<std::tuple<uint32_t, uint32_t, std::string, const toml::table*>> found;
  if (const toml::node* node = root.get("host")) {
    const auto* hosts = node->as_table();
    if (hosts == nullptr) return Bad("host", "not a table");
    for (const auto& [name, value] : *hosts) {
      const auto* table = value.as_table();
      if (table == nullptr) return Bad(Quote(name.str()), "not a table");
      const auto& at = name.source().begin;
      found.emplace_back(at.line, at.column, std::string(name.str()), table);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<std::pair<std::string, const toml::table*>> out;
  out.reserve(found.size());
  for (auto& [line, column, name, table] : found) out.emplace_back(std::move(name), table);
  return out;
}

}  // namespace

Result<std::vector<RegistryEndpoint>> ParseHostsToml(std::string_view text,
                                                     const std::string& domain,
                                                     const os::DirFd& dir) {
  if (Result<> checked = oci::CheckToml(text); !checked)
    return std::move(checked.error()).Wrap("hosts.toml").WithCode(Code::kFailedPrecondition);
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Bad(StrCat("line ", error.source().begin.line), error.description());
  }
  const toml::table& root = parsed.table();
  std::vector<RegistryEndpoint> endpoints;
  for (const auto& [name, table] : TRY(HostTables(root))) {
    endpoints.push_back(TRY(ReadEndpoint(*table, name, dir)));
  }
  // What the top of the file says besides `server` is about the registry itself, named there or
  // not.
  const RegistryEndpoint self = DefaultEndpoint(domain);
  std::string server = StrCat(self.scheme, "://", self.host);
  if (const toml::node* node = root.get("server")) server = TRY(String(*node, "server"));
  endpoints.push_back(TRY(ReadEndpoint(root, server, dir)));
  endpoints.back().origin = true;
  // A [host] that is the registry itself under its own name is no mirror.
  const RegistryEndpoint& last = endpoints.back();
  for (RegistryEndpoint& e : endpoints) {
    e.origin = e.origin || (e.host == last.host && e.scheme == last.scheme);
  }
  if (endpoints.size() > kMaxEndpoints) return Bad("host", "more than 31 mirrors");
  return endpoints;
}

}  // namespace berth::image

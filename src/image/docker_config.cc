// SPDX-License-Identifier: Apache-2.0
#include "image/docker_config.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "image/fetch_protocol.h"
#include "image/registry_host.h"
#include "oci/json.h"
#include "os/dir_fd.h"
#include "os/run.h"

namespace berth::image {

namespace {

using Json = nlohmann::json;

constexpr auto kHelperTime = std::chrono::seconds(60);
// Where programs of the operator are; the environment of the daemon is not handed on.
constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kFolders[] = {"/usr/local/bin/", "/usr/bin/", "/opt/bin/"};

Result<Json> Parse(std::string_view text, size_t limit) {
  const oci::JsonLimits limits{.max_bytes = limit,
                               .max_depth = 16,
                               .max_values = 1U << 16,
                               .duplicate_keys = oci::DuplicateKeys::kLastWins};
  // The message of a parse error would quote what may be a secret: only its place is told.
  TRY(oci::CheckJson(text, limits, "json"));
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(Code::kInvalidArgument, "not a JSON object");
  return json;
}

std::string Text(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : "";
}

// The member of a table by server name whose key is for `domain`.
const Json* Entry(const Json& config, const char* table, const std::string& domain) {
  const auto at = config.find(table);
  if (at == config.end() || !at->is_object()) return nullptr;
  for (const auto& [server, value] : at->items())
    if (RegistryOfAddress(server) == CanonicalRegistry(domain)) return &value;
  return nullptr;
}

Result<std::string> FindHelper(const std::string& name) {
  if (name.empty() || name.size() > 64 ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789-_.") != std::string::npos)
    return Error(Code::kInvalidArgument,
                 StrCat("credential helper ", Quote(name, 64), ": bad name"));
  for (const char* folder : kFolders) {
    auto dir = os::DirFd::OpenTrusted(folder);
    const std::string program = StrCat("docker-credential-", name);
    if (dir && dir->Stat(program)) return StrCat(folder, program);
  }
  return Error(Code::kNotFound, StrCat("docker-credential-", name,
                                       " is neither in /usr/local/bin, /usr/bin nor /opt/bin"));
}

Result<Credentials> AskHelper(const std::string& name, const std::string& domain,
                              const std::stop_token& cancel) {
  os::RunOptions run;
  run.spawn.path = TRY(FindHelper(name));
  run.spawn.args = {run.spawn.path, "get"};
  run.spawn.env = {kPath, "HOME=/root"};
  run.input = domain == "docker.io" ? "https://index.docker.io/v1/" : domain;
  run.timeout = kHelperTime;
  run.output_limit = kMaxHelperAnswer;
  os::RunOutput output = TRY(os::Run(run, cancel), run.spawn.path);
  if (!output.status.ok()) {
    // The helpers' common word for "I have none", on their standard output.
    const bool none = output.out.find("credentials not found") != std::string::npos;
    fetch::Wipe(output.out);
    if (none) return Credentials{};
    return Error(Code::kFailedPrecondition,
                 StrCat(run.spawn.path, ": ", os::Describe(output.status), ": ",
                        fetch::CleanText(output.err).substr(0, 256)));
  }
  auto parsed = ParseHelperAnswer(output.out, domain);
  fetch::Wipe(output.out);
  return TRY(std::move(parsed), run.spawn.path);
}

Credentials FromAuth(const Json& entry, const std::string& domain) {
  Credentials c;
  c.username = Text(entry, "username");
  c.password = Text(entry, "password");
  c.auth = Text(entry, "auth");
  c.identity_token = Text(entry, "identitytoken");
  c.registry_token = Text(entry, "registrytoken");
  c.server_address = domain;
  return c;
}

Result<Credentials> FromConfig(const std::string& text, const std::string& domain,
                               const std::stop_token& cancel) {
  const Json config = TRY(Parse(text, kMaxDockerConfig));
  if (const Json* helper = Entry(config, "credHelpers", domain)) {
    if (!helper->is_string()) return Error(Code::kInvalidArgument, "credHelpers: not a text");
    return AskHelper(helper->get<std::string>(), domain, cancel);
  }
  const std::string store = Text(config, "credsStore");
  if (const Json* entry = Entry(config, "auths", domain); entry != nullptr && entry->is_object()) {
    Credentials found = FromAuth(*entry, domain);
    // With a store the entry is empty: it only says that there was a login.
    if (!IsEmpty(found) || store.empty()) return found;
  }
  if (store.empty()) return Credentials{};
  return AskHelper(store, domain, cancel);
}

}  // namespace

bool IsEmpty(const Credentials& c) {
  return c.username.empty() && c.password.empty() && c.auth.empty() && c.identity_token.empty() &&
         c.registry_token.empty();
}

Result<Credentials> ParseHelperAnswer(std::string_view text, const std::string& domain) {
  const Json json = TRY(Parse(text, kMaxHelperAnswer), "answer");
  Credentials c;
  c.username = Text(json, "Username");
  c.server_address = domain;
  std::string secret = Text(json, "Secret");
  if (c.username.empty() || secret.empty())
    return Error(Code::kInvalidArgument, "answer without Username or Secret");
  if (c.username == "<token>") {
    c.username.clear();
    c.identity_token = std::move(secret);
  } else {
    c.password = std::move(secret);
  }
  return c;
}

Result<Credentials> FindDockerCredentials(const std::vector<std::string>& files,
                                          const std::string& domain,
                                          const std::stop_token& cancel) {
  for (const std::string& file : files) {
    const size_t slash = file.rfind('/');
    auto dir = os::DirFd::OpenTrusted(slash == std::string::npos ? "." : file.substr(0, slash + 1));
    if (!dir && dir.error().code() == Code::kNotFound) continue;
    if (!dir) return std::move(dir.error()).WithCode(Code::kFailedPrecondition);
    auto text = dir->ReadFile(file.substr(slash + 1), kMaxDockerConfig, os::Resolve::kInRoot);
    if (!text && text.error().code() == Code::kNotFound) continue;
    if (!text) return std::move(text.error()).Wrap(file).WithCode(Code::kFailedPrecondition);
    auto found = FromConfig(*text, domain, cancel);
    fetch::Wipe(*text);
    if (!found && found.error().code() == Code::kCancelled) return found;
    if (!found) return std::move(found.error()).Wrap(file).WithCode(Code::kFailedPrecondition);
    if (!IsEmpty(*found)) return found;
  }
  return Credentials{};
}

}  // namespace berth::image

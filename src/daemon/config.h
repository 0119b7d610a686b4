// SPDX-License-Identifier: Apache-2.0
// The operator's configuration: one table of keys gives the parser, the defaults, docs/config.md
// and the error for an unknown key. A plain value; read once at the start by the daemon, which
// gives each module only its own part.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::daemon {

struct HandlerConfig {
  std::string path;               // absolute, or a name that is looked for in the usual places
  std::vector<std::string> args;  // global options put before the verb
  std::vector<std::string> allowed_annotations;
  bool implicit = false;  // there without being named, so it may be missing
};

struct Config {
  std::string root = "/var/lib/berth";
  std::string state = "/run/berth";
  std::string listen = "unix:///run/berth/berth.sock";
  std::string log_level = "info";
  std::string libexec_dir;  // "": where berthd itself is

  std::string default_handler = "crun";
  std::string cgroup_driver = "auto";
  std::string cgroup_parent = "/berth";
  std::map<std::string, HandlerConfig> handlers;
  int64_t create_timeout_s = 120;
  std::vector<std::string> cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi"};

  std::vector<std::string> cni_conf_dirs = {"/etc/cni/net.d"};
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"};
  std::string cni_conf_template;
  std::string netns_dir = "/run/netns";
  bool default_network = true;
  std::string default_bridge = "berth0";
  std::string default_subnet;
  bool native_plugins = true;
  int64_t cni_timeout_s = 60;
  int64_t cni_parallel = 8;

  std::string stream_address = "127.0.0.1";
  int64_t stream_port = 0;
  int64_t stream_uid = 65534;
  std::string stream_tls_cert;
  std::string stream_tls_key;
  std::string stream_tls_client_ca;
  int64_t stream_creation_timeout_s = 30;
  int64_t stream_idle_timeout_s = 4 * 3600;

  std::string cadvisor = "auto";

  std::vector<std::string> certs_dirs = {"/etc/berth/certs.d", "/etc/containerd/certs.d"};
  std::vector<std::string> docker_configs;
  std::string http_proxy;
  std::string https_proxy;
  std::string no_proxy;
  std::string signature_policy;
  std::vector<std::string> pinned_images;
  int64_t max_store_bytes = 0;
  int64_t fetch_uid = 65534;
  int64_t parallel_layers = 3;
  int64_t progress_timeout_s = 300;
  int64_t max_layer_bytes = int64_t{64} << 30;
  int64_t max_layer_entries = 2'000'000;
};

// Reads TOML text over `config`. InvalidArgument names file, line and key: malformed text, a key of
// the wrong type or out of range, an unknown key (with the nearest known one).
Result<> ReadConfig(std::string_view text, std::string_view file, Config* config);
// The file (missing is an error only if `required`), then conf.d/*.toml beside it in the order of
// names. Handlers that nobody configured are added: crun and runc.
Result<Config> LoadConfig(const std::string& path, bool required);
void AddDefaultHandlers(Config* config);

// A complete file with every key, its default and its meaning.
std::string DefaultConfigText();
// docs/config.md.
std::string ConfigDocumentation();
// For `crictl info`: what is in force.
std::string ConfigJson(const Config& config);

}  // namespace berth::daemon

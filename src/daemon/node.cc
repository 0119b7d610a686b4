// SPDX-License-Identifier: Apache-2.0
#include "daemon/node.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "daemon/handlers.h"
#include "image/image_store.h"
#include "image/process_fetcher.h"
#include "os/mount.h"
#include "pod/sqlite_records.h"
#include "runtime/apparmor.h"
#include "runtime/cni_network.h"
#include "runtime/cni_template.h"
#include "runtime/linux_host.h"
#include "runtime/linux_stats.h"
#include "runtime/monitor_runtime.h"

namespace berth::daemon {

namespace {

constexpr std::chrono::seconds kStreamPatience{5};
// Of an answer to cAdvisor, for what is still being made: it asks for one that it did not get a minute later.
constexpr std::chrono::milliseconds kCadvisorPatience{5000};

// The usual variables, in both spellings.
std::string OrEnvironment(const std::string& configured, const char* upper, const char* lower) {
  if (!configured.empty()) return configured;
  for (const char* name : {upper, lower})
    if (const char* value = std::getenv(name)) return value;
  return "";
}

Result<std::string> SocketPath(const std::string& listen) {
  constexpr std::string_view kScheme = "unix://";
  std::string path = listen.starts_with(kScheme) ? listen.substr(kScheme.size()) : listen;
  if (path.empty() || path[0] != '/') {
    return Error(Code::kInvalidArgument,
                 StrCat("listen ", Quote(listen), ": unix:///absolute/path is needed"));
  }
  return path;
}

// The directory of the socket may lie outside the state directory; the kubelet's user must reach
// it.
Result<> MakeSocketDirectory(const std::string& socket_path) {
  std::string dir = socket_path.substr(0, socket_path.rfind('/'));
  if (!dir.empty()) TRY(os::DirFd::MakeTrusted(dir, 0711), "socket directory");
  return Ok();
}

// One berthd at a time; the lock goes with the process, however it ends.
Result<os::Fd> LockDirectory(const os::DirFd& dir, const std::string& what) {
  os::Fd lock = TRY(dir.Open("berthd.lock", O_RDWR | O_CREAT, 0600), what);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return ErrnoError(StrCat("lock ", what));
  return Error(Code::kFailedPrecondition, StrCat(what, ": another berthd uses it"));
}

// Names of network namespaces begin so: several berthds may pin theirs in one directory, and each takes away only what
// has its own beginning. FNV-1a of the root directory's path.
std::string NetNsPrefix(const std::string& root) {
  uint32_t hash = 2166136261U;
  for (char c : root) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((hash >> shift) & 0xff);
  return StrCat("berth-", HexEncode(bytes), "-");
}

// Empty without a template.
Result<std::function<Result<>(const std::string&)>> MakeCniTemplate(const Config& config) {
  std::function<Result<>(const std::string&)> none;
  if (config.cni_conf_template.empty()) return none;
  if (config.cni_conf_template[0] != '/' || config.cni_conf_dirs.empty()) {
    return Error(
        Code::kInvalidArgument,
        "network.conf_template: an absolute path, and one of network.conf_dirs, are needed");
  }
  auto made = std::make_shared<runtime::CniTemplate>(config.cni_conf_template,
                                                     config.cni_conf_dirs.front());
  return [made](const std::string& cidr) { return made->SetPodCidr(cidr); };
}

}  // namespace

Result<> Node::OpenDirectories() {
  // 0700 and 0711: no user of the host may reach setuid programs of layers (CVE-2021-41103,
  // CVE-2024-25621).
  root_ = TRY(os::DirFd::MakeTrusted(config_.root, 0700), "root directory");
  root_lock_ = TRY(LockDirectory(root_, StrCat("root ", config_.root)));
  // The same for the state: whoever has it takes pods that its own records do not know for leftovers.
  os::DirFd state = TRY(os::DirFd::MakeTrusted(config_.state, 0711), "state directory");
  state_lock_ = TRY(LockDirectory(state, StrCat("state ", config_.state)));
  TRY(os::MakePrivateMountPoint(config_.state), "state directory");
  // Opened after the mount: a descriptor from before would show what lies beneath.
  state_ = TRY(os::DirFd::OpenTrusted(config_.state), "state directory");
  return Ok();
}

Result<> Node::OpenParts(const std::string& libexec) {
  runtime::LinuxHostOptions host;
  host.cdi_dirs = config_.cdi_spec_dirs;
  host_ = TRY(runtime::LinuxHost::Open(std::move(host)), "host");
  if (host_->Facts().has_apparmor) {
    Result<> loaded = runtime::LoadDefaultApparmorProfile("/sbin/apparmor_parser");
    if (!loaded) LogWarn(StrCat("default AppArmor profile: ", loaded.error().message()));
  }
  systemd_cgroup_ = config_.cgroup_driver == "systemd" ||
                    (config_.cgroup_driver == "auto" && host_->Facts().cgroup_v2 &&
                     ::access("/run/systemd/system", F_OK) == 0);

  image::FetchSettings fetch;
  fetch.program = libexec + "/berth-fetch";
  fetch.uid = static_cast<uid_t>(config_.fetch_uid);
  fetch.gid = static_cast<gid_t>(config_.fetch_uid);
  fetch.certs_d = config_.certs_dirs;
  fetch.stall_timeout = std::chrono::seconds(config_.progress_timeout_s);
  fetch.docker_configs = config_.docker_configs;
  fetch.proxy = {.http = OrEnvironment(config_.http_proxy, "HTTP_PROXY", "http_proxy"),
                 .https = OrEnvironment(config_.https_proxy, "HTTPS_PROXY", "https_proxy"),
                 .none = OrEnvironment(config_.no_proxy, "NO_PROXY", "no_proxy")};
  image::ImageStoreOptions store;
  store.pinned = config_.pinned_images;
  store.signature_policy = config_.signature_policy;
  store.max_bytes = static_cast<uint64_t>(config_.max_store_bytes);
  store.root = config_.root;
  store.parallel_layers = static_cast<size_t>(config_.parallel_layers);
  store.budget = {static_cast<uint64_t>(config_.max_layer_bytes),
                  static_cast<uint64_t>(config_.max_layer_entries)};
  fetcher_ = std::make_unique<image::ProcessFetcher>(std::move(fetch));
  unpacker_ = std::make_unique<image::ProcessUnpacker>(libexec + "/berth-unpack");
  images_ = TRY(image::ImageStore::Open(std::move(store), *fetcher_, *unpacker_), "image store");

  runtime::CniNetworkOptions network;
  network.conf_dirs = config_.cni_conf_dirs;
  network.bin_dirs = config_.cni_bin_dirs;
  network.native_program = libexec + "/berth-cni";
  network.native_plugins = config_.native_plugins;
  network.state_dir = config_.root + "/network";
  network.netns_dir = config_.netns_dir;
  network.netns_prefix = NetNsPrefix(config_.root);
  network.plugin_timeout = std::chrono::seconds(config_.cni_timeout_s);
  network.max_chains = static_cast<int>(config_.cni_parallel);
  network.default_network.enabled = config_.default_network;
  network.default_network.bridge = config_.default_bridge;
  network.default_network.ipv4_subnet = config_.default_subnet;
  network_ = TRY(runtime::CniNetwork::Open(std::move(network)), "network");

  ResolvedHandlers handlers = TRY(ResolveHandlers(config_));
  runtime::MonitorRuntimeConfig runtime;
  runtime.state_dir = config_.state;
  runtime.monitor_path = libexec + "/berth-monitor";
  // A test's fail points are the monitors' too.
  if (const char* points = std::getenv(kFailPointsVariable))
    runtime.monitor_env = {StrCat(kFailPointsVariable, "=", points)};
  runtime.handlers = handlers.handlers;
  runtime.default_handler = handlers.default_name;
  runtime.systemd_cgroup = systemd_cgroup_;
  runtime.try_user_ns = [this](int user_ns) { return images_->TryIdShift(user_ns); };
  runtime.call_timeout = std::chrono::seconds(config_.create_timeout_s);
  config_.default_handler = handlers.default_name;
  runtime_ = TRY(runtime::MonitorRuntime::Make(std::move(runtime)), "runtime");
  stats_ = TRY(runtime::LinuxStats::Open({}, clock_), "statistics");
  records_ = TRY(pod::SqliteRecords::Open(config_.root + "/berth.db"), "records");
  return Ok();
}

// What cAdvisor is told is asked of berth-stream, and it asks nobody while CRI-O is there.
Result<> Node::OpenCadvisorSocket() {
  if (config_.cadvisor == "off") return Ok();
  const bool is_auto = config_.cadvisor == "auto";
  for (const char* crio : {"/usr/bin/crio", "/usr/local/bin/crio"}) {
    if (is_auto && ::access(crio, F_OK) == 0) {
      LogInfo(StrCat(crio, " is installed: cAdvisor is left to it (metrics.cadvisor)"));
      return Ok();
    }
  }
  const os::DirFd pod = TRY(root_.MakeOrOpenDir("pod", 0700), "pod");
  TRY(pod.MakeOrOpenDir("diff", 0700), "pod/diff");
  Result<os::Fd> socket = sessions::ListenForCadvisor(sessions::kCadvisorSocket);
  if (!socket && !is_auto) return std::move(socket.error());
  if (!socket) {
    LogWarn(StrCat(socket.error().message(), "; going on without (metrics.cadvisor)"));
    return Ok();
  }
  cadvisor_socket_ = std::move(*socket);
  for_cadvisor_ = true;
  return Ok();
}

Result<> Node::MakeEngine() {
  pod::EngineConfig engine;
  engine.systemd_cgroup = systemd_cgroup_;
  engine.default_cgroup_parent = config_.cgroup_parent;
  engine.cgroups_for_cadvisor = for_cadvisor_;
  engine.default_runtime_handler = config_.default_handler;
  for (const auto& [name, handler] : config_.handlers)
    engine.allowed_annotations[name] = handler.allowed_annotations;
  engine_ = std::make_unique<pod::Engine>(
      pod::Engine::Dependencies{*images_, *runtime_, *network_, *host_, *records_, clock_, *stats_},
      std::move(engine));
  return engine_->Recover();
}

Result<> Node::StartStreams(const std::string& libexec) {
  sessions::StreamServerOptions options;
  options.program = libexec + "/berth-stream";
  options.address = config_.stream_address;
  options.port = static_cast<int>(config_.stream_port);
  options.uid = static_cast<uid_t>(config_.stream_uid);
  options.gid = static_cast<gid_t>(config_.stream_uid);
  options.tls_cert = config_.stream_tls_cert;
  options.tls_key = config_.stream_tls_key;
  options.tls_client_ca = config_.stream_tls_client_ca;
  options.creation_timeout = std::chrono::seconds(config_.stream_creation_timeout_s);
  options.idle_timeout = std::chrono::seconds(config_.stream_idle_timeout_s);
  options.info_socket = cadvisor_socket_.get();
  options.view = {.root = config_.root, .patience = kCadvisorPatience};
  streams_ = TRY(sessions::StreamServer::Start(std::move(options), *engine_, clock_));
  // A kubelet that asks at once should find it; without it the rest works all the same.
  if (Result<> ready = streams_->WaitReady(kStreamPatience); !ready)
    LogWarn(StrCat("streaming: ", ready.error().message(), "; going on without"));
  return Ok();
}

void Node::Reload() { streams_->ReloadTls(); }

Result<> Node::Serve() {
  admin_ = TRY(api::admin::Server::Start(*images_, *images_, state_));
  std::string path = TRY(SocketPath(config_.listen));
  TRY(MakeSocketDirectory(path));
  api::Services services{*engine_,  *images_, *runtime_,       *network_,
                         *streams_, clock_,   systemd_cgroup_, ConfigJson(config_)};
  services.set_pod_cidr = TRY(MakeCniTemplate(config_));
  server_ = TRY(api::Server::Start(std::move(services), {.socket_path = path}));
  LogInfo(StrCat("serving CRI on ", path, ", root ", config_.root, ", state ", config_.state,
                 ", cgroup driver ", systemd_cgroup_ ? "systemd" : "cgroupfs"));
  return Ok();
}

Result<std::unique_ptr<Node>> Node::Start(const Config& config, const std::string& executable_dir) {
  std::unique_ptr<Node> node(new Node());
  node->config_ = config;
  std::string libexec = config.libexec_dir.empty() ? executable_dir : config.libexec_dir;
  TRY(node->OpenDirectories());
  TRY(node->OpenParts(libexec));
  TRY(node->OpenCadvisorSocket());
  TRY(node->MakeEngine(), "recover");
  TRY(node->StartStreams(libexec));
  TRY(node->Serve());
  return node;
}

Node::~Node() {
  server_.reset();
  admin_.reset();
  streams_.reset();
  bool empty = engine_ && engine_->ListPodSandbox({}).empty();
  engine_.reset();
  records_.reset();
  stats_.reset();
  runtime_.reset();
  network_.reset();
  images_.reset();
  if (!empty) return;
  state_ = os::DirFd();
  if (Result<> removed = os::RemoveMountPoint(config_.state); !removed) {
    LogWarn(StrCat("state directory: ", removed.error().message()));
  }
}

}  // namespace berth::daemon

// SPDX-License-Identifier: Apache-2.0
// Construction, and the calls about one container.
#include "runtime/monitor_runtime.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <future>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "oci/spec_json.h"
#include "os/cgroup.h"
#include "runtime/exec_sync.h"
#include "runtime/sandbox_files.h"

namespace berth::runtime {

namespace {

using monitor::Type;
using std::chrono::milliseconds;

constexpr milliseconds kGrace{10'000};  // the monitor's own time limit comes first

// The monitor's clock is ours.
void AddProgram(Trace& trace, const char* step, const monitor::ProgramTime& time) {
  trace.Add(step, Trace::Clock::time_point(std::chrono::nanoseconds(time.began_at)),
            std::chrono::microseconds(time.took_us), time.cpu_us);
}

}  // namespace

Result<> MonitorRuntime::CheckIds(const std::string& sandbox_id, const std::string& container_id) {
  for (const std::string* id : {&sandbox_id, &container_id}) {
    if (!monitor::IsPlainId(*id))
      return Error(Code::kInvalidArgument, StrCat("id ", Quote(*id), ": not an id"));
  }
  return Ok();
}

Result<std::unique_ptr<MonitorRuntime>> MonitorRuntime::Make(MonitorRuntimeConfig config) {
  for (OciHandler& handler : config.handlers) {
    if (config.systemd_cgroup) handler.args.push_back("--systemd-cgroup");
    if (handler.root.empty()) handler.root = StrCat(config.state_dir, "/runtime/", handler.name);
  }
  std::unique_ptr<MonitorRuntime> runtime(new MonitorRuntime(std::move(config)));
  const MonitorRuntimeConfig& own = runtime->config_;
  // Beside the trial of a user namespace: both run programs.
  auto handlers = std::async(std::launch::async | std::launch::deferred, OciHandlers::Make,
                             own.handlers, own.default_handler);
  Result<> user_ns = runtime->TryUserNs();
  runtime->handlers_ = TRY(handlers.get());
  // Made here and not by the OCI runtime, so that the first pod adds nothing that stays.
  for (const OciHandler& handler : own.handlers)
    TRY(os::DirFd::MakeTrusted(handler.root, 0700), "state directory");
  for (const HandlerInfo& info : runtime->handlers_.infos())
    if (!info.warning.empty()) LogWarn(StrCat("runtime handler ", info.name, ": ", info.warning));
  runtime->pods_dir_ =
      TRY(os::DirFd::MakeTrusted(StrCat(own.state_dir, "/pods"), 0711), "state directory");
  if (!user_ns) LogInfo(StrCat("no user namespaces: ", user_ns.error().message()));
  if (!user_ns) runtime->handlers_.ForbidUserNs();
  // Without cgroups there is nothing to leave; the OCI runtime will say so.
  Result<os::Cgroups> cgroups = os::Cgroups::Detect(own.cgroup_root);
  runtime->hybrid_cgroups_ = cgroups && cgroups->mode() == os::CgroupMode::kHybrid;
  runtime->loop_ = TRY(os::EventLoop::Make());
  runtime->thread_ = std::thread([loop = runtime->loop_.get()] {
    Result<> run = loop->Run();
    if (!run) LogError(StrCat("monitor connections: ", run.error().message()));
  });
  return runtime;
}

MonitorRuntime::~MonitorRuntime() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  auto state = state_.Lock();
  for (auto& [id, pod] : state->pods)
    if (pod.process.valid()) (void)pod.process.Detach();
}

void MonitorRuntime::SetEventSink(EventSink sink) { state_.Lock()->sink = std::move(sink); }

Result<std::string> MonitorRuntime::ResolveHandler(const std::string& handler) const {
  return TRY(handlers_.Resolve(handler))->name;
}

std::string MonitorRuntime::PodPath(const std::string& sandbox_id) const {
  return StrCat(config_.state_dir, "/pods/", sandbox_id);
}

std::string MonitorRuntime::RootfsPath(const std::string& sandbox_id,
                                       const std::string& container_id) const {
  return StrCat(PodPath(sandbox_id), "/", monitor::kContainersDir, "/", container_id, "/rootfs");
}

std::string MonitorRuntime::VolumePath(const std::string& sandbox_id,
                                       const std::string& container_id, size_t index) const {
  return StrCat(PodPath(sandbox_id), "/", monitor::kContainersDir, "/", container_id, "/",
                monitor::kVolumesDir, "/", index);
}

Result<std::shared_ptr<MonitorClient>> MonitorRuntime::FindClient(const std::string& sandbox_id) {
  {
    auto state = state_.Lock();
    auto found = state->pods.find(sandbox_id);
    if (found != state->pods.end()) return found->second.client;
  }
  Result<os::DirFd> pod = OpenPod(sandbox_id);
  if (!pod) return std::move(pod.error());
  return Error(Code::kUnavailable, StrCat("sandbox ", sandbox_id, ": its monitor is gone"));
}

Result<std::shared_ptr<MonitorClient>> MonitorRuntime::Client(const std::string& sandbox_id) {
  std::shared_ptr<MonitorClient> client = TRY(FindClient(sandbox_id));
  if (!client || client->hangs()) return MonitorHangs(sandbox_id);
  return client;
}

Result<> MonitorRuntime::PrepareBundle(const os::DirFd& pod, const CreateRequest& request) {
  os::DirFd all = TRY(pod.OpenDir(monitor::kContainersDir));
  os::DirFd bundle = TRY(all.MakeDir(request.container_id, 0711), "bundle");
  // What a user namespace's root must pass through, and no more.
  TRY(bundle.MakeDir("rootfs", 0755), "bundle");
  if (!request.volumes.empty()) {
    const os::DirFd volumes = TRY(bundle.MakeDir(monitor::kVolumesDir, 0711), "bundle");
    for (size_t i = 0; i < request.volumes.size(); ++i) {
      const std::string name = StrCat(i);
      if (request.volumes[i].directory)
        TRY(volumes.MakeDir(name, 0755), "bundle");
      else
        TRY(volumes.Open(name, O_WRONLY | O_CREAT | O_EXCL, 0644), "bundle");
    }
  }
  if (!request.record.empty()) TRY(bundle.WriteFile(kRecordFile, request.record, 0600));
  return bundle.WriteFile("config.json", TRY(BundleSpec(pod, request.spec_json)), 0600);
}

Result<std::string> MonitorRuntime::BundleSpec(const os::DirFd& pod, const std::string& spec_json) {
  const std::string handler = TRY(pod.ReadFile(kHandlerFile, 256), "handler of the pod");
  const auto& infos = handlers_.infos();
  // Others may act on any annotation, or take it for the container's own.
  const bool crun = std::any_of(infos.begin(), infos.end(), [&](const HandlerInfo& info) {
    return info.name == handler && info.version.starts_with("crun version ");
  });
  if (!crun) return spec_json;
  Result<oci::Spec> spec = oci::ParseSpec(spec_json);
  // What is no spec is the OCI runtime's to refuse.
  if (!spec || !spec->linux.seccomp) return spec_json;
  Result<std::shared_ptr<const std::string>> program = seccomp_programs_.Get(*spec->linux.seccomp);
  if (!program) {
    // crun has the rules themselves, and says what is wrong with them.
    LogDebug(program.error().message());
    return spec_json;
  }
  spec->annotations[kSeccompProgramAnnotation] = **program;
  return oci::ToJson(*spec);
}

Result<int> MonitorRuntime::Create(CreateRequest request) {
  TRY(CheckIds(request.sandbox_id, request.container_id));
  const std::string what = StrCat("create container ", request.container_id);
  if (request.volumes.size() > monitor::kMaxVolumes)
    return Error(Code::kInvalidArgument,
                 StrCat(what, ": more than ", monitor::kMaxVolumes, " volumes of images"));
  std::shared_ptr<MonitorClient> client = TRY(Client(request.sandbox_id));
  os::DirFd pod = TRY(OpenPod(request.sandbox_id));
  TRY(FAIL_STEP("runtime.bundle",
                Traced(request.trace, "bundle", [&] { return PrepareBundle(pod, request); })),
      what);
  monitor::Create create;
  create.container_id = request.container_id;
  create.terminal = request.terminal;
  create.stdin_open = request.stdin_open;
  create.stdin_once = request.stdin_once;
  create.has_rootfs = request.rootfs.valid();
  create.has_log = !request.log_directory.empty() && !request.log_path.empty();
  const auto limit =
      std::min(std::chrono::duration_cast<milliseconds>(request.timeout), config_.call_timeout);
  create.timeout_ms = static_cast<uint32_t>(limit.count());
  std::vector<int> fds;
  os::DirFd log;
  if (create.has_rootfs) fds.push_back(request.rootfs.fd());
  if (create.has_log) {
    create.log_path = request.log_path;
    log = TRY(os::DirFd::MakeTrusted(request.log_directory, 0755), what);
    fds.push_back(log.get());
  }
  if (!request.volumes.empty() && client->hello().version < monitor::kVolumesVersion)
    return Error(Code::kUnimplemented,
                 StrCat(what, ": the pod's monitor is of an older version of Berth, which has no ",
                        "image volumes"));
  create.volumes = static_cast<uint32_t>(request.volumes.size());
  for (const Volume& volume : request.volumes) fds.push_back(volume.mount.fd());
  create.timed = request.trace != nullptr && client->hello().version >= monitor::kTimedVersion;
  const MonitorClient::Answer answer =
      TRY(Traced(request.trace, "monitor: create",
                 [&] {
                   return client->Call(
                       Type::kCreate, create,
                       {milliseconds(create.timeout_ms) + kGrace, config_.stop_timeout}, fds);
                 }),
          what);
  const auto created = TRY(MonitorClient::Decoded<monitor::PidAnswer>(answer));
  if (create.timed && created.time)
    AddProgram(*request.trace, "oci runtime: create", *created.time);
  return static_cast<int>(created.pid);
}

CallLimits MonitorRuntime::ProgramLimits() const {
  return {config_.call_timeout + kGrace, config_.silence};
}

Result<> MonitorRuntime::Call(Type type, const std::string& sandbox_id,
                              const std::string& container_id, const CallLimits& limits) {
  TRY(CheckIds(sandbox_id, container_id));
  std::shared_ptr<MonitorClient> client =
      TRY(limits.urgent ? UrgentClient(sandbox_id) : Client(sandbox_id));
  monitor::ContainerCall call;
  call.container_id = container_id;
  call.timeout_ms = static_cast<uint32_t>(config_.call_timeout.count());
  return TRY(client->Call(type, call, limits)), Ok();
}

Result<> MonitorRuntime::Start(const std::string& sandbox_id, const std::string& container_id,
                               Trace* trace) {
  const std::string what = StrCat("start container ", container_id);
  TRY(CheckIds(sandbox_id, container_id), what);
  std::shared_ptr<MonitorClient> client = TRY(Client(sandbox_id), what);
  monitor::ContainerCall call;
  call.container_id = container_id;
  call.timeout_ms = static_cast<uint32_t>(config_.call_timeout.count());
  call.timed = trace != nullptr && client->hello().version >= monitor::kTimedVersion;
  const MonitorClient::Answer answer =
      TRY(Traced(trace, "monitor: start",
                 [&] {
                   return client->Call(Type::kStart, call,
                                       {config_.call_timeout + kGrace, config_.stop_timeout});
                 }),
          what);
  if (!call.timed) return Ok();
  const auto started = TRY(MonitorClient::Decoded<monitor::TimeAnswer>(answer), what);
  AddProgram(*trace, "oci runtime: start", started.time);
  return Ok();
}

Result<> MonitorRuntime::Update(const std::string& sandbox_id, const std::string& container_id,
                                const std::string& resources_json,
                                const std::stop_token& cancelled) {
  const std::string what = StrCat("update container ", container_id);
  TRY(CheckIds(sandbox_id, container_id));
  os::DirFd pod = TRY(OpenPod(sandbox_id), what);
  os::DirFd bundle = TRY(pod.OpenDir(StrCat(monitor::kContainersDir, "/", container_id)), what);
  TRY(bundle.WriteFile(monitor::kResourcesName, resources_json, 0600), what);
  CallLimits limits = ProgramLimits();
  limits.cancelled = cancelled;
  Result<> updated = Call(Type::kUpdate, sandbox_id, container_id, limits);
  // One that was not answered is not to be done later, when nobody reckons with it.
  if (!updated && (updated.error().code() == Code::kDeadlineExceeded ||
                   updated.error().code() == Code::kCancelled))
    (void)bundle.RemoveFile(monitor::kResourcesName);
  return TRY(std::move(updated), what), Ok();
}

Result<> MonitorRuntime::ReopenLog(const std::string& sandbox_id, const std::string& container_id,
                                   const std::stop_token& cancelled) {
  CallLimits limits(config_.quick_timeout);
  limits.cancelled = cancelled;
  TRY(Call(Type::kReopenLog, sandbox_id, container_id, limits),
      StrCat("reopen log of container ", container_id));
  return Ok();
}

Result<> MonitorRuntime::Delete(const std::string& sandbox_id, const std::string& container_id) {
  TRY(CheckIds(sandbox_id, container_id));
  Result<os::DirFd> pod = OpenPod(sandbox_id);
  if (!pod) return pod.error().code() == Code::kNotFound ? Ok() : Result<>(std::move(pod.error()));
  const std::string what = StrCat("delete container ", container_id);
  // Its bundle goes last, so without one there is nothing left.
  if (!TRY(pod->Exists(StrCat(monitor::kContainersDir, "/", container_id)), what)) return Ok();
  Result<> deleted = Call(Type::kDelete, sandbox_id, container_id, ProgramLimits());
  if (!deleted && deleted.error().code() == Code::kUnavailable)
    deleted = DeleteWithoutMonitor(*pod, container_id);
  if (!deleted) return std::move(deleted.error()).Wrap(what);
  TRY(FAIL_STEP("runtime.bundle-remove", RemoveContainerFiles(*pod, container_id)), what);
  return Ok();
}

Result<ExecOutput> MonitorRuntime::ExecSync(const ExecRequest& request,
                                            std::chrono::nanoseconds timeout, size_t limit) {
  TRY(CheckIds(request.sandbox_id, request.container_id));
  std::shared_ptr<MonitorClient> client = TRY(Client(request.sandbox_id));
  os::DirFd pod = TRY(OpenPod(request.sandbox_id));
  return RunExecSync(*client, pod, request, timeout, limit, config_.call_timeout);
}

}  // namespace berth::runtime

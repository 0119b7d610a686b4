// SPDX-License-Identifier: Apache-2.0
// Doing things to pods' processes: monitors, OCI runtimes, exec, logs. Implemented by
// MonitorRuntime (real processes) and FakeRuntime (testing/). Owned by the daemon; every call
// blocks and may come from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/trace.h"
#include "os/fd.h"
#include "os/mount.h"
#include "os/userns.h"
#include "runtime/volume.h"

namespace berth::runtime {

// One configured OCI runtime, chosen by RuntimeClass (CRI runtime_handler).
struct HandlerInfo {
  std::string name;
  bool is_default = false;
  std::string version;               // first line of `<runtime> --version`
  bool recursive_read_only = false;  // mounts with the option "rro"
  bool user_namespaces = false;  // joins one; and the node can shift the ids of root file systems
  std::string warning;           // why this version is not advised; empty if it is
};

// What StartSandbox makes for a pod. Everything is decided by the caller.
struct SandboxSpec {
  std::string sandbox_id;
  std::string handler;  // a name of Handlers()
  bool new_ipc_namespace = true;
  bool new_uts_namespace = true;
  bool shared_pid_namespace = false;  // a tiny init holds a PID namespace for all containers
  std::string hostname;               // set when new_uts_namespace
  // Those of the IPC namespace (kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*).
  std::map<std::string, std::string> sysctls;
  int64_t shm_bytes = 64 << 20;            // 0: no pod shm (host IPC)
  std::optional<std::string> resolv_conf;  // file contents; unset: a copy of the host's
  std::string log_directory;               // made (0755) if missing; empty: logs are discarded
  // The pod's user namespace with the IPC and UTS namespaces that belong to it, and who is root in it
  // on the host; the monitor keeps them. Null: the host's.
  std::shared_ptr<const os::UserNs> user_ns;
  uint32_t root_id = 0;
  std::string record;  // kept with the pod, for Remembered; what it says is the caller's business
  Trace* trace = nullptr;  // lent for the call
};

// Where a started pod's pieces are. Paths are for the OCI spec: the OCI runtime opens them on our behalf.
struct SandboxHandle {
  int monitor_pid = 0;
  std::string user_ns_path;  // empty when the pod uses the host's; so the others
  std::string ipc_ns_path;
  std::string uts_ns_path;
  std::string pid_ns_path;  // only with shared_pid_namespace
  int pid_ns_init = 0;
  std::string shm_path;  // bind source for /dev/shm; empty with host IPC
  std::string resolv_conf_path;
  std::string hosts_path;
  std::string hostname_path;
};

struct CreateRequest {
  std::string sandbox_id;
  std::string container_id;
  std::string spec_json;  // config.json; its root.path is `RootfsPath(sandbox_id, container_id)`
  os::Mount rootfs;       // detached; appears only where the OCI runtime creates the container
  std::vector<Volume> volumes;  // the nth appears at VolumePath(..., n), only there as well
  bool terminal = false;
  bool stdin_open = false;
  bool stdin_once = false;
  std::string log_directory;  // trusted path of the sandbox; empty: discard
  std::string log_path;       // relative to it, no ".."; empty: discard
  std::chrono::nanoseconds timeout = std::chrono::minutes(2);
  std::string record;      // as SandboxSpec's
  Trace* trace = nullptr;  // lent for the call
};

struct ExecRequest {
  std::string sandbox_id;
  std::string container_id;
  std::string process_json;  // OCI `process` object; numeric user always
  bool terminal = false;
  std::stop_token cancelled = {};  // ExecSync: nobody waits for it any more
};

struct ExecOutput {
  int exit_code = 0;
  // At most `limit` bytes of both together, each certain of half; what is beyond was read and dropped.
  std::string out;
  std::string err;
};

// Which of its streams the client of a session wants; with a terminal there is no stderr apart.
struct StreamsWanted {
  bool std_in = false;
  bool std_out = false;
  bool std_err = false;
};

// One end each of a session's streams, for whoever carries the bytes; what is not there is not valid. Nobody else holds
// these ends, and the session needs neither the caller nor this daemon any more.
//
//   StartExec   std_in (write end), std_out, std_err (read ends), as wanted; with a terminal only its
//               master. Closing all hangs a terminal up; other processes go on, and see the end of their streams.
//   Attach      what the container has of what is wanted; with a terminal its master, to be written and resized but
//               never read, beside std_out, which is a copy of what it shows. A reader that is too slow finds the end
//               of its copy; the container's log goes on.
struct SessionStreams {
  os::Fd std_in;
  os::Fd std_out;
  os::Fd std_err;
  os::Fd terminal;
  // SOCK_SEQPACKET: one u32 (base/wire.h), the exit code, when the process has ended; then the end.
  os::Fd result;
};

enum class ContainerPhase { kCreated, kRunning, kExited };

struct ExitRecord {
  int exit_code = 0;  // 128 + signal when killed
  int signal = 0;
  bool oom_killed = false;
  int64_t finished_at = 0;  // wall nanoseconds
};

struct ContainerObservation {
  std::string container_id;
  ContainerPhase phase = ContainerPhase::kCreated;
  int pid = 0;
  std::optional<ExitRecord> exit;
};

// What was found of one pod after a start of the daemon.
struct SandboxObservation {
  std::string sandbox_id;
  bool monitor_alive = false;
  // It is there and has not answered in time: `containers` are the exits on record. When it answers, EventSink::answered
  // tells the rest.
  bool unanswered = false;
  std::optional<SandboxHandle> handle;           // when the monitor lives
  std::vector<ContainerObservation> containers;  // exit records survive a dead monitor
};

// What StartSandbox and Create were given to keep, of a pod and of the containers that it still has; empty text when it
// cannot be read.
struct RememberedPod {
  struct Container {
    std::string container_id, record, spec_json;
  };
  std::string record;
  std::vector<Container> containers;
};

struct ContainerExited {
  std::string sandbox_id;
  std::string container_id;
  ExitRecord exit;
};
struct MonitorLost {
  std::string sandbox_id;
};
// One that Observe has found unanswered. Exits are told first, as ContainerExited.
struct MonitorAnswered {
  SandboxObservation observation;
};
// Called on the runtime's own thread; must only queue. OOM is folded into the exit record, which
// comes after it.
struct EventSink {
  std::function<void(ContainerExited)> exited;
  std::function<void(MonitorLost)> lost;
  std::function<void(MonitorAnswered)> answered;
};

// A monitor may hang. Then StopSandbox, Signal, KillAll wait for their time, kill it, and go on as for one that has
// died: Unavailable. Whatever else asks it ends with DeadlineExceeded, at once if that is known already, and goes on
// working when it answers again.
class Runtime {
 public:
  virtual ~Runtime() = default;

  // Before any other call; once.
  virtual void SetEventSink(EventSink sink) = 0;
  virtual std::vector<HandlerInfo> Handlers() const = 0;
  // "" is the default handler. NotFound naming the handler when it is not configured.
  virtual Result<std::string> ResolveHandler(const std::string& handler) const = 0;

  // Namespaces for SandboxSpec::user_ns and Network::PinNs; gone when nobody holds them.
  virtual Result<os::UserNs> MakeUserNs(const os::IdRange& range) = 0;
  // That of a pod, from its handle's path. Unavailable when its monitor is gone.
  virtual Result<os::Fd> OpenUserNs(const SandboxHandle& handle) = 0;

  // Spawns the pod's monitor and makes its namespaces and files. Idempotent undo: StopSandbox.
  virtual Result<SandboxHandle> StartSandbox(const SandboxSpec& spec) = 0;
  // Kills and deletes whatever containers are left, ends the monitor and removes the pod's run directory.
  // Works without a living monitor and for a pod that never was: both success.
  virtual Result<> StopSandbox(const std::string& sandbox_id) = 0;

  // The rootfs path to write in the spec: inside the private run directory, empty on the host.
  virtual std::string RootfsPath(const std::string& sandbox_id,
                                 const std::string& container_id) const = 0;
  virtual std::string VolumePath(const std::string& sandbox_id, const std::string& container_id,
                                 size_t index) const = 0;
  // `create` of the OCI runtime. Returns the init pid. A failure carries the OCI runtime's own
  // words and has left nothing but what Delete removes.
  virtual Result<int> Create(CreateRequest request) = 0;
  virtual Result<> Start(const std::string& sandbox_id, const std::string& container_id,
                         Trace* trace = nullptr) = 0;
  // To the init process, by pidfd; a container that has exited is success.
  virtual Result<> Signal(const std::string& sandbox_id, const std::string& container_id,
                          int signal) = 0;
  // `update` of the OCI runtime: linux.resources as JSON, what is absent stays. FailedPrecondition when the
  // container neither waits nor runs. A failure may have changed some of the limits.
  virtual Result<> Update(const std::string& sandbox_id, const std::string& container_id,
                          const std::string& resources_json,
                          const std::stop_token& cancelled = {}) = 0;
  // SIGKILL to every process of the container, execs included (cgroup.kill on v2).
  virtual Result<> KillAll(const std::string& sandbox_id, const std::string& container_id) = 0;
  // Kills what runs and removes the OCI runtime's record, cgroup, bundle and exit record. Not there: success.
  virtual Result<> Delete(const std::string& sandbox_id, const std::string& container_id) = 0;

  // DeadlineExceeded after `timeout` (zero: none), Cancelled when nobody waits any more: the exec's processes are
  // killed first.
  virtual Result<ExecOutput> ExecSync(const ExecRequest& request, std::chrono::nanoseconds timeout,
                                      size_t limit) = 0;
  // Starts a process whose streams are the session's. NotFound, FailedPrecondition (not running), or the OCI runtime's
  // words.
  virtual Result<SessionStreams> StartExec(const ExecRequest& request,
                                           const StreamsWanted& wanted) = 0;
  // The streams of a running container's own process. ResourceExhausted when too many are attached.
  virtual Result<SessionStreams> Attach(const std::string& sandbox_id,
                                        const std::string& container_id,
                                        const StreamsWanted& wanted) = 0;
  // A SOCK_SEQPACKET end: each u32 address family (AF_INET, AF_INET6) sent on it is answered by u32 errno and, if that
  // is 0, an unconnected TCP socket made in the network namespace `netns` (not valid: this process's).
  virtual Result<os::Fd> OpenDialer(const std::string& sandbox_id, os::Fd netns) = 0;
  // Opens the log file anew; on an error no file was made and the old one stays in use.
  virtual Result<> ReopenLog(const std::string& sandbox_id, const std::string& container_id,
                             const std::stop_token& cancelled = {}) = 0;

  // Finds every pod that has a run directory and connects to its monitor, to all side by side and within one limit of
  // time. Once, before the first request is served.
  virtual Result<std::vector<SandboxObservation>> Observe() = 0;
  // NotFound when the pod has no run directory.
  virtual Result<RememberedPod> Remembered(const std::string& sandbox_id) = 0;
};

}  // namespace berth::runtime

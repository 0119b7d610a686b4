// SPDX-License-Identifier: Apache-2.0
// What berthd and a pod's berth-monitor say to each other: one message per packet of a SOCK_SEQPACKET
// unix socket. Plain values with an encoder and a decoder each; shared by src/monitor (tiny build) and
// src/runtime. Any thread.
//
//   packet    u32 type, u64 id, body     base/wire.h; at most kMaxPacket bytes, at most kMaxFds fds
//   request   type below kReply, id chosen by the daemon, != 0
//   reply     type kReply, the request's id; body = u32 code, u32 errno, text message, and the answer if code
//             is 0
//   event     type kContainerExited or kExecExited, id 0
//
// The daemon begins with Hello. A packet that cannot be decoded ends the connection, never the monitor;
// an unknown type is answered with UNIMPLEMENTED. One connection counts: the newest that has said
// Hello.
//
// Versions: Hello says the oldest one that the daemon can do with, the answer the monitor's own, which understands all
// before it. So either may be the newer of the two; what the monitor is too old for, the daemon does not ask.
//   1   pods, containers, logs, synchronous exec
//   2   sessions: an exec's result socket and terminal, Attach, Dialer
//   3   volumes that come as mounts, user namespaces. Create and HelloAnswer are longer only where they say of either.
//   4   what the OCI runtime's own time was. Asked for with `timed`, without which the messages are those of version 3.
//
// A session's bytes flow between the descriptors that are handed out and the container's; neither message nor daemon is
// needed any more once they are. Its result socket is a SOCK_SEQPACKET end on which one u32, the exit code, is
// sent when the process has ended. A dialer is a SOCK_SEQPACKET end: each u32 address family sent on it is answered by
// u32 errno and, if that is 0, a TCP socket made in the network namespace that came along with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/wire.h"
#include "os/sealed_program.h"

namespace berth::monitor {

inline constexpr uint32_t kProtocolVersion = 4;
inline constexpr uint32_t kOldestVersion = 1;
inline constexpr uint32_t kSessionsVersion = 2;
inline constexpr uint32_t kVolumesVersion = 3;
inline constexpr uint32_t kTimedVersion = 4;
inline constexpr uint32_t kProgramVersion = 4;
inline constexpr size_t kMaxPacket = 96U << 10;
inline constexpr size_t kMaxVolumes = 240;          // of one container, that come as mounts
inline constexpr size_t kMaxFds = kMaxVolumes + 4;  // the kernel lets 253 pass
inline constexpr size_t kMaxContainers = 512;       // per pod; bounds the Hello reply
inline constexpr size_t kMaxText = 4096;            // every text but sysctl values and lists
// Descriptors that the daemon gives a monitor at its start.
inline constexpr int kListenerFd = 3;
inline constexpr int kRunDirFd = 4;

// The pod's run directory. Made by the daemon, which removes it; the monitor writes below exits/ and
// calls/.
//   <state>/pods/<sandbox id>/
//     monitor.sock                listening socket, inherited by the monitor
//     handler                     name of the OCI runtime handler, for cleaning up without a monitor
//     resolv.conf hosts hostname
//     shm/                        the pod's tmpfs, attached only in the OCI runtime's mount namespace
//     c/<container id>/           bundle: config.json; rootfs/ and v/<n> (attached like shm); resources.json of
//                                 the last update
//     exits/<container id>        exit record, written before the exit is reported
//     calls/                      short-lived: process.json of execs, pid files, console sockets, the
//                                 runtimes' logs
inline constexpr const char* kSocketName = "monitor.sock";
inline constexpr const char* kExitsDir = "exits";
inline constexpr const char* kCallsDir = "calls";
inline constexpr const char* kContainersDir = "c";
inline constexpr const char* kResourcesName = "resources.json";
inline constexpr const char* kVolumesDir = "v";

enum class Type : uint32_t {
  kHello = 1,
  kSetup = 2,
  kCreate = 3,
  kStart = 4,
  kSignal = 5,
  kKillAll = 6,
  kDelete = 7,
  kExec = 8,
  kExecKill = 9,
  kReopenLog = 11,
  kAttach = 12,
  kShutdown = 13,
  kUpdate = 14,
  kPing = 15,    // no body: does it still answer? One that does not know it says so, which will do
  kDialer = 20,  // no body; [2]: the monitor's end of the dialer; the network namespace
  kReply = 100,
  kContainerExited = 101,
  kExecExited = 102,
};

struct Header {
  Type type{};
  uint64_t id = 0;
};

enum class Phase : uint8_t { kCreated = 0, kRunning = 1, kExited = 2 };

struct Exit {
  uint32_t code = 0;  // 128 + signal when killed
  uint32_t signal = 0;
  bool oom_killed = false;
  int64_t finished_at = 0;  // wall nanoseconds
};

// --- requests; [n] counts the fds that come along
struct Hello {
  uint32_t version = kOldestVersion;
};
struct
    Setup {  // [has_shm + 3 * has_user_ns + has_program]: the pod's shm as a detached tmpfs; its user namespace
  // and the IPC and UTS namespaces that belong to it; a sealed copy of the OCI runtime
  std::string sandbox_id;
  std::string pod_path;  // absolute path of the run directory
  bool new_ipc = false;
  bool new_uts = false;
  bool shared_pid = false;
  bool has_shm = false;
  bool has_user_ns = false;
  uint32_t root_id = 0;  // with has_user_ns: what root there is here
  std::string hostname;
  std::vector<std::pair<std::string, std::string>> sysctls;
  std::string runtime_path;  // OCI runtime binary, absolute
  std::string runtime_root;  // its --root
  std::vector<std::string> runtime_args;
  // Hybrid cgroup hosts: in the OCI runtime's mount namespace, made private and then unmounted.
  std::vector<std::string> private_paths;
  std::vector<std::string> detach_paths;
  // The copy is run as long as runtime_path still leads to what it was made of.
  bool has_program = false;
  os::FileIdentity program;
};
struct Create {  // [has_rootfs + has_log + volumes]: the rootfs as a detached mount; the log
                 // directory; the volumes 0, 1 ... as detached mounts
  std::string container_id;
  bool terminal = false;
  bool stdin_open = false;
  bool stdin_once = false;
  bool has_rootfs = true;
  bool has_log = false;
  std::string log_path;  // relative to the log directory
  uint32_t timeout_ms = 0;
  uint32_t volumes = 0;
  bool timed = false;
};
struct ContainerCall {  // Start, KillAll, Delete, ReopenLog, Update
  std::string container_id;
  uint32_t timeout_ms = 0;
  bool timed = false;  // Start: the answer is a TimeAnswer
};
struct Signal {
  std::string container_id;
  uint32_t signal = 0;
};
struct Exec {  // [3]: stdin, stdout, stderr; [0] with a terminal; then perhaps the result socket.
               // calls/<exec id>.json holds the process
  std::string container_id;
  std::string exec_id;
  bool terminal = false;
  bool kill_on_disconnect = false;  // nobody but this connection wants its result
  uint32_t timeout_ms = 0;          // of starting it
};
struct ExecKill {
  std::string exec_id;
};
struct Attach {  // [0..1]: the result socket
  std::string container_id;
  bool stdin_wanted = false;
  bool stdout_wanted = false;
  bool stderr_wanted = false;
};

// --- answers
struct ContainerState {
  std::string container_id;
  Phase phase{};
  uint32_t pid = 0;
  std::optional<Exit> exit;
};
struct HelloAnswer {
  uint32_t version = kProtocolVersion;
  uint32_t pid = 0;
  std::string warning;  // what could not be had at start (oom_score_adj); empty: nothing
  bool set_up = false;
  bool new_ipc = false;
  bool new_uts = false;
  uint32_t pid_ns_init = 0;  // 0: no shared PID namespace
  std::vector<ContainerState> containers;
  uint32_t user_ns_fd = 0;  // in /proc/<pid>/fd; 0: the host's
};
struct SetupAnswer {  // as in HelloAnswer
  uint32_t pid_ns_init = 0;
  uint32_t user_ns_fd = 0;
};
// From the fork to the end of the OCI runtime's process.
struct ProgramTime {
  int64_t began_at = 0;  // CLOCK_MONOTONIC, nanoseconds
  uint32_t took_us = 0;
  uint32_t cpu_us = 0;  // user and system, its children's included
};
struct PidAnswer {  // Create, Exec (with a terminal: [1]
                    // the pty's master, of which the monitor keeps no copy)
  uint32_t pid = 0;
  std::optional<ProgramTime> time{};  // of a Create that is timed
};
struct TimeAnswer {
  ProgramTime time;
};
struct AttachAnswer {  // the fds that come along, in this order
  bool has_stdin = false;
  bool has_stdout = false;  // a pipe with a copy of the output, also of a terminal's
  bool has_stderr = false;
  bool has_terminal = false;  // its master, to be written and resized, never read
};

// --- events
struct ContainerExited {
  std::string container_id;
  Exit exit;
};
struct ExecExited {
  std::string exec_id;
  Exit exit;
};

// --- codec. Encode appends the body; Decode reads the whole body and checks ids and sizes
// (InvalidArgument).
void Encode(wire::Writer& w, const Hello& m);
void Encode(wire::Writer& w, const Setup& m);
void Encode(wire::Writer& w, const Create& m);
void Encode(wire::Writer& w, const ContainerCall& m);
void Encode(wire::Writer& w, const Signal& m);
void Encode(wire::Writer& w, const Exec& m);
void Encode(wire::Writer& w, const ExecKill& m);
void Encode(wire::Writer& w, const Attach& m);
void Encode(wire::Writer& w, const HelloAnswer& m);
void Encode(wire::Writer& w, const SetupAnswer& m);
void Encode(wire::Writer& w, const PidAnswer& m);
void Encode(wire::Writer& w, const TimeAnswer& m);
void Encode(wire::Writer& w, const AttachAnswer& m);
void Encode(wire::Writer& w, const ContainerExited& m);
void Encode(wire::Writer& w, const ExecExited& m);

Result<> Decode(wire::Reader& r, Hello& m);
Result<> Decode(wire::Reader& r, Setup& m);
Result<> Decode(wire::Reader& r, Create& m);
Result<> Decode(wire::Reader& r, ContainerCall& m);
Result<> Decode(wire::Reader& r, Signal& m);
Result<> Decode(wire::Reader& r, Exec& m);
Result<> Decode(wire::Reader& r, ExecKill& m);
Result<> Decode(wire::Reader& r, Attach& m);
Result<> Decode(wire::Reader& r, HelloAnswer& m);
Result<> Decode(wire::Reader& r, SetupAnswer& m);
Result<> Decode(wire::Reader& r, PidAnswer& m);
Result<> Decode(wire::Reader& r, TimeAnswer& m);
Result<> Decode(wire::Reader& r, AttachAnswer& m);
Result<> Decode(wire::Reader& r, ContainerExited& m);
Result<> Decode(wire::Reader& r, ExecExited& m);

template <class T>
std::string Packet(Type type, uint64_t id, const T& body) {
  wire::Writer w;
  w.U32(static_cast<uint32_t>(type));
  w.U64(id);
  Encode(w, body);
  return w.Take();
}
// A packet without a body: Shutdown, Ping, Dialer.
std::string Packet(Type type, uint64_t id);
Result<Header> DecodeHeader(wire::Reader& r);

std::string OkReply(uint64_t id);
template <class T>
std::string OkReply(uint64_t id, const T& answer) {
  wire::Writer w;
  Encode(w, answer);
  return OkReply(id) + w.Take();
}
// The message is cut to kMaxText.
std::string ErrorReply(uint64_t id, const Error& error);
// The start of a reply's body: success, or the error that the monitor sent.
Result<> DecodeReplyStatus(wire::Reader& r);

// One container's exit on disk: "1 <code> <signal> <oom 0|1> <finished_at>\n".
std::string ExitToText(const Exit& exit);
Result<Exit> ExitFromText(std::string_view text);

// ^[a-z0-9]{1,64}$: container, sandbox and exec ids, which become file names.
bool IsPlainId(std::string_view id);
// Not empty, relative, no empty, "." or ".." element, no NUL, at most kMaxText bytes.
bool IsPlainRelativePath(std::string_view path);

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
// One Encode and one Decode per message, side by side so that their order can be compared.
#include "base/strings.h"
#include "monitor/protocol.h"

namespace berth::monitor {

namespace {

constexpr size_t kMaxSysctls = 128;
constexpr size_t kMaxList = 64;

Result<std::string> Id(wire::Reader& r, const char* what) {
  std::string id = TRY(r.Text(64), what);
  if (!IsPlainId(id))
    return Error(Code::kInvalidArgument, StrCat(what, ' ', Quote(id), ": not an id"));
  return id;
}

Result<std::string> AbsolutePath(wire::Reader& r, const char* what) {
  std::string path = TRY(r.Text(kMaxText), what);
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos)
    return Error(Code::kInvalidArgument, StrCat(what, ' ', Quote(path), ": not an absolute path"));
  return path;
}

void EncodeExit(wire::Writer& w, const Exit& exit) {
  w.U32(exit.code);
  w.U32(exit.signal);
  w.Bool(exit.oom_killed);
  w.I64(exit.finished_at);
}

Result<Exit> DecodeExit(wire::Reader& r) {
  Exit exit;
  exit.code = TRY(r.U32(), "exit");
  exit.signal = TRY(r.U32(), "exit");
  exit.oom_killed = TRY(r.Bool(), "exit");
  exit.finished_at = TRY(r.I64(), "exit");
  if (exit.code > 255 || exit.signal > 127 || exit.finished_at < 0)
    return Error(Code::kInvalidArgument, "exit: out of range");
  return exit;
}

void EncodeTime(wire::Writer& w, const ProgramTime& time) {
  w.I64(time.began_at);
  w.U32(time.took_us);
  w.U32(time.cpu_us);
}

Result<ProgramTime> DecodeTime(wire::Reader& r) {
  ProgramTime time;
  time.began_at = TRY(r.I64(), "time");
  time.took_us = TRY(r.U32(), "time");
  time.cpu_us = TRY(r.U32(), "time");
  if (time.began_at < 0) return Error(Code::kInvalidArgument, "time: out of range");
  return time;
}

}  // namespace

void Encode(wire::Writer& w, const Hello& m) { w.U32(m.version); }
Result<> Decode(wire::Reader& r, Hello& m) {
  m.version = TRY(r.U32(), "hello");
  return r.End();
}

void Encode(wire::Writer& w, const Setup& m) {
  w.Text(m.sandbox_id);
  w.Text(m.pod_path);
  w.Bool(m.new_ipc);
  w.Bool(m.new_uts);
  w.Bool(m.shared_pid);
  w.Bool(m.has_shm);
  w.Bool(m.has_user_ns);
  w.U32(m.root_id);
  w.Text(m.hostname);
  w.U32(static_cast<uint32_t>(m.sysctls.size()));
  for (const auto& [key, value] : m.sysctls) {
    w.Text(key);
    w.Text(value);
  }
  w.Text(m.runtime_path);
  w.Text(m.runtime_root);
  w.Texts(m.runtime_args);
  w.Texts(m.private_paths);
  w.Texts(m.detach_paths);
  if (!m.has_program) return;
  w.U64(m.program.device);
  w.U64(m.program.inode);
  w.U64(m.program.size);
  w.I64(m.program.changed_at);
}
Result<> Decode(wire::Reader& r, Setup& m) {
  m.sandbox_id = TRY(Id(r, "sandbox"));
  m.pod_path = TRY(AbsolutePath(r, "run directory"));
  m.new_ipc = TRY(r.Bool(), "setup");
  m.new_uts = TRY(r.Bool(), "setup");
  m.shared_pid = TRY(r.Bool(), "setup");
  m.has_shm = TRY(r.Bool(), "setup");
  m.has_user_ns = TRY(r.Bool(), "setup");
  m.root_id = TRY(r.U32(), "setup");
  m.hostname = TRY(r.Text(64), "hostname");
  const uint32_t sysctls = TRY(r.U32(), "sysctls");
  if (sysctls > kMaxSysctls) return Error(Code::kInvalidArgument, "setup: too many sysctls");
  for (uint32_t i = 0; i < sysctls; ++i) {
    std::string key = TRY(r.Text(256), "sysctl");
    m.sysctls.emplace_back(std::move(key), TRY(r.Text(kMaxText), "sysctl value"));
  }
  m.runtime_path = TRY(AbsolutePath(r, "runtime"));
  m.runtime_root = TRY(AbsolutePath(r, "runtime root"));
  m.runtime_args = TRY(r.Texts(kMaxList, kMaxText), "runtime arguments");
  m.private_paths = TRY(r.Texts(kMaxList, kMaxText), "private paths");
  m.detach_paths = TRY(r.Texts(kMaxList, kMaxText), "detach paths");
  if (r.End()) return Ok();
  m.has_program = true;
  m.program.device = TRY(r.U64(), "program");
  m.program.inode = TRY(r.U64(), "program");
  m.program.size = TRY(r.U64(), "program");
  m.program.changed_at = TRY(r.I64(), "program");
  return r.End();
}

void Encode(wire::Writer& w, const Create& m) {
  w.Text(m.container_id);
  w.Bool(m.terminal);
  w.Bool(m.stdin_open);
  w.Bool(m.stdin_once);
  w.Bool(m.has_rootfs);
  w.Bool(m.has_log);
  w.Text(m.log_path);
  w.U32(m.timeout_ms);
  if (m.volumes != 0 || m.timed) w.U32(m.volumes);
  if (m.timed) w.Bool(true);
}
Result<> Decode(wire::Reader& r, Create& m) {
  m.container_id = TRY(Id(r, "container"));
  m.terminal = TRY(r.Bool(), "create");
  m.stdin_open = TRY(r.Bool(), "create");
  m.stdin_once = TRY(r.Bool(), "create");
  m.has_rootfs = TRY(r.Bool(), "create");
  m.has_log = TRY(r.Bool(), "create");
  m.log_path = TRY(r.Text(kMaxText), "log path");
  m.timeout_ms = TRY(r.U32(), "create");
  if (!r.End()) m.volumes = TRY(r.U32(), "create");
  if (!r.End()) m.timed = TRY(r.Bool(), "create");
  if (m.volumes > kMaxVolumes) return Error(Code::kInvalidArgument, "create: too many volumes");
  if (m.has_log != !m.log_path.empty() || (m.has_log && !IsPlainRelativePath(m.log_path)))
    return Error(Code::kInvalidArgument, StrCat("log path ", Quote(m.log_path), ": not allowed"));
  return r.End();
}

void Encode(wire::Writer& w, const ContainerCall& m) {
  w.Text(m.container_id);
  w.U32(m.timeout_ms);
  if (m.timed) w.Bool(true);
}
Result<> Decode(wire::Reader& r, ContainerCall& m) {
  m.container_id = TRY(Id(r, "container"));
  m.timeout_ms = TRY(r.U32(), "timeout");
  if (!r.End()) m.timed = TRY(r.Bool(), "timeout");
  return r.End();
}

void Encode(wire::Writer& w, const Signal& m) {
  w.Text(m.container_id);
  w.U32(m.signal);
}
Result<> Decode(wire::Reader& r, Signal& m) {
  m.container_id = TRY(Id(r, "container"));
  m.signal = TRY(r.U32(), "signal");
  if (m.signal == 0 || m.signal > 64)
    return Error(Code::kInvalidArgument, StrCat("signal ", m.signal, ": no such signal"));
  return r.End();
}

void Encode(wire::Writer& w, const Exec& m) {
  w.Text(m.container_id);
  w.Text(m.exec_id);
  w.Bool(m.terminal);
  w.Bool(m.kill_on_disconnect);
  w.U32(m.timeout_ms);
}
Result<> Decode(wire::Reader& r, Exec& m) {
  m.container_id = TRY(Id(r, "container"));
  m.exec_id = TRY(Id(r, "exec"));
  m.terminal = TRY(r.Bool(), "exec");
  m.kill_on_disconnect = TRY(r.Bool(), "exec");
  m.timeout_ms = TRY(r.U32(), "exec");
  return r.End();
}

void Encode(wire::Writer& w, const ExecKill& m) { w.Text(m.exec_id); }
Result<> Decode(wire::Reader& r, ExecKill& m) {
  m.exec_id = TRY(Id(r, "exec"));
  return r.End();
}

void Encode(wire::Writer& w, const Attach& m) {
  w.Text(m.container_id);
  w.Bool(m.stdin_wanted);
  w.Bool(m.stdout_wanted);
  w.Bool(m.stderr_wanted);
}
Result<> Decode(wire::Reader& r, Attach& m) {
  m.container_id = TRY(Id(r, "container"));
  m.stdin_wanted = TRY(r.Bool(), "attach");
  m.stdout_wanted = TRY(r.Bool(), "attach");
  m.stderr_wanted = TRY(r.Bool(), "attach");
  return r.End();
}

void Encode(wire::Writer& w, const HelloAnswer& m) {
  w.U32(m.version);
  w.U32(m.pid);
  w.Text(m.warning);
  w.Bool(m.set_up);
  w.Bool(m.new_ipc);
  w.Bool(m.new_uts);
  w.U32(m.pid_ns_init);
  w.U32(static_cast<uint32_t>(m.containers.size()));
  for (const ContainerState& c : m.containers) {
    w.Text(c.container_id);
    w.U8(static_cast<uint8_t>(c.phase));
    w.U32(c.pid);
    w.Bool(c.exit.has_value());
    if (c.exit) EncodeExit(w, *c.exit);
  }
  if (m.user_ns_fd != 0) w.U32(m.user_ns_fd);
}
Result<> Decode(wire::Reader& r, HelloAnswer& m) {
  m.version = TRY(r.U32(), "hello");
  m.pid = TRY(r.U32(), "hello");
  m.warning = TRY(r.Text(kMaxText), "hello");
  m.set_up = TRY(r.Bool(), "hello");
  m.new_ipc = TRY(r.Bool(), "hello");
  m.new_uts = TRY(r.Bool(), "hello");
  m.pid_ns_init = TRY(r.U32(), "hello");
  const uint32_t count = TRY(r.U32(), "hello");
  if (count > kMaxContainers) return Error(Code::kInvalidArgument, "hello: too many containers");
  for (uint32_t i = 0; i < count; ++i) {
    ContainerState c;
    c.container_id = TRY(Id(r, "container"));
    const uint8_t phase = TRY(r.U8(), "phase");
    if (phase > static_cast<uint8_t>(Phase::kExited))
      return Error(Code::kInvalidArgument, "hello: unknown phase");
    c.phase = static_cast<Phase>(phase);
    c.pid = TRY(r.U32(), "pid");
    if (TRY(r.Bool(), "exit")) c.exit = TRY(DecodeExit(r));
    m.containers.push_back(std::move(c));
  }
  if (!r.End()) m.user_ns_fd = TRY(r.U32(), "hello");
  return r.End();
}

void Encode(wire::Writer& w, const SetupAnswer& m) {
  w.U32(m.pid_ns_init);
  w.U32(m.user_ns_fd);
}
Result<> Decode(wire::Reader& r, SetupAnswer& m) {
  m.pid_ns_init = TRY(r.U32(), "setup");
  m.user_ns_fd = TRY(r.U32(), "setup");
  if (m.pid_ns_init > INT32_MAX) return Error(Code::kInvalidArgument, "pid: out of range");
  return r.End();
}

void Encode(wire::Writer& w, const PidAnswer& m) {
  w.U32(m.pid);
  if (m.time) EncodeTime(w, *m.time);
}
Result<> Decode(wire::Reader& r, PidAnswer& m) {
  m.pid = TRY(r.U32(), "pid");
  if (m.pid > INT32_MAX) return Error(Code::kInvalidArgument, "pid: out of range");
  if (!r.End()) m.time = TRY(DecodeTime(r));
  return r.End();
}

void Encode(wire::Writer& w, const TimeAnswer& m) { EncodeTime(w, m.time); }
Result<> Decode(wire::Reader& r, TimeAnswer& m) {
  m.time = TRY(DecodeTime(r));
  return r.End();
}

void Encode(wire::Writer& w, const AttachAnswer& m) {
  for (bool flag : {m.has_stdin, m.has_stdout, m.has_stderr, m.has_terminal}) w.Bool(flag);
}
Result<> Decode(wire::Reader& r, AttachAnswer& m) {
  for (bool* flag : {&m.has_stdin, &m.has_stdout, &m.has_stderr, &m.has_terminal})
    *flag = TRY(r.Bool(), "attach");
  return r.End();
}

void Encode(wire::Writer& w, const ContainerExited& m) {
  w.Text(m.container_id);
  EncodeExit(w, m.exit);
}
Result<> Decode(wire::Reader& r, ContainerExited& m) {
  m.container_id = TRY(Id(r, "container"));
  m.exit = TRY(DecodeExit(r));
  return r.End();
}

void Encode(wire::Writer& w, const ExecExited& m) {
  w.Text(m.exec_id);
  EncodeExit(w, m.exit);
}
Result<> Decode(wire::Reader& r, ExecExited& m) {
  m.exec_id = TRY(Id(r, "exec"));
  m.exit = TRY(DecodeExit(r));
  return r.End();
}

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
// MonitorRuntime with the OCI runtimes of this machine, crun and runc: needs root, busybox and a
// mount namespace of its own, which each test makes. Skipped where one of them is missing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "base/wire.h"
#include "os/cgroup.h"
#include "os/socket.h"
#include "runtime/monitor_runtime.h"
#include "runtime/testing/runtime_contract.h"

namespace berth::runtime {
namespace {

using namespace std::chrono_literals;

std::string SpecJson(const std::string& root, const std::string& command, const SandboxHandle& pod,
                     const std::string& cgroup, bool terminal, int64_t memory) {
  const std::string shm = pod.shm_path.empty()
                              ? ""
                              : StrCat(R"(,{"destination":"/dev/shm","type":"bind","source":")",
                                       pod.shm_path, R"(","options":["rbind","rw"]})");
  const std::string pid_path =
      pod.pid_ns_path.empty() ? "" : StrCat(R"(,"path":")", pod.pid_ns_path, "\"");
  return StrCat(R"({"ociVersion":"1.0.2","process":{"terminal":)", terminal ? "true" : "false",
                R"(,"user":{"uid":0,"gid":0},"args":["/bin/sh","-c",")", command,
                R"("],"env":["PATH=/bin"],"cwd":"/","oomScoreAdj":0},"root":{"path":")", root,
                R"("},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},
      {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
      {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666","mode=0620"]})",
                shm, R"(],"linux":{"cgroupsPath":")", cgroup,
                R"(","resources":{"memory":{"limit":)", memory,
                R"(}},"namespaces":[{"type":"mount"},{"type":"network"},{"type":"pid")", pid_path,
                R"(},{"type":"ipc","path":")", pod.ipc_ns_path, R"("},{"type":"uts","path":")",
                pod.uts_ns_path, R"("}]}})");
}

std::string ProcessJson(const std::string& command, bool terminal = false) {
  return StrCat(R"({"terminal":)", terminal ? "true" : "false",
                R"(,"user":{"uid":0,"gid":0},"args":["/bin/sh","-c",")", command,
                R"("],"env":["PATH=/bin"],"cwd":"/"})");
}

class OciTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const std::string binary = StrCat("/usr/bin/", GetParam());
    const std::string runc = StrCat("/usr/sbin/", GetParam());
    path_ = ::access(binary.c_str(), X_OK) == 0 ? binary : runc;
    if (::access(path_.c_str(), X_OK) != 0) GTEST_SKIP() << "needs " << GetParam();
    if (::access("/usr/bin/busybox", X_OK) != 0) GTEST_SKIP() << "needs busybox";
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      GTEST_SKIP() << "needs a mount namespace";
    MakeImage();
    ASSERT_TRUE(os::DirFd::MakeTrusted(state(), 0711));
    ASSERT_TRUE(os::MakePrivateMountPoint(state()));
    mounts_before_ = ReadMounts();
    MakeRuntime(path_);
  }
  void MakeRuntime(const std::string& path) {
    MonitorRuntimeConfig config;
    config.state_dir = state();
    config.monitor_path = StrCat(BERTH_BINARY_DIR, "/bin/berth-monitor");
    config.handlers = {{GetParam(), path, {}, ""}};
    config.default_handler = GetParam();
    auto made = MonitorRuntime::Make(std::move(config));
    ASSERT_TRUE(made) << made.error().message();
    runtime_ = std::move(*made);
    runtime_->SetEventSink(events_.Sink());
  }
  void TearDown() override {
    if (!runtime_) return;
    EXPECT_TRUE(runtime_->StopSandbox("s1"));
    EXPECT_EQ(ReadMounts(), mounts_before_);
    EXPECT_TRUE(os::DirFd::OpenTrusted(state() + "/pods")->List()->empty());
    Result<os::DirFd> records = os::DirFd::OpenTrusted(StrCat(state(), "/runtime/", GetParam()));
    EXPECT_TRUE(!records || records->List()->empty());
    runtime_.reset();
    EXPECT_TRUE(os::RemoveMountPoint(state()));
  }
  std::string state() const { return temp_.path() + "/state"; }
  static std::string ReadMounts() {
    os::Fd file(::open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC));
    return *os::ReadAll(file.get(), 4 << 20);
  }
  void MakeImage() {
    os::DirFd bin = *os::DirFd::MakeTrusted(temp_.path() + "/image/bin", 0755);
    os::Fd busybox(::open("/usr/bin/busybox", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(bin.WriteFile("busybox", *os::ReadAll(busybox.get(), 16 << 20), 0755));
    for (const char* name :
         {"sh", "sleep", "cat", "ls", "tail", "hostname", "tty", "mount", "dd", "readlink"})
      ASSERT_EQ(::symlinkat("busybox", bin.get(), name), 0);
    for (const char* name : {"proc", "dev", "etc"})
      ASSERT_TRUE(os::DirFd::MakeTrusted(temp_.path() + "/image/" + name, 0755));
  }
  os::Mount Rootfs(const std::string& id) {
    os::OverlayOptions options;
    options.lower.push_back(*os::DirFd::OpenTrusted(temp_.path() + "/image"));
    options.upper = *os::DirFd::MakeTrusted(StrCat(temp_.path(), "/", id, "/upper"), 0755);
    options.work = *os::DirFd::MakeTrusted(StrCat(temp_.path(), "/", id, "/work"), 0755);
    Result<os::Mount> mount = os::Mount::Overlay(options);
    EXPECT_TRUE(mount) << mount.error().message();
    return std::move(*mount);
  }
  void StartPod(bool shared_pid = false) {
    SandboxSpec spec;
    spec.sandbox_id = "s1";
    spec.hostname = "berthpod";
    spec.shm_bytes = 1 << 20;
    spec.shared_pid_namespace = shared_pid;
    spec.sysctls = {{"kernel.shm_rmid_forced", "1"}};
    Result<SandboxHandle> handle = runtime_->StartSandbox(spec);
    ASSERT_TRUE(handle) << handle.error().message();
    pod_ = *handle;
  }
  Result<int> Create(const std::string& id, const std::string& command, bool terminal = false,
                     int64_t memory = 64 << 20) {
    CreateRequest request;
    request.sandbox_id = "s1";
    request.container_id = id;
    request.spec_json = SpecJson(runtime_->RootfsPath("s1", id), command, pod_,
                                 StrCat("/berthtest", ::getpid(), id), terminal, memory);
    request.rootfs = Rootfs(id);
    request.terminal = terminal;
    request.log_directory = temp_.path() + "/logs";
    request.log_path = id + ".log";
    return runtime_->Create(std::move(request));
  }
  void Run(const std::string& id, const std::string& command, bool terminal = false,
           int64_t memory = 64 << 20) {
    Result<int> created = Create(id, command, terminal, memory);
    ASSERT_TRUE(created) << created.error().message();
    EXPECT_EQ(ReadMounts(), mounts_before_);
    Result<> started = runtime_->Start("s1", id);
    ASSERT_TRUE(started) << started.error().message();
  }
  ExecOutput Exec(const std::string& id, const std::string& command) {
    Result<ExecOutput> output =
        runtime_->ExecSync({"s1", id, ProcessJson(command), false}, 20s, 10'000);
    EXPECT_TRUE(output) << output.error().message();
    return output ? std::move(*output) : ExecOutput{-1, "", ""};
  }
  std::string Log(const std::string& id) {
    Result<std::string> text = temp_.dir().ReadFile(StrCat("logs/", id, ".log"), 1 << 20);
    return text ? *text : text.error().message();
  }

  os::TempDir temp_ = *os::TempDir::Make();
  std::string path_;  // of the OCI runtime
  EventLog events_;
  SandboxHandle pod_;
  std::string mounts_before_;
  std::unique_ptr<MonitorRuntime> runtime_;
};

INSTANTIATE_TEST_SUITE_P(Installed, OciTest, testing::Values("crun", "runc"));

TEST_P(OciTest, ContainerLivesAndLeavesNothing) {
  StartPod();
  Run("c1", "hostname; echo x > /dev/shm/x; exec sleep 1000");
  EXPECT_EQ(Exec("c1", "exit 42").exit_code, 42);
  const ExecOutput output = Exec("c1", "cat /dev/shm/x; ls /proc/self/fd; echo e >&2");
  EXPECT_EQ(output.out, "x\n0\n1\n2\n3\n");  // 3 is ls reading the directory
  EXPECT_EQ(output.err, "e\n");
  EXPECT_EQ(Exec("c1", "cat /proc/sys/kernel/shm_rmid_forced").out, "1\n");
  Run("c2", "cat /dev/shm/x; exit 3");
  ASSERT_TRUE(events_.WaitExit("c2"));
  EXPECT_EQ(events_.WaitExit("c2")->exit_code, 3);
  EXPECT_NE(Log("c2").find("stdout F x\n"), std::string::npos) << Log("c2");
  EXPECT_NE(Log("c1").find("stdout F berthpod\n"), std::string::npos) << Log("c1");
  ASSERT_TRUE(runtime_->Signal("s1", "c1", SIGKILL));
  ASSERT_TRUE(events_.WaitExit("c1"));
  EXPECT_EQ(events_.WaitExit("c1")->exit_code, 137);
  EXPECT_TRUE(runtime_->Delete("s1", "c1"));
  EXPECT_TRUE(runtime_->Delete("s1", "c2"));
}

TEST_P(OciTest, MissingProgramIsAnErrorInTheRuntimesWords) {
  StartPod();
  Run("c1", "exec sleep 1000");
  Result<ExecOutput> output = runtime_->ExecSync(
      {"s1", "c1",
       R"({"terminal":false,"user":{"uid":0,"gid":0},"args":["/bin/nope"],"env":[],"cwd":"/"})",
       false},
      20s, 100);
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message().find("/bin/nope"), std::string::npos)
      << output.error().message();
  EXPECT_TRUE(runtime_->KillAll("s1", "c1"));
  EXPECT_TRUE(events_.WaitExit("c1"));
}

// A created container's init is the OCI runtime still.
TEST_P(OciTest, TheRuntimeIsRunFromItsSealedCopyAsLongAsItsFileIsTheSame) {
  os::Fd program(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(temp_.dir().WriteFile(GetParam(), *os::ReadAll(program.get(), 64 << 20), 0755));
  const std::string path = StrCat(temp_.path(), "/", GetParam());
  runtime_.reset();
  MakeRuntime(path);
  StartPod();
  auto executable = [](const Result<int>& pid) {
    std::string target(4096, '\0');
    const std::string link = StrCat("/proc/", pid.value_or(0), "/exe");
    const ssize_t n = ::readlink(link.c_str(), target.data(), target.size());
    return target.substr(0, n > 0 ? static_cast<size_t>(n) : 0);
  };
  EXPECT_EQ(executable(Create("c1", "exec sleep 1000")), "/memfd:program (deleted)");
  ASSERT_TRUE(runtime_->Start("s1", "c1"));
  EXPECT_EQ(Exec("c1", "exit 42").exit_code, 42);
  // Replaced, as a package's update does it: the new one is run at once.
  ASSERT_TRUE(temp_.dir().WriteFile("newer", "#!/bin/sh\nexit 77\n", 0755));
  ASSERT_EQ(::rename(StrCat(temp_.path(), "/newer").c_str(), path.c_str()), 0);
  Result<ExecOutput> output =
      runtime_->ExecSync({"s1", "c1", ProcessJson("exit 0"), false}, 20s, 100);
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message().find("exec: exit code 77"), std::string::npos)
      << output.error().message();
  ASSERT_EQ(::symlink(path_.c_str(), StrCat(temp_.path(), "/link").c_str()), 0);
  ASSERT_EQ(::rename(StrCat(temp_.path(), "/link").c_str(), path.c_str()), 0);
  EXPECT_EQ(Exec("c1", "exit 43").exit_code, 43);
  const Result<int> created = Create("c2", "exit 0");
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_NE(executable(created), "/memfd:program (deleted)");
  EXPECT_TRUE(runtime_->KillAll("s1", "c1"));
  EXPECT_TRUE(events_.WaitExit("c1"));
}

TEST_P(OciTest, ExecIsKilledAfterItsTime) {
  StartPod();
  Run("c1", "exec sleep 1000");
  Result<ExecOutput> output =
      runtime_->ExecSync({"s1", "c1", ProcessJson("sleep 1000 & sleep 1000"), false}, 700ms, 100);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(Exec("c1", "ls /proc | grep -c '^[0-9]' || true; exit 0").exit_code, 0);
}

TEST_P(OciTest, TerminalOutputIsLogged) {
  StartPod();
  Run("c1", "tty; echo done; sleep 1", true);
  ASSERT_TRUE(events_.WaitExit("c1"));
  EXPECT_EQ(events_.WaitExit("c1")->exit_code, 0);
  EXPECT_NE(Log("c1").find("stdout F done\n"), std::string::npos) << Log("c1");
  EXPECT_NE(Log("c1").find("stdout F /dev/"), std::string::npos) << Log("c1");
}

// Reads what a terminal shows until `wanted` is in it.
std::string ReadTerminal(const os::Fd& fd, std::string_view wanted) {
  std::string seen;
  char bytes[256];
  for (int i = 0; i < 1000 && seen.find(wanted) == std::string::npos; ++i) {
    const ssize_t n = ::read(fd.get(), bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN) ::usleep(10'000);
    if (n == 0 || (n < 0 && errno != EAGAIN)) break;
    if (n > 0) seen.append(bytes, static_cast<size_t>(n));
  }
  return seen;
}

TEST_P(OciTest, ExecOnATerminalIsHungUpWhenItsMasterIsClosed) {
  StartPod();
  Run("c1", "sleep 1000");
  Result<SessionStreams> session = runtime_->StartExec(
      {"s1", "c1", ProcessJson("tty; read x; echo got $x; sleep 4244", true), true},
      {true, true, false});
  ASSERT_TRUE(session) << session.error().message();
  ASSERT_TRUE(session->terminal);
  EXPECT_NE(ReadTerminal(session->terminal, "pts").find("/dev/pts/"), std::string::npos);
  ASSERT_TRUE(os::WriteAll(session->terminal.get(), "hello\n"));
  EXPECT_NE(ReadTerminal(session->terminal, "got hello").find("got hello"), std::string::npos);
  session->terminal.Reset();
  Result<os::Message> result = os::ReceiveMessage(session->result.get(), 16, 0);
  ASSERT_TRUE(result);
  wire::Reader reader(result->bytes);
  EXPECT_EQ(*reader.U32(), 128U + SIGHUP);
}

TEST_P(OciTest, AttachToATerminalGivesItsMasterAndACopyOfTheOutput) {
  StartPod();
  Run("c1", "read x; echo got $x; read y; exit 3", true);
  Result<SessionStreams> session = runtime_->Attach("s1", "c1", {true, true, false});
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_TRUE(session->terminal && session->std_out);
  EXPECT_FALSE(session->std_in || session->std_err);
  ASSERT_TRUE(os::WriteAll(session->terminal.get(), "hello\n"));
  EXPECT_NE(ReadTerminal(session->std_out, "got hello").find("got hello"), std::string::npos);
  ASSERT_TRUE(os::WriteAll(session->terminal.get(), "end\n"));
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 3);
  EXPECT_NE(Log("c1").find("got hello"), std::string::npos) << Log("c1");
}

TEST_P(OciTest, SharedPidNamespaceHoldsAllContainers) {
  StartPod(true);
  ASSERT_GT(pod_.pid_ns_init, 0);
  Run("c1", "exec sleep 1000");
  Run("c2", "exec sleep 1001");
  EXPECT_NE(Exec("c1", "cat /proc/*/cmdline").out.find("1001"), std::string::npos);
  EXPECT_NE(Exec("c1", "cat /proc/1/cmdline").out.find("--init"), std::string::npos);
  ASSERT_TRUE(runtime_->Delete("s1", "c2"));
  EXPECT_EQ(Exec("c1", "true").exit_code, 0);
}

TEST_P(OciTest, OutOfMemoryIsInTheExitRecord) {
  Result<os::Cgroups> cgroups = os::Cgroups::Detect("/sys/fs/cgroup");
  if (!cgroups) GTEST_SKIP() << "needs cgroups";
  StartPod();
  Run("c1", "exec tail /dev/zero", false, 16 << 20);
  // /dev/zero is made by the OCI runtime; tail keeps all of it.
  std::optional<ExitRecord> exit = events_.WaitExit("c1");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->exit_code, 137);
  EXPECT_TRUE(exit->oom_killed);
}

TEST_P(OciTest, PodCanBeStoppedWithoutItsMonitor) {
  StartPod();
  Run("c1", "exec sleep 1000");
  ASSERT_EQ(::kill(pod_.monitor_pid, SIGKILL), 0);
  ASSERT_TRUE(events_.WaitLost("s1"));
  Result<> stopped = runtime_->StopSandbox("s1");
  EXPECT_TRUE(stopped) << stopped.error().message();
}

TEST_P(OciTest, IdleMonitorIsSmall) {
  StartPod();
  Run("c1", "exec sleep 1000");
  (void)Exec("c1", "true");
  ::usleep(2'500'000);  // until it has given its memory back
  os::DirFd proc = *os::DirFd::OpenTrusted(StrCat("/proc/", pod_.monitor_pid));
  const std::string text = *proc.ReadFile("smaps_rollup", 10'000);
  int64_t dirty = 0;
  for (std::string_view line : Split(text, '\n')) {
    if (line.starts_with("Pss:") || line.starts_with("Rss:") ||
        line.starts_with("Private_Dirty:")) {
      std::printf("monitor %.*s\n", static_cast<int>(line.size()), line.data());
      const size_t digit = line.find_first_of("0123456789");
      if (line.starts_with("Private_Dirty:"))
        dirty = *ParseInt(line.substr(digit, line.find(' ', digit) - digit), 0, 1 << 30, "kB");
    }
  }
  EXPECT_GT(dirty, 0);
  EXPECT_LT(dirty, 150);
}

}  // namespace
}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// berthd: reads the configuration, starts a Node, waits for a signal. The main thread does nothing
// else.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "daemon/config.h"
#include "daemon/log_sink.h"
#include "daemon/node.h"
#include "daemon/notify.h"

namespace {

using berth::Code;
using berth::Error;
using berth::Result;

struct Arguments {
  std::string config;
  std::string root;
  std::string state;
  std::string listen;
  std::string log_level;
  bool print_default_config = false;
  bool print_config_doc = false;
  bool list_fail_points = false;
};

void Describe(CLI::App& app, Arguments& a) {
  app.add_option("--config", a.config,
                 "configuration file; default /etc/berth/config.toml if it is there");
  app.add_option("--root", a.root, "directory of images and records");
  app.add_option("--state", a.state, "directory of sockets and exit records");
  app.add_option("--listen", a.listen, "CRI socket, unix:///path");
  app.add_option("--log-level", a.log_level, "debug, info, warning or error");
  app.add_flag("--print-default-config", a.print_default_config,
               "print a configuration file with every key and end");
  app.add_flag("--print-config-doc", a.print_config_doc, "print docs/config.md and end");
  app.add_flag("--list-fail-points", a.list_fail_points,
               "print the places where BERTH_FAIL_POINTS can make this build fail, and end");
  app.set_version_flag("--version", BERTH_VERSION);
}

Result<berth::daemon::Config> ReadArguments(const Arguments& a) {
  bool named = !a.config.empty();
  auto config = TRY(berth::daemon::LoadConfig(named ? a.config : "/etc/berth/config.toml", named));
  if (!a.root.empty()) config.root = a.root;
  if (!a.state.empty()) config.state = a.state;
  if (!a.listen.empty()) config.listen = a.listen;
  if (!a.log_level.empty()) config.log_level = a.log_level;
  for (const std::string* dir : {&config.root, &config.state}) {
    if (!dir->starts_with('/')) {
      return Error(Code::kInvalidArgument,
                   berth::StrCat("directory ", berth::Quote(*dir), ": not an absolute path"));
    }
  }
  return config;
}

Result<std::string> ExecutableDirectory() {
  std::array<char, 4096> buffer{};
  ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length <= 0 || static_cast<size_t>(length) >= buffer.size())
    return berth::ErrnoError("/proc/self/exe");
  std::string path(buffer.data(), static_cast<size_t>(length));
  return path.substr(0, path.rfind('/'));
}

// What holds for the whole process, before there is a second thread.
sigset_t PrepareProcess() {
  ::umask(0077);
  ::prctl(PR_SET_DUMPABLE, 0);  // no core file with registry credentials
  ::mallopt(M_ARENA_MAX,
            2);  // an arena for each of 64 threads would be most of the daemon's memory
  // Set, it does not move: what an exec has printed goes back to the system with its buffer.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void WaitForEnd(const sigset_t& signals, berth::daemon::Node& node) {
  for (;;) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) {
      berth::LogInfo(berth::StrCat("ending on signal ", signal, "; pods go on"));
      return;
    }
    berth::LogInfo(
        "SIGHUP: the streaming server's TLS files are read anew; registry and CNI configuration "
        "are "
        "read when they are used");
    node.Reload();
  }
}

// Everything is on record at any moment, so nothing is lost with calls that wait for a program, or a monitor, that hangs.
void EndInTime() {
  try {
    std::thread([] {
      std::this_thread::sleep_for(std::chrono::seconds(20));
      berth::LogWarn("calls in flight do not end: ending without them");
      ::_exit(0);
    }).detach();
  } catch (const std::system_error&) {
    // Without a thread it may take as long as the longest call.
  }
}

Result<> RunDaemon(const berth::daemon::Config& config, const sigset_t& signals) {
  auto node = TRY(berth::daemon::Node::Start(config, TRY(ExecutableDirectory())));
  TRY(berth::daemon::Notify("READY=1"));
  WaitForEnd(signals, *node);
  EndInTime();
  return berth::daemon::Notify("STOPPING=1");
}

int Fail(const Error& error) {
  std::fprintf(stderr, "berthd: %s\n", error.message().c_str());
  return error.code() == Code::kInvalidArgument ? 2 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Berth, a Kubernetes container runtime: the daemon");
  Arguments arguments;
  Describe(app, arguments);
  CLI11_PARSE(app, argc, argv);
  if (arguments.print_default_config || arguments.print_config_doc) {
    std::string text = arguments.print_config_doc ? berth::daemon::ConfigDocumentation()
                                                  : berth::daemon::DefaultConfigText();
    std::fputs(text.c_str(), stdout);
    return 0;
  }
  if (arguments.list_fail_points) {
    for (const std::string& name : berth::FailPointNames()) std::printf("%s\n", name.c_str());
    return 0;
  }
  Result<berth::daemon::Config> config = ReadArguments(arguments);
  if (!config) return Fail(config.error());
  if (::geteuid() != 0) return Fail(Error(Code::kPermissionDenied, "root is needed"));
  auto sink = berth::daemon::MakeLogSink(config->log_level);
  if (!sink) return Fail(sink.error());
  sigset_t signals = PrepareProcess();
  berth::SetLogSink(sink->get());
  Result<> ended = berth::ArmFailPointsFromEnvironment();
  if (ended) ended = RunDaemon(*config, signals);
  int code = ended ? 0 : Fail(ended.error());
  berth::SetLogSink(nullptr);
  return code;
}

// SPDX-License-Identifier: Apache-2.0
// Enters berth-fetch's sandbox and tries one thing after the other, printing "<name> <0 or errno>"
// lines. With an argument also looks that host name up. For tests only; not installed.
#include <fcntl.h>
#include <linux/bpf.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/strings.h"
#include "image/fetch/sandbox.h"
#include "os/dir_fd.h"

namespace {

void Say(const std::string& text) { (void)berth::os::WriteAll(1, text + "\n"); }

void Tried(const char* name, long result) { Say(berth::StrCat(name, " ", result < 0 ? errno : 0)); }

void TryFiles() {
  for (const char* path : {"/etc/shadow", "/etc/passwd", "/proc/self/status", "/../etc/passwd",
                           "/dev/null", "/etc/resolv.conf", "/etc/hosts"}) {
    Tried(berth::StrCat("open:", path).c_str(), ::open(path, O_RDONLY | O_CLOEXEC));
  }
  Tried("write", ::open("/etc/hosts", O_WRONLY | O_CLOEXEC));
  Tried("create", ::open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  Tried("mkdir", ::mkdir("/new", 0700));
  Tried("memfd", ::syscall(SYS_memfd_create, "x", 0));
}

void TryPrivileges() {
  char program[] = "/bin/true";
  char* arguments[] = {program, nullptr};
  Tried("exec", ::execve(program, arguments, nullptr));
  Tried("fork", ::fork());
  Tried("vfork", ::syscall(SYS_vfork));
  Tried("setuid", ::syscall(SYS_setuid, 0));
  Tried("unshare", ::unshare(CLONE_NEWUSER));
  Tried("mount", ::mount("x", "/", "tmpfs", 0, nullptr));
  Tried("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
  Tried("kill", ::kill(::getppid(), 0));
  Tried("bpf", ::syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0));
  Tried("keyctl", ::syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  Tried("io_uring", ::syscall(SYS_io_uring_setup, 1, nullptr));
  Tried("dumpable", ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

void TrySockets() {
  Tried("socket:unix", ::socket(AF_UNIX, SOCK_STREAM, 0));
  Tried("socket:netlink", ::socket(AF_NETLINK, SOCK_RAW, 0));
  Tried("socket:packet", ::socket(AF_PACKET, SOCK_RAW, 0));
  Tried("socket:raw", ::socket(AF_INET, SOCK_RAW, 1));
  Tried("socket:inet", ::socket(AF_INET, SOCK_STREAM, 0));
  Tried("socket:inet6", ::socket(AF_INET6, SOCK_STREAM, 0));
  Tried("listen", ::listen(::socket(AF_INET, SOCK_STREAM, 0), 1));
}

}  // namespace

int main(int argc, char** argv) {
  if (auto entered = berth::image::fetch::EnterSandbox({}); !entered) {
    Say(entered.error().message());
    return 1;
  }
  TryFiles();
  TryPrivileges();
  TrySockets();
  std::thread([] { Say("thread 0"); }).join();
  for (int i = 1; i < argc; ++i) {
    addrinfo* found = nullptr;
    const int rc = ::getaddrinfo(argv[i], "443", nullptr, &found);
    Say(berth::StrCat("lookup:", argv[i], " ", rc));
    if (rc == 0) ::freeaddrinfo(found);
  }
  return 0;
}

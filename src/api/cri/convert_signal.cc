// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <csignal>

#include "api/cri/convert.h"
#include "base/strings.h"

namespace berth::api {

namespace {
// Index: the enum's number up to SIGNAL_SIGXFSZ. From SIGRTMIN (35) on the numbers run on: 34, 35
// ... 64, with glibc's SIGRTMIN of 34, since the number is sent to a process of another libc all
// the same.
constexpr std::array<int, 35> kSignals = {
    0,       SIGABRT, SIGALRM,   SIGBUS,  SIGCHLD,   SIGCHLD,  SIGCONT, SIGFPE,  SIGHUP,
    SIGILL,  SIGINT,  SIGIO,     SIGABRT, SIGKILL,   SIGPIPE,  SIGIO,   SIGPROF, SIGPWR,
    SIGQUIT, SIGSEGV, SIGSTKFLT, SIGSTOP, SIGSYS,    SIGTERM,  SIGTRAP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG,  SIGUSR1,   SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ};
constexpr int kFirstRealTime = 34;
}  // namespace

Result<int> SignalFromProto(v1::Signal signal) {
  if (!v1::Signal_IsValid(signal)) {
    return Error(Code::kInvalidArgument, StrCat("stop signal ", int{signal}, " is unknown"));
  }
  auto index = static_cast<size_t>(signal);
  if (index < kSignals.size()) return kSignals[index];
  return kFirstRealTime + (int{signal} - int{v1::SIGNAL_SIGRTMIN});
}

v1::Signal SignalToProto(int signal) {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] == signal) return static_cast<v1::Signal>(i);
  }
  int real_time = int{v1::SIGNAL_SIGRTMIN} + signal - kFirstRealTime;
  return v1::Signal_IsValid(real_time) && signal >= kFirstRealTime
             ? static_cast<v1::Signal>(real_time)
             : v1::SIGNAL_RUNTIME_DEFAULT;
}

}  // namespace berth::api

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/strings.h"
#include "os/process.h"
#include "os/process_internal.h"

namespace berth::os {

namespace {

constexpr int kMaxChildFd = 1023;

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

class Attributes {
 public:
  Attributes() { ::posix_spawnattr_init(&attributes_); }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

Result<> Check(int rc, std::string_view what) {
  if (rc != 0) return ErrnoError(what, rc);
  return Ok();
}

Result<> CheckOptions(const SpawnOptions& options) {
  if (options.path.empty() || options.path[0] != '/')
    return Error(Code::kInvalidArgument, StrCat(Quote(options.path), ": not an absolute path"));
  auto has_nul = [](const std::string& s) { return s.find('\0') != std::string::npos; };
  if (has_nul(options.path) || std::any_of(options.args.begin(), options.args.end(), has_nul) ||
      std::any_of(options.env.begin(), options.env.end(), has_nul))
    return Error(Code::kInvalidArgument, "argument or environment with a NUL byte");
  std::vector<int> seen;
  for (const FdMapping& m : options.fds) {
    if (m.parent < 0 || m.child < 0 || m.child > kMaxChildFd ||
        std::find(seen.begin(), seen.end(), m.child) != seen.end())
      return Error(Code::kInvalidArgument,
                   StrCat("fd ", m.parent, " cannot become fd ", m.child, " of the child"));
    seen.push_back(m.child);
  }
  return Ok();
}

// The child's descriptors by number; 0, 1 and 2 not asked for are `null`.
std::vector<FdMapping> CompleteMappings(const SpawnOptions& options, int null) {
  std::vector<FdMapping> all = options.fds;
  for (int std_fd = 0; std_fd <= 2; ++std_fd) {
    auto is_it = [&](const FdMapping& m) { return m.child == std_fd; };
    if (std::none_of(all.begin(), all.end(), is_it)) all.push_back({null, std_fd});
  }
  std::sort(all.begin(), all.end(),
            [](const FdMapping& a, const FdMapping& b) { return a.child < b.child; });
  return all;
}

// Our numbers and the child's may cross (3->4, 4->3): each is first duplicated above all of the
// child's numbers, so that no dup2 in the child overwrites the source of a later one. `high` owns
// the duplicates.
Result<> AddFds(const std::vector<FdMapping>& all, FileActions& actions, std::vector<Fd>& high) {
  const int above = all.back().child + 1;
  int next = 0;
  for (const FdMapping& m : all) {
    Fd copy(::fcntl(m.parent, F_DUPFD_CLOEXEC, above));
    if (!copy) return ErrnoError(StrCat("fd ", m.parent));
    for (; next < m.child; ++next)
      TRY(Check(::posix_spawn_file_actions_addclose(actions.get(), next), "close fd in child"));
    TRY(Check(::posix_spawn_file_actions_adddup2(actions.get(), copy.get(), m.child),
              "give fd to child"));
    next = m.child + 1;
    high.push_back(std::move(copy));
  }
  return Check(::posix_spawn_file_actions_addclosefrom_np(actions.get(), above),
               "close fds in child");
}

Result<> SetAttributes(Attributes& attributes, bool new_session, bool new_group) {
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  TRY(Check(::posix_spawnattr_setsigdefault(attributes.get(), &all), "signal defaults"));
  TRY(Check(::posix_spawnattr_setsigmask(attributes.get(), &none), "signal mask"));
  int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  // A session leader leads its process group too.
  if (new_session) flags |= POSIX_SPAWN_SETSID;
  if (new_group && !new_session) flags |= POSIX_SPAWN_SETPGROUP;
  return Check(::posix_spawnattr_setflags(attributes.get(), static_cast<short>(flags)),
               "spawn flags");
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<Process> internal::SpawnInGroup(const SpawnOptions& options, bool new_group) {
  TRY(CheckOptions(options), "spawn");
  Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return ErrnoError("spawn: /dev/null");
  FileActions actions;
  Attributes attributes;
  std::vector<Fd> high;
  TRY(AddFds(CompleteMappings(options, null.get()), actions, high), "spawn");
  TRY(SetAttributes(attributes, options.new_session, new_group), "spawn");
  std::vector<char*> argv = Pointers(options.args);
  if (options.args.empty()) argv.insert(argv.begin(), const_cast<char*>(options.path.c_str()));
  std::vector<char*> envp = Pointers(options.env);
  pid_t pid = -1;
  const int rc = ::posix_spawn(&pid, options.path.c_str(), actions.get(), attributes.get(),
                               argv.data(), envp.data());
  if (rc != 0) return ErrnoError(StrCat("spawn ", options.path), rc);
  // Nobody but us reaps the child, so the number is still its own.
  Fd pidfd(internal::PidfdOpen(pid));
  if (!pidfd) {
    Error error = ErrnoError(StrCat("spawn ", options.path, ": open pidfd"));
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return error;
  }
  return Process(pid, std::move(pidfd));
}

Result<Process> Spawn(const SpawnOptions& options) {
  return internal::SpawnInGroup(options, false);
}

}  // namespace berth::os

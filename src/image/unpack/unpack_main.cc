// SPDX-License-Identifier: Apache-2.0
// berth-unpack: the only program of Berth that looks inside layers and inside an image's files.
// Started by berthd as root; see unpack_protocol.h for arguments and fds. It locks itself in first,
// reads second, answers once.
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "base/strings.h"
#include "image/unpack/opaque_keeper.h"
#include "image/unpack/sandbox.h"
#include "image/unpack/tree_sum.h"
#include "image/unpack/unpack_layer.h"
#include "image/unpack/user_database.h"
#include "image/unpack/user_files.h"
#include "image/unpack_protocol.h"
#include "os/dir_fd.h"
#include "os/fd.h"
#include "os/socket.h"

namespace berth::image::unpack {
namespace {

constexpr uint64_t kMemory = uint64_t{512} << 20;  // a zstd window of 128 MiB, buffers, stacks
constexpr uint64_t kFiles = 2048;                  // an open directory for each level of the tree

Result<os::Fd> OpenRoot() {
  os::Fd root(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError("open the new root");
  return root;
}

Result<Limits> LimitsFrom(int argc, char** argv) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / 4;
  if (argc != 4) return Error(Code::kInvalidArgument, "usage: berth-unpack layer BYTES ENTRIES");
  Limits limits;
  limits.bytes = static_cast<uint64_t>(TRY(ParseInt(argv[2], 1, kMax, "bytes")));
  limits.stream_bytes = 2 * limits.bytes;
  limits.entries = static_cast<uint64_t>(TRY(ParseInt(argv[3], 1, kMax, "entries")));
  return limits;
}

// Dies with its parent, even if that one died just before: then nobody holds the other end of
// `peer_fd`. The daemon's thread that starts an unpacking outlives it, so a thread's end is no
// false alarm.
Result<> DieWithParent(int peer_fd) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return ErrnoError("death signal");
  struct pollfd peer{peer_fd, 0, 0};
  if (::poll(&peer, 1, 0) != 0) return Error(Code::kInternal, "the parent is gone");
  return Ok();
}

Result<LayerResult> UnpackInside(os::Fd socket, Hasher hasher, const Limits& limits) {
  os::Fd root = TRY(OpenRoot());
  TRY(SetResourceLimits({.memory = kMemory, .file_size = limits.file_size, .files = kFiles}));
  TRY(KeepCapabilities(
      {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP}));
  // After the capabilities: gaining or losing them the other way round clears the signal. prctl is
  // filtered later.
  TRY(DieWithParent(socket.get()));
  TRY(FilterSyscalls(SyscallSet::kLayer));
  KeeperMarker marker(std::move(socket));
  return UnpackLayer(std::move(root), os::Fd(kUnpackInputFd), std::move(hasher), marker, limits);
}

void Answer(const Result<std::string>& outcome) {
  const std::string message = outcome ? EncodeSuccess(*outcome) : EncodeFailure(outcome.error());
  // When nobody listens any more, nobody misses it.
  (void)os::WriteAll(kUnpackResultFd, message);
}

template <class Body>
Result<std::string> Guarded(Body body) {
  try {
    return body();
  } catch (const std::exception& e) {
    return Error(Code::kResourceExhausted, StrCat("unpack: ", e.what()));
  }
}

[[noreturn]] void RunChild(os::Fd socket, Hasher hasher, const Limits& limits) {
  const Result<std::string> outcome = Guarded([&]() -> Result<std::string> {
    return EncodeLayerResult(TRY(UnpackInside(std::move(socket), std::move(hasher), limits)));
  });
  Answer(outcome);
  ::_exit(outcome ? 0 : 1);
}

// Returns only when something fails before the child exists; the process's exit code otherwise.
Result<int> RunLayer(int argc, char** argv) {
  const Limits limits = TRY(LimitsFrom(argc, argv));
  // A daemon that starts again empties the directory for unfinished layers: nobody may be writing
  // there any more.
  TRY(DieWithParent(kUnpackResultFd));
  Hasher hasher = TRY(Hasher::Make());
  os::Fd mount = TRY(CloneDirectory(kUnpackDirFd, false));
  os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  TRY(EnterNamespaces());
  TRY(PivotInto(std::move(mount)));
  ::close(kUnpackDirFd);
  // The pid namespace begins with the child. It is the one that meets the bytes; this process stays
  // to mark directories.
  const pid_t child = ::fork();
  if (child < 0) return ErrnoError("fork");
  if (child == 0) {
    pair.a.Reset();
    RunChild(std::move(pair.b), std::move(hasher), limits);
  }
  pair.b.Reset();
  ::close(kUnpackInputFd);
  Result<> locked = KeepCapabilities({CAP_SYS_ADMIN});
  if (locked) locked = FilterSyscalls(SyscallSet::kKeeper);
  // The child answers, unless it never got that far: then it dies with this process.
  if (!locked) return std::move(locked.error());
  ::close(kUnpackResultFd);
  ServeOpaque(pair.a.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<TreeSum> RunSum() {
  TRY(DieWithParent(kUnpackResultFd));
  os::Fd mount = TRY(CloneDirectory(kUnpackDirFd, true));
  TRY(EnterNamespaces());
  TRY(PivotInto(std::move(mount)));
  ::close(kUnpackDirFd);
  const os::Fd root = TRY(OpenRoot());
  TRY(SetResourceLimits({.memory = kMemory, .file_size = 0, .files = kFiles}));
  TRY(KeepCapabilities({CAP_DAC_READ_SEARCH}));
  TRY(DieWithParent(kUnpackResultFd));
  TRY(FilterSyscalls(SyscallSet::kSum));
  return SumTreeFromDisk(root.get());
}

Result<ResolvedUser> RunUser() {
  const UserQuery query =
      TRY(DecodeUserQuery(TRY(os::ReadAll(kUnpackInputFd, 4U << 20), "user query")));
  TRY(EnterNamespaces());
  TRY(PivotInto(os::Fd(kUnpackDirFd)));
  const os::Fd root = TRY(OpenRoot());
  TRY(SetResourceLimits({.memory = kMemory, .file_size = 0, .files = kFiles}));
  TRY(KeepCapabilities({CAP_DAC_READ_SEARCH}));
  TRY(FilterSyscalls(SyscallSet::kUser));
  const std::string passwd = TRY(ReadUserFile(root.get(), "etc/passwd"));
  const std::string group = TRY(ReadUserFile(root.get(), "etc/group"));
  return ResolveUser(passwd, group, query);
}

int Main(int argc, char** argv) {
  // One heap for all threads: an arena each would reserve more address space than is allowed.
  ::mallopt(M_ARENA_MAX, 1);
  ::signal(SIGPIPE, SIG_IGN);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "layer") {
    Result<int> code = RunLayer(argc, argv);
    if (code) return *code;
    Answer(std::move(code.error()));
    return 1;
  }
  const Result<std::string> outcome = Guarded([&]() -> Result<std::string> {
    if (mode == "sum") return EncodeTreeSum(TRY(RunSum()));
    if (mode != "user") return Error(Code::kInvalidArgument, "usage: berth-unpack layer|sum|user");
    return EncodeUser(TRY(RunUser()));
  });
  Answer(outcome);
  return outcome ? 0 : 1;
}

}  // namespace
}  // namespace berth::image::unpack

int main(int argc, char** argv) {
  // Without destructors of static objects: the sandbox is no place for surprises.
  ::_exit(berth::image::unpack::Main(argc, argv));
}

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"
#include "monitor/log_writer.h"

namespace berth::monitor {

namespace {

constexpr mode_t kLogMode = 0640;
constexpr mode_t kLogDirMode = 0755;

Result<> CheckFile(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) < 0) return ErrnoError("log file");
  if (!S_ISREG(st.st_mode)) return Error(Code::kFailedPrecondition, "not a regular file");
  // A hard link could be anybody's file on the same file system.
  if (st.st_nlink != 1) return Error(Code::kFailedPrecondition, "has more than one name");
  return Ok();
}

// What is at the name is looked at by O_PATH first: opening a FIFO or device could block or act.
Result<os::Fd> OpenExisting(const os::Fd& found) {
  TRY(CheckFile(found.get()));
  const std::string path = StrCat("/proc/self/fd/", found.get());
  os::Fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return ErrnoError("open");
  TRY(CheckFile(file.get()));
  return file;
}

Result<os::Fd> OpenOrMake(const os::DirFd& dir, const std::string& rel) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    Result<os::Fd> found = dir.Open(rel, O_PATH | O_NOFOLLOW);
    if (found) return TRY(OpenExisting(*found), Quote(rel));
    if (found.error().code() != Code::kNotFound) return std::move(found.error());
    Result<os::Fd> made = dir.Open(
        rel, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, kLogMode);
    if (made || made.error().code() != Code::kAlreadyExists) return made;
  }
  return Error(Code::kAborted, StrCat(Quote(rel), ": is made and removed by somebody else"));
}

Result<> MakeParents(const os::DirFd& dir, const std::string& rel) {
  for (size_t slash = rel.find('/'); slash != std::string::npos; slash = rel.find('/', slash + 1))
    TRY(dir.MakeOrOpenDir(std::string_view(rel).substr(0, slash), kLogDirMode));
  return Ok();
}

}  // namespace

Result<LogFile> LogFile::Open(os::DirFd dir, std::string rel) {
  TRY(MakeParents(dir, rel), "log directory");
  LogFile log;
  log.file_ = TRY(OpenOrMake(dir, rel), "log file");
  log.dir_ = std::move(dir);
  log.rel_ = std::move(rel);
  return log;
}

Result<> LogFile::Reopen() {
  if (rel_.empty()) return Ok();  // logs are discarded
  file_ = TRY(OpenOrMake(dir_, rel_), "log file");
  torn_ = false;
  return Ok();
}

void LogFile::Write(const char* records, size_t size) {
  if (!file_) return;
  auto write_some = [&](const char* data, size_t count) {
    ssize_t n;
    do n = ::write(file_.get(), data, count);
    while (n < 0 && errno == EINTR);
    return n > 0 ? static_cast<size_t>(n) : 0;
  };
  if (torn_) {
    if (write_some("\n", 1) == 0) {
      dropped_ += size;
      return;
    }
    torn_ = false;
  }
  size_t done = 0;
  while (done < size) {
    const size_t n = write_some(records + done, size - done);
    if (n == 0) break;
    done += n;
  }
  dropped_ += size - done;
  torn_ = done > 0 && records[done - 1] != '\n';
}

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"

namespace berth::image::fetch {

namespace {

constexpr size_t kBuffer = 256u << 10;

// `size` bytes from `offset`; DataLoss when the file has become shorter.
Result<> StreamRange(int fd, uint64_t offset, uint64_t size, const BodySink& sink) {
  std::string buffer(std::min<uint64_t>(kBuffer, std::max<uint64_t>(size, 1)), '\0');
  while (size > 0) {
    const size_t want = std::min<uint64_t>(size, buffer.size());
    const ssize_t n = ::pread(fd, buffer.data(), want, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("read");
    if (n == 0) return Error(Code::kDataLoss, "file is cut short");
    TRY(sink(std::string_view(buffer.data(), static_cast<size_t>(n))));
    offset += static_cast<uint64_t>(n);
    size -= static_cast<uint64_t>(n);
  }
  return Ok();
}

// There is no /proc in the sandbox: opened once, without waiting for a FIFO, and judged by fstat.
Result<os::Fd> OpenRegular(const os::DirFd& dir, const std::string& name, uint64_t& size) {
  os::Fd fd = TRY(dir.Open(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY));
  struct stat st{};
  if (::fstat(fd.get(), &st) < 0) return ErrnoError(Quote(name));
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kFailedPrecondition, StrCat(Quote(name), ": not a regular file"));
  }
  size = static_cast<uint64_t>(st.st_size);
  return fd;
}

}  // namespace

Result<std::string> Files::Read(const std::string& name, size_t limit) {
  const uint64_t size = TRY(Size(name));
  if (size > limit) {
    return Error(Code::kResourceExhausted,
                 StrCat(Quote(name), ": ", size, " bytes are more than ", limit));
  }
  std::string bytes;
  auto append = [&](std::string_view part) -> Result<> {
    // A file that grows meanwhile must not get past the limit.
    if (part.size() > limit - bytes.size()) {
      return Error(Code::kResourceExhausted, StrCat(Quote(name), ": more than ", limit, " bytes"));
    }
    bytes += part;
    return Ok();
  };
  TRY(Stream(name, append));
  return bytes;
}

Result<bool> DirFiles::Exists(const std::string& name) { return dir_.Exists(name); }

Result<uint64_t> DirFiles::Size(const std::string& name) {
  uint64_t size = 0;
  TRY(OpenRegular(dir_, name, size));
  return size;
}

Result<> DirFiles::Stream(const std::string& name, const BodySink& sink) {
  uint64_t size = 0;
  const os::Fd fd = TRY(OpenRegular(dir_, name, size));
  return StreamRange(fd.get(), 0, size, sink);
}

Result<std::string> TarFiles::Normalize(std::string_view name) {
  std::vector<std::string> parts;
  for (std::string_view part : Split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
      continue;
    }
    if (parts.empty())
      return Error(Code::kInvalidArgument, StrCat("name leaves the archive: ", Quote(name)));
    parts.pop_back();
  }
  return Join(parts, "/");
}

Result<const TarFiles::Entry*> TarFiles::Find(const std::string& name) const {
  std::string at = TRY(Normalize(name));
  for (int hops = 0; hops <= kMaxLinks; ++hops) {
    const auto found = entries_.find(at);
    if (found == entries_.end()) {
      return Error(Code::kNotFound, StrCat(Quote(name), ": not in the archive"));
    }
    if (found->second.link.empty()) return &found->second;
    at = found->second.link;
  }
  return Error(Code::kInvalidArgument, StrCat(Quote(name), ": too many links"));
}

Result<bool> TarFiles::Exists(const std::string& name) {
  auto found = Find(name);
  if (found) return true;
  if (found.error().code() == Code::kNotFound) return false;
  return std::move(found.error());
}

Result<uint64_t> TarFiles::Size(const std::string& name) { return TRY(Find(name))->size; }

Result<> TarFiles::Stream(const std::string& name, const BodySink& sink) {
  const Entry* entry = TRY(Find(name));
  return StreamRange(file_.get(), entry->offset, entry->size, sink);
}

}  // namespace berth::image::fetch

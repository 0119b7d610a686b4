// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "os/socket.h"

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

Result<os::Fd> LayoutFiles::Open(const std::string& name, uint64_t& size) {
  auto socket = socket_.Lock();
  TRY(os::SendMessage(socket->get(), name), Quote(name));
  os::Message answer = TRY(os::ReceiveMessage(socket->get(), 8192, 1), Quote(name));
  if (answer.end) return Error(Code::kCancelled, "cancelled");
  if (answer.bytes[0] != 0) {
    return Error(static_cast<Code>(answer.bytes[0]), answer.bytes.substr(1));
  }
  struct stat st{};
  if (answer.fds.size() != 1 || ::fstat(answer.fds[0].get(), &st) < 0) {
    return Error(Code::kInternal, StrCat(Quote(name), ": no file came"));
  }
  size = static_cast<uint64_t>(st.st_size);
  return std::move(answer.fds[0]);
}

Result<bool> LayoutFiles::Exists(const std::string& name) {
  uint64_t size = 0;
  auto fd = Open(name, size);
  if (fd) return true;
  if (fd.error().code() == Code::kNotFound) return false;
  return std::move(fd.error());
}

Result<uint64_t> LayoutFiles::Size(const std::string& name) {
  uint64_t size = 0;
  TRY(Open(name, size));
  return size;
}

Result<> LayoutFiles::Stream(const std::string& name, const BodySink& sink) {
  uint64_t size = 0;
  const os::Fd fd = TRY(Open(name, size));
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

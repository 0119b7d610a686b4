// SPDX-License-Identifier: Apache-2.0
#include "image/process_fetcher_files.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/strings.h"
#include "image/fetch_protocol.h"
#include "oci/digest.h"
#include "os/socket.h"

namespace berth::image {

Result<std::unique_ptr<FileService>> FileService::Start(os::DirFd dir, os::Fd& client) {
  os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  client = std::move(pair.b);
  std::unique_ptr<FileService> service(new FileService(std::move(dir), std::move(pair.a)));
  service->thread_ = std::thread([raw = service.get()] { raw->Serve(); });
  return service;
}

FileService::~FileService() {
  ::shutdown(socket_.get(), SHUT_RDWR);  // wakes the thread, whoever still has the other end
  thread_.join();
}

bool FileService::IsLayoutFile(std::string_view name) {
  constexpr std::string_view kBlobs = "blobs/";
  if (name == "oci-layout" || name == "index.json") return true;
  if (!name.starts_with(kBlobs)) return false;
  std::string digest(name.substr(kBlobs.size()));
  const size_t slash = digest.find('/');
  if (slash == std::string::npos) return false;
  digest[slash] = ':';
  return oci::Digest::Parse(digest).has_value();
}

Result<os::Fd> FileService::Open(std::string_view name) const {
  if (!IsLayoutFile(name)) return Error(Code::kNotFound, "not a file of an OCI layout");
  os::Fd fd = TRY(dir_.Open(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY));
  struct stat st{};
  if (::fstat(fd.get(), &st) < 0) return ErrnoError(name);
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kFailedPrecondition, StrCat(Quote(name), ": not a regular file"));
  }
  return fd;
}

void FileService::Serve() {
  for (;;) {
    auto request = os::ReceiveMessage(socket_.get(), 256, 0);
    if (!request || request->end) return;
    auto fd = Open(request->bytes);
    Result<> sent;
    if (fd) {
      const int number = fd->get();
      sent = os::SendMessage(socket_.get(), std::string_view("\0", 1), {&number, 1});
    } else {
      const std::string text = fetch::CleanText(fd.error().message());
      sent = os::SendMessage(socket_.get(), StrCat(static_cast<char>(fd.error().code()), text));
    }
    if (!sent) return;
  }
}

}  // namespace berth::image

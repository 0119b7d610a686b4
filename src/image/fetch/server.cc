// SPDX-License-Identifier: Apache-2.0
#include "image/fetch/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/strings.h"

namespace berth::image::fetch {

namespace {

constexpr auto kProgressPeriod = std::chrono::milliseconds(250);

// Blob bytes to the pipe, and now and then a word about it to the daemon.
class PipeSink {
 public:
  PipeSink(int pipe, int socket) : pipe_(pipe), socket_(socket) {}

  Result<> Write(std::string_view bytes) {
    if (auto written = os::WriteAll(pipe_, bytes); !written) {
      return std::move(written.error()).WithCode(Code::kAborted).Wrap("its reader went away");
    }
    unreported_ += bytes.size();
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kProgressPeriod) return Ok();
    last_ = now;
    return Report();
  }
  Result<> Report() {
    Reply reply;
    reply.received = std::exchange(unreported_, 0);
    return SendFrame(socket_, Encode(reply));
  }

 private:
  int pipe_;
  int socket_;
  uint64_t unreported_ = 0;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

Result<std::string> ReceiveRequired(int socket, size_t limit) {
  auto frame = TRY(ReceiveFrame(socket, limit));
  if (!frame) return Error(Code::kCancelled, "cancelled");
  return std::move(*frame);
}

}  // namespace

std::string PrefixFirst(std::string_view message) {
  for (const std::string_view prefix : {kUnavailablePrefix, kSignaturePrefix}) {
    const size_t at = message.find(prefix);
    if (at == std::string_view::npos || at == 0) continue;
    return StrCat(prefix, message.substr(0, at), message.substr(at + prefix.size()));
  }
  return std::string(message);
}

Result<> Server::Run() {
  for (;;) {
    os::Message message = TRY(os::ReceiveMessage(control_.get(), 16, 2));
    if (message.end) return Ok();
    TRY(Start(std::move(message)));
  }
}

Result<> Server::Start(os::Message message) {
  if (message.bytes.size() != 1 || message.fds.empty()) {
    return Error(Code::kInvalidArgument, "operation without its socket");
  }
  Task task = nullptr;
  switch (static_cast<Operation>(message.bytes[0])) {
    case Operation::kResolve:
      task = &Server::Resolve;
      break;
    case Operation::kFetchLayer:
      task = &Server::FetchLayer;
      break;
  }
  if (task == nullptr) return Error(Code::kInvalidArgument, "unknown operation");
  os::Fd extra = message.fds.size() > 1 ? std::move(message.fds[1]) : os::Fd();
  // Detached: only the end of the process ends a transfer that hangs.
  std::thread([this, task, socket = std::move(message.fds[0]), extra = std::move(extra)]() mutable {
    Work(task, std::move(socket), std::move(extra));
  }).detach();
  return Ok();
}

void Server::Work(Task task, os::Fd socket, os::Fd extra) {
  auto result = (this->*task)(socket.get(), std::move(extra));
  Reply reply;
  if (result) {
    reply.kind = ReplyKind::kDone;
    reply.payload = std::move(*result);
  } else {
    reply.kind = ReplyKind::kFailure;
    reply.code = result.error().code();
    reply.message = PrefixFirst(result.error().message());
  }
  // Nobody listens any more: the operation was given up.
  (void)SendFrame(socket.get(), Encode(reply));
}

Result<std::string> Server::Resolve(int socket, os::Fd source) {
  std::string bytes = TRY(ReceiveRequired(socket, kMaxRequest));
  const ResolveRequest request = TRY(DecodeResolveRequest(bytes));
  Wipe(bytes);  // client keys
  if (request.reference.empty()) return EncodeImages(TRY(OpenSource(request, std::move(source))));
  std::string secret = TRY(ReceiveRequired(socket, kMaxCredentials));
  auto credentials = DecodeCredentials(secret);
  Wipe(secret);
  if (!credentials) return std::move(credentials.error());
  auto images = OpenRegistry(request, std::move(*credentials));
  if (!images) return std::move(images.error()).Wrap(request.reference);
  return EncodeImages(*images);
}

Result<std::vector<RemoteImage>> Server::OpenRegistry(const ResolveRequest& request,
                                                      Credentials credentials) {
  const auto reference = TRY(oci::Reference::Parse(request.reference));
  auto content = TRY(RegistryContent::Make(request, std::move(credentials), system_ca_));
  Document root = TRY(content->GetRoot());
  const oci::Digest digest = root.digest;
  if (!request.signature_key_pem.empty())
    TRY(content->CheckSignatures(digest, request.signature_key_pem));
  std::vector<ResolvedImage> resolved;
  resolved.push_back(TRY(ResolveImage(*content, std::move(root), request.platform)));
  std::vector<RemoteImage> images{ToRemoteImage(resolved[0])};
  // Beside a digest a tag is only a remark: nobody asked the registry what it is.
  if (auto tag = reference.TagForm(); tag && !reference.digest()) images[0].tags.push_back(*tag);
  images[0].digests.push_back(reference.DigestForm(digest));
  *opened_.Lock() = std::make_shared<Opened>(Opened{std::move(content), std::move(resolved)});
  return images;
}

Result<std::vector<RemoteImage>> Server::OpenSource(const ResolveRequest& request, os::Fd source) {
  if (!source) return Error(Code::kInvalidArgument, "no source");
  std::unique_ptr<Files> files;
  if (request.local_is_directory) {
    files = std::make_unique<LayoutFiles>(std::move(source));
  } else {
    files = TRY(TarFiles::Open(std::move(source)));
  }
  LocalImages local = TRY(OpenLocal(std::move(files), request.local_name, request.platform));
  std::vector<ResolvedImage> resolved;
  std::vector<RemoteImage> images;
  for (LocalImage& image : local.images) {
    images.push_back(ToRemoteImage(image.image));
    images.back().tags = std::move(image.tags);
    images.back().digests = std::move(image.digests);
    resolved.push_back(std::move(image.image));
  }
  *opened_.Lock() = std::make_shared<Opened>(Opened{std::move(local.content), std::move(resolved)});
  return images;
}

Result<std::string> Server::FetchLayer(int socket, os::Fd sink) {
  const LayerRequest request = TRY(DecodeLayerRequest(TRY(ReceiveRequired(socket, kMaxRequest))));
  const std::shared_ptr<const Opened> opened = *opened_.Lock();
  if (!opened || !sink || request.image >= opened->images.size() ||
      request.layer >= opened->images[request.image].manifest.layers.size()) {
    return Error(Code::kInvalidArgument, StrCat("layer ", request.layer, ": no such layer"));
  }
  const oci::Layer& layer = opened->images[request.image].manifest.layers[request.layer];
  PipeSink pipe(sink.get(), socket);
  TRY(opened->content->StreamBlob(layer.descriptor,
                                  [&](std::string_view bytes) { return pipe.Write(bytes); }),
      StrCat("layer ", request.layer));
  // The reader sees the end before the daemon hears of the success.
  sink.Reset();
  TRY(pipe.Report());
  return std::string();
}

}  // namespace berth::image::fetch

// SPDX-License-Identifier: Apache-2.0
#include "image/process_fetcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <stop_token>

#include "base/strings.h"
#include "image/certs_d.h"
#include "image/docker_config.h"
#include "image/fetch_protocol.h"
#include "image/process_fetcher_files.h"
#include "os/process.h"
#include "os/socket.h"

namespace berth::image {

namespace {

using fetch::Operation;
using fetch::Reply;
using fetch::ReplyKind;

class ProcessSession final : public FetchSession {
 public:
  // `docker_configs`: where to look for the credentials of `domain` when there are none.
  ProcessSession(fetch::ResolveRequest request, Credentials credentials,
                 std::vector<std::string> docker_configs, std::string domain, os::Fd source,
                 std::unique_ptr<FileService> files, os::Fd control, os::Process process)
      : request_(std::move(request)),
        credentials_(std::move(credentials)),
        docker_configs_(std::move(docker_configs)),
        domain_(std::move(domain)),
        source_(std::move(source)),
        files_(std::move(files)),
        control_(std::move(control)),
        process_(std::move(process)) {}

  ~ProcessSession() override {
    Cancel();
    fetch::Wipe(credentials_);
  }

  Result<std::vector<RemoteImage>> Resolve() override {
    if (!request_.reference.empty() && IsEmpty(credentials_)) {
      auto found = FindDockerCredentials(docker_configs_, domain_, stop_.get_token());
      if (!found) return std::move(found.error());
      credentials_ = std::move(*found);
    }
    std::vector<std::string> frames{fetch::Encode(request_)};
    if (!request_.reference.empty()) frames.push_back(fetch::Encode(credentials_));
    fetch::Wipe(credentials_);
    auto payload = Run(Operation::kResolve, std::move(source_), frames);
    for (std::string& frame : frames) fetch::Wipe(frame);
    auto images = TRY(fetch::DecodeImages(TRY(std::move(payload))), "berth-fetch");
    std::vector<size_t> layers;
    for (const RemoteImage& image : images) layers.push_back(image.layers.size());
    std::lock_guard lock(mutex_);
    layers_ = std::move(layers);
    return images;
  }

  Result<> FetchLayer(size_t image, size_t layer, os::Fd sink) override {
    {
      std::lock_guard lock(mutex_);
      if (image >= layers_.size() || layer >= layers_[image]) {
        return Error(Code::kInvalidArgument, StrCat("layer ", layer, ": no such layer"));
      }
    }
    TRY(Run(Operation::kFetchLayer, std::move(sink),
            {fetch::Encode(fetch::LayerRequest{image, layer})}));
    return Ok();
  }

  void Cancel() override {
    cancelled_ = true;
    stop_.request_stop();
    // Every operation's socket ends with the process.
    if (process_.valid()) (void)process_.Kill(SIGKILL);
  }

  uint64_t received() const override { return received_; }

 private:
  // Our copy of `extra` is closed as soon as the process has its own.
  Result<std::string> Run(Operation operation, os::Fd extra,
                          const std::vector<std::string>& frames) {
    if (cancelled_) return Cancelled();
    os::SocketPair pair = TRY(os::MakeSocketPair(os::SocketType::kStream));
    std::vector<int> fds{pair.b.get()};
    if (extra) fds.push_back(extra.get());
    const char kind = static_cast<char>(operation);
    if (!os::SendMessage(control_.get(), {&kind, 1}, fds)) return Gone();
    pair.b.Reset();
    extra.Reset();
    for (const std::string& frame : frames) {
      if (!fetch::SendFrame(pair.a.get(), frame)) return Gone();
    }
    for (;;) {
      auto frame = fetch::ReceiveFrame(pair.a.get(), fetch::kMaxReply);
      if (!frame || !*frame) return Gone();
      Reply reply = TRY(fetch::DecodeReply(**frame), "berth-fetch");
      if (reply.kind == ReplyKind::kProgress) {
        received_ += reply.received;
      } else if (reply.kind == ReplyKind::kDone) {
        return std::move(reply.payload);
      } else {
        return Error(reply.code, std::move(reply.message));
      }
    }
  }

  static Error Cancelled() { return Error(Code::kCancelled, "pull: cancelled"); }

  // The process ended: because we wanted it, or for a reason that it may have left on the control
  // socket.
  Error Gone() {
    if (cancelled_) return Cancelled();
    std::lock_guard lock(mutex_);
    pollfd words{control_.get(), POLLIN, 0};
    // What we sent and it never read makes the first call fail (ECONNRESET); its words come after.
    for (int tries = 0; tries < 2 && last_words_.empty() && ::poll(&words, 1, 1000) > 0; ++tries) {
      auto message = os::ReceiveMessage(control_.get(), 8192, 0);
      if (message && !message->end) last_words_ = fetch::CleanText(message->bytes);
    }
    return Error(Code::kInternal,
                 StrCat("berth-fetch: ended", last_words_.empty() ? "" : ": ", last_words_));
  }

  const fetch::ResolveRequest request_;
  Credentials credentials_;  // until Resolve
  const std::vector<std::string> docker_configs_;
  const std::string domain_;
  os::Fd source_;                       // until Resolve
  std::unique_ptr<FileService> files_;  // for a directory
  const os::Fd control_;
  os::Process process_;
  std::atomic<bool> cancelled_{false};
  std::stop_source stop_;  // of a credential helper
  std::atomic<uint64_t> received_{0};
  std::mutex mutex_;
  std::vector<size_t> layers_;  // of each image; guarded by mutex_
  std::string last_words_;      // guarded by mutex_
};

Result<os::Fd> PrepareSource(LocalSource& source, fetch::ResolveRequest& request,
                             std::unique_ptr<FileService>& files) {
  struct stat st{};
  if (::fstat(source.fd.get(), &st) < 0) return ErrnoError("image source");
  request.local_name = source.name;
  request.local_is_directory = S_ISDIR(st.st_mode);
  if (request.local_is_directory) {
    os::Fd client;
    files = TRY(FileService::Start(os::DirFd(std::move(source.fd)), client), "image source");
    return client;
  }
  if (!S_ISREG(st.st_mode)) {
    return Error(Code::kInvalidArgument, "image source: neither a directory nor a regular file");
  }
  if ((::fcntl(source.fd.get(), F_GETFL) & O_ACCMODE) != O_RDONLY) {
    return Error(Code::kInvalidArgument, "image source: open for more than reading");
  }
  return std::move(source.fd);
}

}  // namespace

oci::Platform HostPlatform() {
  utsname name{};
  ::uname(&name);
  return oci::NormalizePlatform({"linux", name.machine, "", ""});
}

ProcessFetcher::ProcessFetcher(FetchSettings settings) : settings_(std::move(settings)) {
  if (settings_.platform.os.empty()) settings_.platform = HostPlatform();
}

Result<std::unique_ptr<FetchSession>> ProcessFetcher::Open(RemoteSource source) {
  fetch::ResolveRequest request;
  request.platform = settings_.platform;
  request.connect_timeout = settings_.connect_timeout;
  request.stall_timeout = settings_.stall_timeout;
  request.retry_delay = settings_.retry_delay;
  request.proxy = settings_.proxy;
  Credentials credentials;
  std::string domain;
  os::Fd local;
  std::unique_ptr<FileService> files;
  if (auto* registry = std::get_if<RegistrySource>(&source)) {
    request.reference = registry->reference.str();
    request.signature_key_pem = registry->signature_key_pem;
    request.endpoints = TRY(FindEndpoints(settings_.certs_d, registry->reference.domain()));
    credentials = std::move(registry->credentials);
    domain = registry->reference.domain();
  } else {
    local = TRY(PrepareSource(std::get<LocalSource>(source), request, files));
  }
  os::SocketPair control = TRY(os::MakeSocketPair(os::SocketType::kSeqPacket));
  os::SpawnOptions spawn;
  spawn.path = settings_.program;
  spawn.args = {"berth-fetch", StrCat("--uid=", settings_.uid), StrCat("--gid=", settings_.gid)};
  spawn.fds = {{control.b.get(), fetch::kControlFd}};
  os::Process process = TRY(os::Spawn(spawn), "berth-fetch");
  return std::unique_ptr<FetchSession>(new ProcessSession(
      std::move(request), std::move(credentials), settings_.docker_configs, std::move(domain),
      std::move(local), std::move(files), std::move(control.a), std::move(process)));
}

}  // namespace berth::image

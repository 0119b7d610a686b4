// SPDX-License-Identifier: Apache-2.0
#include "api/cri/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/cri/dispatch.h"
#include "api/cri/handlers.h"
#include "base/strings.h"
#include "cri.grpc.pb.h"
#include "os/fd.h"

namespace berth::api {

namespace {

// Slow calls must not starve quick ones: the kubelet judges our health by List and Status.
struct Executors {
  Executor quick{{.name = "quick calls", .max_threads = 4}};
  Executor lifecycle{{.name = "lifecycle calls", .max_threads = 64}};
  Executor wait{{.name = "waiting calls", .max_threads = 512}};
};

#define BERTH_SERVE(Rpc, executor)                                                            \
  grpc::ServerUnaryReactor* Rpc(grpc::CallbackServerContext* context,                         \
                                const v1::Rpc##Request* request, v1::Rpc##Response* response) \
      override {                                                                              \
    pod::Call call;                                                                           \
    call.deadline = DeadlineOf(*context, services_.clock);                                    \
    return UnaryCall::Start(executors_.executor, #Rpc, std::move(call),                       \
                            [this, request, response](const pod::Call& c) {                   \
                              return api::Rpc(services_, c, *request, response);              \
                            });                                                               \
  }

class RuntimeApi final : public v1::RuntimeService::CallbackService {
 public:
  RuntimeApi(Services& services, Executors& executors)
      : services_(services), executors_(executors) {}
  BERTH_SERVE(Version, quick)
  BERTH_SERVE(Status, quick)
  BERTH_SERVE(RuntimeConfig, quick)
  BERTH_SERVE(UpdateRuntimeConfig, quick)
  BERTH_SERVE(PodSandboxStatus, quick)
  BERTH_SERVE(ListPodSandbox, quick)
  BERTH_SERVE(ContainerStatus, quick)
  BERTH_SERVE(ListContainers, quick)
  BERTH_SERVE(Exec, quick)
  BERTH_SERVE(Attach, quick)
  BERTH_SERVE(PortForward, quick)
  BERTH_SERVE(RunPodSandbox, lifecycle)
  BERTH_SERVE(StopPodSandbox, lifecycle)
  BERTH_SERVE(RemovePodSandbox, lifecycle)
  BERTH_SERVE(CreateContainer, lifecycle)
  BERTH_SERVE(StartContainer, lifecycle)
  BERTH_SERVE(RemoveContainer, lifecycle)
  BERTH_SERVE(ReopenContainerLog, lifecycle)
  BERTH_SERVE(StopContainer, wait)
  BERTH_SERVE(ExecSync, wait)

 private:
  Services& services_;
  Executors& executors_;
};

class ImageApi final : public v1::ImageService::CallbackService {
 public:
  ImageApi(Services& services, Executors& executors) : services_(services), executors_(executors) {}
  BERTH_SERVE(ListImages, quick)
  BERTH_SERVE(ImageStatus, quick)
  BERTH_SERVE(ImageFsInfo, quick)
  BERTH_SERVE(PullImage, wait)
  BERTH_SERVE(RemoveImage, lifecycle)

 private:
  Services& services_;
  Executors& executors_;
};

// Somebody accepts connections there; `path` fits in a sockaddr_un.
bool IsServed(const std::string& path) {
  os::Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  // A full backlog (EAGAIN) is somebody too.
  return ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
         errno == EAGAIN;
}

Result<> ClearSocketPath(const std::string& path) {
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(Code::kInvalidArgument,
                 StrCat("socket ", Quote(path), ": an absolute path of less than ",
                        sizeof(sockaddr_un::sun_path), " bytes is needed"));
  }
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return Ok();
    return ErrnoError(StrCat("socket ", path));
  }
  if (!S_ISSOCK(st.st_mode)) {
    return Error(Code::kFailedPrecondition, StrCat("socket ", path, ": something else is there"));
  }
  if (IsServed(path)) {
    return Error(Code::kFailedPrecondition, StrCat("socket ", path, ": another process serves it"));
  }
  if (::unlink(path.c_str()) != 0) return ErrnoError(StrCat("remove old socket ", path));
  return Ok();
}

}  // namespace

struct Server::Impl {
  explicit Impl(Services s) : services(std::move(s)) {}
  Services services;
  std::string socket_path;
  Executors executors;
  RuntimeApi runtime_api{services, executors};
  ImageApi image_api{services, executors};
  std::unique_ptr<grpc::Server> server;
};

Result<std::unique_ptr<Server>> Server::Start(Services services, const ServerOptions& options) {
  constexpr int kMaxMessage = 16 << 20;  // the kubelet's own limit
  TRY(ClearSocketPath(options.socket_path));
  std::unique_ptr<Server> self(new Server());
  self->impl_ = std::make_unique<Impl>(std::move(services));
  self->impl_->socket_path = options.socket_path;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000);
  builder.AddListeningPort("unix:" + options.socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(&self->impl_->runtime_api);
  builder.RegisterService(&self->impl_->image_api);
  self->impl_->server = builder.BuildAndStart();
  if (!self->impl_->server) {
    return Error(Code::kInternal, StrCat("listen on ", options.socket_path));
  }
  if (::chmod(options.socket_path.c_str(), 0660) != 0) {
    return ErrnoError(StrCat("socket mode of ", options.socket_path));
  }
  return self;
}

Server::~Server() {
  if (!impl_ || !impl_->server) return;
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(3));
  impl_->server->Wait();
  ::unlink(impl_->socket_path.c_str());
}

}  // namespace berth::api

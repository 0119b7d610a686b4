// SPDX-License-Identifier: Apache-2.0
#include "api/cri/server.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/cri/acceptor.h"
#include "api/cri/call_server.h"
#include "api/cri/dispatch.h"
#include "api/cri/event_hub.h"
#include "api/cri/handlers.h"
#include "api/cri/service_table.h"
#include "api/cri/stream_list.h"
#include "base/strings.h"
#include "os/fd.h"

namespace berth::api {

namespace {

// Slow calls must not starve quick ones: the kubelet judges our health by List and Status.
struct Executors {
  Executor quick{{.name = "quick calls", .max_threads = 4}};
  // Readings of a large node, or a large container's files, take a while.
  Executor stats{{.name = "statistics", .max_threads = 4}};
  Executor lifecycle{{.name = "lifecycle calls", .max_threads = 64}};
  // Each of these may take as long as somebody else pleases; none may keep the others from being served.
  Executor stops{{.name = "stops", .max_threads = 512}};
  // What asks a monitor for something; it may hang.
  Executor inside{{.name = "calls into containers", .max_threads = 512}};
  Executor pulls{{.name = "pulls", .max_threads = 128}};
};

// Without a copy: the buffer owns the text.
grpc::ByteBuffer ToByteBuffer(std::string text) {
  auto owned = std::make_unique<std::string>(std::move(text));
  std::string* raw = owned.release();
  grpc::Slice slice(
      raw->data(), raw->size(), [](void* p) { delete static_cast<std::string*>(p); }, raw);
  return grpc::ByteBuffer(&slice, 1);
}

// kubelets up to 1.25 may know runtime.v1alpha2 only. Its messages are those of runtime.v1 with fewer
// fields, so the same handlers serve both; what came after it has no name there.
constexpr std::string_view kV1 = "runtime.v1";
constexpr std::string_view kV1Alpha2 = "runtime.v1alpha2";

template <class Message>
Result<> Decode(const grpc::ByteBuffer& bytes, Message* message) {
  grpc::ByteBuffer shared(bytes);  // decoding empties it
  const grpc::Status decoded = grpc::SerializationTraits<Message>::Deserialize(&shared, message);
  if (decoded.ok()) return Ok();
  return Error(Code::kInvalidArgument, "the request's bytes are no message of the call's type");
}

template <class Message>
Result<grpc::ByteBuffer> Encode(const Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  const grpc::Status encoded = grpc::SerializationTraits<Message>::Serialize(message, &bytes, &own);
  if (encoded.ok()) return bytes;
  return Error(Code::kInternal, StrCat("encode the response: ", encoded.error_message()));
}

class Api : public ServiceTable {
 protected:
  Api(std::string_view service, Services& services) : ServiceTable(service), services_(services) {}

  template <class Request, class Response>
  using Handler = Result<> (*)(Services&, const pod::Call&, const Request&, Response*);

  template <class Request, class Response>
  void Serve(std::string_view package, const char* rpc, Executor& executor,
             Handler<Request, Response> handler) {
    AddUnary(package, rpc, executor,
             [this, handler](const pod::Call& c,
                             const grpc::ByteBuffer& bytes) -> Result<grpc::ByteBuffer> {
               Request request;
               TRY(Decode(bytes, &request));
               Response response;
               TRY(handler(services_, c, request, &response));
               return Encode(response);
             });
  }

  // A call whose handler encodes its response itself.
  template <class Request>
  using Encoder = Result<std::string> (*)(Services&, const pod::Call&, const Request&);

  template <class Request>
  void ServeEncoded(std::string_view package, const char* rpc, Executor& executor,
                    Encoder<Request> encode) {
    AddUnary(package, rpc, executor,
             [this, encode](const pod::Call& c,
                            const grpc::ByteBuffer& bytes) -> Result<grpc::ByteBuffer> {
               Request request;
               TRY(Decode(bytes, &request));
               return ToByteBuffer(TRY(encode(services_, c, request)));
             });
  }

  template <class Request>
  void ServeInPieces(const char* rpc, Executor& executor, Encoder<Request> encode) {
    AddStream(
        rpc, executor,
        [this, encode](const pod::Call& c, const grpc::ByteBuffer& bytes) -> Result<std::string> {
          Request request;
          TRY(Decode(bytes, &request));
          return encode(services_, c, request);
        });
  }

  // A Stream... call as the list call that it is in pieces: the messages are the same on the wire.
  template <class Request, class Response>
  void ServeInPieces(const char* rpc, Executor& executor, Handler<Request, Response> list) {
    AddStream(
        rpc, executor,
        [this, list](const pod::Call& c, const grpc::ByteBuffer& bytes) -> Result<std::string> {
          Request request;
          TRY(Decode(bytes, &request));
          Response response;
          TRY(list(services_, c, request, &response));
          return response.SerializeAsString();
        });
  }

 private:
  void AddUnary(std::string_view package, const char* rpc, Executor& executor,
                UnaryCall::Handler handler) {
    Add(package, rpc, [this, rpc, &executor, handler = std::move(handler)](ServerCall& call) {
      UnaryCall::Start(call, executor, rpc, services_.clock, handler);
    });
  }
  void AddStream(const char* rpc, Executor& executor, ListStream::Handler handler) {
    Add(kV1, rpc, [this, rpc, &executor, handler = std::move(handler)](ServerCall& call) {
      ListStream::Start(call, executor, rpc, services_.clock, handler);
    });
  }

  Services& services_;
};

#define BERTH_SERVE_AS(package, Rpc, executor) \
  Serve<v1::Rpc##Request, v1::Rpc##Response>(package, #Rpc, executors.executor, &api::Rpc);
// Calls that are in v1 only, and those that are in both.
#define BERTH_SERVE_V1(Rpc, executor) BERTH_SERVE_AS(kV1, Rpc, executor)
#define BERTH_SERVE(Rpc, executor) \
  BERTH_SERVE_AS(kV1, Rpc, executor) BERTH_SERVE_AS(kV1Alpha2, Rpc, executor)

#define BERTH_SERVE_IN_PIECES(Rpc, List, executor) \
  ServeInPieces<v1::List##Request, v1::List##Response>(#Rpc, executors.executor, &api::List);

// A list in v1 and v1alpha2, and in pieces.
#define BERTH_SERVE_ENCODED(Rpc, InPieces, executor)                              \
  ServeEncoded<v1::Rpc##Request>(kV1, #Rpc, executors.executor, &api::Rpc);       \
  ServeEncoded<v1::Rpc##Request>(kV1Alpha2, #Rpc, executors.executor, &api::Rpc); \
  ServeInPieces<v1::Rpc##Request>(#InPieces, executors.executor, &api::Rpc);

class RuntimeApi final : public Api {
 public:
  RuntimeApi(Services& services, Executors& executors, EventHub& events)
      : Api("RuntimeService", services) {
    BERTH_SERVE_V1(Version, quick)
    Serve<v1::VersionRequest, v1::VersionResponse>(kV1Alpha2, "Version", executors.quick,
                                                   &VersionV1Alpha2);
    BERTH_SERVE(Status, quick)
    BERTH_SERVE_V1(RuntimeConfig, quick)
    BERTH_SERVE(UpdateRuntimeConfig, quick)
    BERTH_SERVE(PodSandboxStatus, quick)
    BERTH_SERVE_ENCODED(ListPodSandbox, StreamPodSandboxes, quick)
    BERTH_SERVE(ContainerStatus, quick)
    BERTH_SERVE_ENCODED(ListContainers, StreamContainers, quick)
    BERTH_SERVE(ContainerStats, stats)
    BERTH_SERVE(ListContainerStats, stats)
    BERTH_SERVE(PodSandboxStats, stats)
    BERTH_SERVE(ListPodSandboxStats, stats)
    BERTH_SERVE_V1(ListMetricDescriptors, quick)
    BERTH_SERVE_V1(ListPodSandboxMetrics, stats)
    BERTH_SERVE_IN_PIECES(StreamContainerStats, ListContainerStats, stats)
    BERTH_SERVE_IN_PIECES(StreamPodSandboxStats, ListPodSandboxStats, stats)
    BERTH_SERVE_IN_PIECES(StreamPodSandboxMetrics, ListPodSandboxMetrics, stats)
    BERTH_SERVE(Exec, quick)
    BERTH_SERVE(Attach, quick)
    BERTH_SERVE(PortForward, quick)
    BERTH_SERVE(RunPodSandbox, lifecycle)
    BERTH_SERVE(StopPodSandbox, lifecycle)
    BERTH_SERVE(RemovePodSandbox, lifecycle)
    BERTH_SERVE(CreateContainer, lifecycle)
    BERTH_SERVE(StartContainer, lifecycle)
    BERTH_SERVE(RemoveContainer, lifecycle)
    BERTH_SERVE(ReopenContainerLog, inside)
    BERTH_SERVE(UpdateContainerResources, inside)
    BERTH_SERVE_V1(UpdatePodSandboxResources, lifecycle)
    BERTH_SERVE(StopContainer, stops)
    BERTH_SERVE(ExecSync, inside)
    Add(kV1, "GetContainerEvents", [&events](ServerCall& call) {
      v1::GetEventsRequest request;
      Result<> decoded = Decode(call.request(), &request);
      events.Subscribe(call, decoded ? grpc::Status::OK : ToStatus(decoded.error()));
    });
  }
};

class ImageApi final : public Api {
 public:
  ImageApi(Services& services, Executors& executors) : Api("ImageService", services) {
    BERTH_SERVE(ListImages, quick)
    BERTH_SERVE(ImageStatus, quick)
    BERTH_SERVE(ImageFsInfo, quick)
    BERTH_SERVE(PullImage, pulls)
    BERTH_SERVE(RemoveImage, lifecycle)
    BERTH_SERVE_IN_PIECES(StreamImages, ListImages, quick)
  }
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
  // Shared with the engine's listener, which may be at work when the server ends.
  std::shared_ptr<EventHub> events = std::make_shared<EventHub>();
  RuntimeApi runtime_api{services, executors, *events};
  ImageApi image_api{services, executors};
  std::unique_ptr<CallServer> calls;
  std::unique_ptr<Acceptor> acceptor;  // ends first: it gives its connections to the server
};

Result<std::unique_ptr<Server>> Server::Start(Services services, const ServerOptions& options) {
  constexpr int kMaxMessage = 16 << 20;  // the kubelet's own limit
  TRY(ClearSocketPath(options.socket_path));
  std::unique_ptr<Server> self(new Server());
  self->impl_ = std::make_unique<Impl>(std::move(services));
  Impl& impl = *self->impl_;
  impl.socket_path = options.socket_path;
  impl.calls = TRY(CallServer::Start(
      [&impl](const std::string& method) {
        const CallStarter* found = impl.runtime_api.Find(method);
        return found != nullptr ? found : impl.image_api.Find(method);
      },
      kMaxMessage));
  impl.acceptor =
      TRY(Acceptor::Start(options.socket_path, [calls = impl.calls.get()](os::Fd socket) {
        calls->Add(std::move(socket));
      }));
  self->impl_->services.engine.SetEventListener(
      [events = self->impl_->events](const pod::LifecycleEvent& event) { events->Publish(event); });
  return self;
}

Server::~Server() {
  if (!impl_ || !impl_->acceptor) return;
  impl_->services.engine.SetEventListener({});
  impl_->events->Close();
  impl_->acceptor.reset();
  impl_->calls.reset();
  ::unlink(impl_->socket_path.c_str());
}

}  // namespace berth::api

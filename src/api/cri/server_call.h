// SPDX-License-Identifier: Apache-2.0
// One RPC from its first byte to its last, on gRPC's asynchronous API (why not on its callback API:
// docs/decisions/0021-idle-threads.md). Whoever answers it, a Reactor, is called on the thread of the CallServer and
// answers from any. A call deletes itself.
//
//   wanted --a client calls--> reading the message --starter--> a Reactor's --StartWrite*--> Finish --> OnDone, deleted
//      |                          | unknown method, no message: Finish
//      +--the server ends--> deleted
//
// `uses_` counts what still needs the call: each operation that gRPC has, and the two ends that every call comes to
// (Finish is done; gRPC says that the call is over).
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace berth::api {

class ServerCall;

// Answers one call: Finish or FinishWith must be called once, whatever happens; nothing of the call after that.
class Reactor {
 public:
  explicit Reactor(ServerCall& call);  // only from a starter, on the queue's thread
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  virtual ~Reactor() = default;

  // The client has gone, or the server ends; at most once, before OnDone.
  virtual void OnCancel() {}
  virtual void OnWriteDone(bool /*ok*/) {}
  // Nothing of the call is left after this.
  virtual void OnDone() = 0;

 protected:
  ServerCall& call() const { return call_; }

 private:
  ServerCall& call_;
};

// Makes the Reactor of a call of one method.
using CallStarter = std::function<void(ServerCall&)>;

class ServerCall final {
 public:
  struct Home {
    grpc::AsyncGenericService* service;
    grpc::ServerCompletionQueue* queue;
    const std::function<const CallStarter*(const std::string& method)>* find;
    std::function<void(int change)> count;  // of the calls there are
  };
  // What the queue gives back when an operation has ended.
  struct Tag {
    ServerCall* call;
    void (ServerCall::*ended)(bool ok);
    void Run(bool ok) { (call->*ended)(ok); }
  };

  // Waits for a client's call; owned by gRPC, so to speak.
  static void Want(const Home& home);
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  const grpc::ServerContext& context() const { return context_; }
  const grpc::ByteBuffer& request() const { return request_; }
  void StartSendInitialMetadata();
  void StartWrite(const grpc::ByteBuffer& message);  // one at a time; OnWriteDone
  void Finish(const grpc::Status& status);
  void FinishWith(const grpc::ByteBuffer& message);  // the one message, and OK

 private:
  friend class Reactor;
  explicit ServerCall(const Home& home) : home_(home) { home_.count(1); }
  ~ServerCall() { home_.count(-1); }
  void Wanted(bool ok);
  void Over(bool ok);
  void Read(bool ok);
  void MetadataSent(bool ok);
  void Written(bool ok);
  void Finished(bool ok);
  void Release();

  const Home& home_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer request_;
  Reactor* reactor_ = nullptr;  // the queue's thread
  bool cancelled_ = false;      // likewise
  std::atomic<int> uses_{1};
  Tag wanted_{this, &ServerCall::Wanted};
  Tag over_{this, &ServerCall::Over};
  Tag read_{this, &ServerCall::Read};
  Tag metadata_sent_{this, &ServerCall::MetadataSent};
  Tag written_{this, &ServerCall::Written};
  Tag finished_{this, &ServerCall::Finished};
};

inline Reactor::Reactor(ServerCall& call) : call_(call) { call.reactor_ = this; }

}  // namespace berth::api

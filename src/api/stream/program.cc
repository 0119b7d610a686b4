// SPDX-License-Identifier: Apache-2.0
#include "api/stream/program.h"

namespace berth::stream {

Result<std::unique_ptr<Program>> Program::Make(const ProgramOptions& options, os::Fd daemon,
                                               os::Fd listener, os::Fd info) {
  std::unique_ptr<Program> program(new Program);
  Program* self = program.get();
  self->options_ = options;
  self->loop_ = TRY(os::EventLoop::Make());
  self->listener_ = std::move(listener);
  self->info_ = std::move(info);
  self->link_ = TRY(DaemonLink::Make(
      *self->loop_, std::move(daemon), [self] { self->StopListening(); },
      [self](std::vector<os::Fd> files) { self->OnTls(std::move(files)); }));
  self->server_ = std::make_unique<Server>(
      *self->loop_, *self->link_, options.server,
      [self](os::Fd socket) { return self->Wrap(std::move(socket)); },
      [self] { self->loop_->Stop(); });
  if (self->info_) self->MakeInfoServer();
  return program;
}

// Whoever still reads a document then is cut off: it can ask the next one.
void Program::MakeInfoServer() {
  ServerOptions server = options_.server;
  server.documents = true;
  server.max_connections = options_.max_info_connections;
  info_server_ = std::make_unique<Server>(
      *loop_, *link_, server, [](os::Fd socket) { return MakePlainTransport(std::move(socket)); },
      [] {});
}

void Program::StopListening() {
  listener_.Reset();
  info_.Reset();
  if (info_server_) info_server_->StopListening();
  server_->StopListening();
}

Program::~Program() = default;

Result<> Program::Run() {
  if (!options_.tls) TRY(Start());
  TRY(loop_->Run());
  if (failed_) return std::move(*failed_);
  return Ok();
}

Result<> Program::Start() {
  const uint16_t port = TRY(BoundPort(listener_.get()));
  TRY(server_->Start(std::move(listener_)));
  if (info_server_) TRY(info_server_->Start(std::move(info_)));
  link_->Notify(Packet(Type::kReady, 0, Ready{port, options_.tls}));
  return Ok();
}

void Program::OnTls(std::vector<os::Fd> files) {
  auto made = [&]() -> Result<> {
    if (!options_.tls) return Error(Code::kFailedPrecondition, "not started with --tls");
    tls_ = TRY(TlsContext::Make(TRY(ReadTlsFiles(files), "TLS files")), "TLS files");
    if (listener_) TRY(Start());
    return Ok();
  }();
  if (made) return;
  link_->Notify(ErrorReply(0, made.error()));
  if (!listener_) return;  // goes on with what it has
  failed_ = std::move(made.error());
  loop_->Stop();
}

Result<std::unique_ptr<Transport>> Program::Wrap(os::Fd socket) {
  if (tls_) return tls_->Wrap(std::move(socket));
  return MakePlainTransport(std::move(socket));
}

}  // namespace berth::stream

// SPDX-License-Identifier: Apache-2.0
#include "api/stream/stdio_session.h"

#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <array>

#include "api/stream/status.h"
#include "base/strings.h"
#include "os/socket.h"

namespace berth::stream {

namespace {

constexpr std::string_view kTypes[] = {"stdin", "stdout", "stderr", "error", "resize"};
constexpr int kFirstResizeVersion = 3;

}  // namespace

StdioSession::StdioSession(SessionHost& host, StdioOptions options)
    : host_(host), options_(options), creation_timer_(host.loop()) {
  creation_timer_.Set(options_.creation_timeout, [this] {
    if (state_ == State::kWaiting)
      host_.Fail(Error(Code::kDeadlineExceeded, "the client did not open its streams in time"));
  });
}

bool StdioSession::Wants(const ChannelHeaders& headers) const {
  const auto type = headers.find("streamtype");
  if (type == headers.end()) return false;
  const auto known = std::find(std::begin(kTypes), std::end(kTypes), type->second);
  return known != std::end(kTypes) && !ids_[known - std::begin(kTypes)];
}

void StdioSession::OnOpen(ChannelId id, const ChannelHeaders& headers) {
  const auto known = std::find(std::begin(kTypes), std::end(kTypes), headers.at("streamtype"));
  ids_[known - std::begin(kTypes)] = id;
  if (state_ != State::kWaiting || !AllThere()) return;
  state_ = State::kBeginning;
  creation_timer_.Cancel();
  host_.Begin([this](Result<BegunSession> answer) { OnBegun(std::move(answer)); });
}

bool StdioSession::AllThere() const {
  const bool resize = options_.terminal && options_.version >= kFirstResizeVersion;
  return ids_[kError] && (!options_.std_in || ids_[kStdin]) &&
         (!options_.std_out || ids_[kStdout]) && (!options_.std_err || ids_[kStderr]) &&
         (!resize || ids_[kResize]);
}

std::optional<StdioSession::Name> StdioSession::NameOf(ChannelId id) const {
  for (int name = 0; name < kNames; ++name)
    if (ids_[name] == id) return static_cast<Name>(name);
  return std::nullopt;
}

void StdioSession::OnData(ChannelId id, std::string_view bytes) {
  const auto name = NameOf(id);
  if (name == kStdin && options_.std_in && state_ < State::kRunning) {
    early_input_.Append(bytes);
    return;
  }
  if (name == kStdin && input_) return input_->Push(bytes);
  if (name == kResize) {
    if (const auto size = resize_reader_.Feed(bytes)) Resize(*size);
  }
  host_.channels().Consumed(id, bytes.size());
}

void StdioSession::OnEnd(ChannelId id) {
  if (NameOf(id) != kStdin) return;
  input_ended_ = true;
  if (input_) input_->End();
}

void StdioSession::OnReset(ChannelId id) {
  const auto name = NameOf(id);
  if (!name) return;
  if (name == kStdin) OnEnd(id);
  if (name == kStdout && outputs_[0]) outputs_[0]->DropOutput();
  if (name == kStderr && outputs_[1]) outputs_[1]->DropOutput();
}

void StdioSession::OnLastOpened() {
  if (state_ == State::kWaiting)
    host_.Fail(Error(Code::kCancelled, "the client leaves before its streams are there"));
}

void StdioSession::OnRoom() {
  for (auto& output : outputs_)
    if (output) output->Resume();
}

size_t StdioSession::Held() const { return early_input_.size() + (input_ ? input_->held() : 0); }

void StdioSession::Stop() {
  state_ = State::kSaid;
  creation_timer_.Cancel();
  if (input_) input_->Stop();
  for (auto& output : outputs_)
    if (output) output->Stop();
  if (result_) result_->Close();
  terminal_.Reset();
  early_input_.Clear();
}

void StdioSession::OnBegun(Result<BegunSession> answer) {
  if (state_ != State::kBeginning) return;
  if (!answer) return Say(ErrorStatus(options_.version, answer.error()));
  state_ = State::kRunning;
  if (auto taken = TakeFds(std::move(*answer)); !taken)
    return Say(ErrorStatus(options_.version, taken.error()));
  MaybeSay();
}

Result<> StdioSession::TakeFds(BegunSession session) {
  const Begun& begun = session.begun;
  size_t next = 0;
  auto take = [&](bool has) { return has ? std::move(session.fds[next++]) : os::Fd(); };
  os::Fd std_in = take(begun.has_stdin);
  os::Fd std_out = take(begun.has_stdout);
  os::Fd std_err = take(begun.has_stderr);
  terminal_ = take(begun.has_terminal);
  os::Fd result = take(begun.has_result);
  // The result alone ends an exec; of an attach, the end of what it shows does.
  if (options_.kind == Kind::kExec && !result)
    return Error(Code::kInternal, "berthd sent no end for the exit code");
  if (options_.kind == Kind::kExec) {
    result_ = std::make_unique<Watch>(host_.loop(), std::move(result));
    TRY(os::SetNonBlocking(result_->get(), true));
    TRY(result_->Set(EPOLLIN, [this](uint32_t) { OnResult(); }));
  }
  const bool terminal_shows = !std_out;
  if (std_out) TRY(StartOutput(kStdout, std::move(std_out)));
  if (std_err) TRY(StartOutput(kStderr, std::move(std_err)));
  if (terminal_) TRY(StartTerminal(terminal_shows));
  if (!input_ && std_in) TRY(StartInput(std::move(std_in)));
  if (size_) Resize(*size_);
  return Ok();
}

Result<> StdioSession::StartTerminal(bool also_output) {
  // A copy for each: one fd can be watched once only.
  if (also_output) TRY(StartOutput(kStdout, TRY(terminal_.Duplicate())));
  if (options_.std_in) TRY(StartInput(TRY(terminal_.Duplicate())));
  return Ok();
}

Result<> StdioSession::StartInput(os::Fd std_in) {
  if (!options_.std_in) return Ok();  // closed: the process reads end of file
  const AtEnd at_end = terminal_ ? AtEnd::kKeep : AtEnd::kClose;
  input_ = std::make_unique<FdSink>(host_.loop(), std::move(std_in), host_.channels(),
                                    *ids_[kStdin], at_end);
  TRY(input_->Start([this] { MaybeSay(); }), "stdin");
  const std::string early(early_input_.View());
  early_input_.Clear();
  input_->Push(early);
  if (input_ended_) input_->End();
  return Ok();
}

Result<> StdioSession::StartOutput(Name name, os::Fd fd) {
  auto& output = outputs_[name == kStderr ? 1 : 0];
  const auto id = ids_[name];
  output = std::make_unique<FdSource>(host_.loop(), std::move(fd), host_.channels(), id.value_or(0),
                                      [this, id] {
                                        if (id) host_.channels().End(*id);
                                        MaybeSay();
                                      });
  TRY(output->Start(), kTypes[name]);
  if (!id) output->DropOutput();
  return Ok();
}

void StdioSession::Resize(TerminalSize size) {
  size_ = size;
  if (!terminal_) return;
  winsize window{};
  window.ws_col = size.width;
  window.ws_row = size.height;
  // A terminal that is gone ends the session by itself.
  (void)::ioctl(terminal_.get(), TIOCSWINSZ, &window);
}

void StdioSession::OnResult() {
  auto message = os::ReceiveMessage(result_->get(), 16, 0);
  if (!message && message.error().sys_errno() == EAGAIN) return;
  auto code = [&]() -> Result<uint32_t> {
    if (!message) return std::move(message.error());
    if (message->end)
      return Error(Code::kInternal, "the exit code is lost: the pod's monitor went away");
    wire::Reader reader(message->bytes);
    const uint32_t value = TRY(reader.U32(), "exit code");
    TRY(reader.End(), "exit code");
    return value;
  }();
  result_->Close();
  // The monitor is gone, but not the process: nobody would ever say that its outputs have ended.
  if (!code) return Say(ErrorStatus(options_.version, code.error()));
  status_ = *code == 0 ? SuccessStatus(options_.version) : ExitStatus(options_.version, *code);
  MaybeSay();
}

void StdioSession::MaybeSay() {
  if (state_ != State::kRunning) return;
  for (const auto& output : outputs_)
    if (output && !output->ended()) return;
  if (options_.kind == Kind::kExec) {
    if (status_) Say(*status_);
    return;
  }
  // An attach that only writes ends when nobody reads it any more.
  const bool shows = outputs_[0] || outputs_[1];
  if (!shows && input_ && !input_->done()) return;
  Say(SuccessStatus(options_.version));
}

void StdioSession::Say(const std::string& status) {
  Channels& channels = host_.channels();
  Stop();
  for (Name name : {kStdout, kStderr})
    if (ids_[name]) channels.End(*ids_[name]);
  if (ids_[kError]) {
    channels.Send(*ids_[kError], status);
    channels.End(*ids_[kError]);
  }
  for (Name name : {kStdin, kResize})
    if (ids_[name]) channels.End(*ids_[name]);
  host_.Finish();
}

}  // namespace berth::stream

// SPDX-License-Identifier: Apache-2.0
// Exec and attach: the client's channels error, stdin, stdout, stderr and resize, and the fds of a process or of its
// terminal. Owned by Connection; the loop's thread.
//
//   waiting --all channels are there--> beginning --the daemon's fds--> running --outputs ended, result came--> said
//      |creation timeout                    |error                                                               ^
//      +--> connection closed               +--> the error on the error channel ---------------------------------+
//
// A client that goes away takes the fds with it: the process reads end of file and can write no more.
#pragma once

#include <optional>

#include "api/stream/byte_queue.h"
#include "api/stream/fd_pump.h"
#include "api/stream/resize.h"
#include "api/stream/session.h"

namespace berth::stream {

struct StdioOptions {
  Kind kind = Kind::kExec;
  int version = 4;  // of the protocol: vN.channel.k8s.io
  bool std_in = false;
  bool std_out = false;
  bool std_err = false;
  bool terminal = false;
  std::chrono::nanoseconds creation_timeout{};
};

class StdioSession final : public Session {
 public:
  StdioSession(SessionHost& host, StdioOptions options);

  bool Wants(const ChannelHeaders& headers) const override;
  void OnOpen(ChannelId id, const ChannelHeaders& headers) override;
  void OnData(ChannelId id, std::string_view bytes) override;
  void OnEnd(ChannelId id) override;
  void OnReset(ChannelId id) override;
  void OnLastOpened() override;
  void OnRoom() override;
  void Stop() override;
  size_t Held() const override;

 private:
  enum class State { kWaiting, kBeginning, kRunning, kSaid };
  // Also the order of the fds that come.
  enum Name { kStdin, kStdout, kStderr, kError, kResize, kNames };

  bool AllThere() const;
  std::optional<Name> NameOf(ChannelId id) const;
  void OnBegun(Result<BegunSession> answer);
  Result<> TakeFds(BegunSession session);
  Result<> StartInput(os::Fd std_in);
  Result<> StartOutput(Name name, os::Fd fd);
  Result<> StartTerminal(bool also_output);
  void Resize(TerminalSize size);
  void OnResult();
  void MaybeSay();
  void Say(const std::string& status);

  SessionHost& host_;
  const StdioOptions options_;
  State state_ = State::kWaiting;
  std::optional<ChannelId> ids_[kNames];
  Timer creation_timer_;
  ByteQueue early_input_;  // came before the process was there
  bool input_ended_ = false;
  ResizeReader resize_reader_;
  std::optional<TerminalSize> size_;
  os::Fd terminal_;
  std::unique_ptr<FdSink> input_;
  std::unique_ptr<FdSource> outputs_[2];  // stdout or the terminal, stderr
  std::unique_ptr<Watch> result_;
  std::optional<std::string> status_;  // what the result says
};

}  // namespace berth::stream

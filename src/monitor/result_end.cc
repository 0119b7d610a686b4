// SPDX-License-Identifier: Apache-2.0
#include "monitor/result_end.h"

#include "base/wire.h"
#include "os/socket.h"

namespace berth::monitor {

Result<> ResultEnd::Open(Loop* loop, os::Fd socket) {
  TRY(os::SetNonBlocking(socket.get(), true), "result socket");
  // No events asked for: only the hang-up that says that the other side has gone.
  return watch_.Open(loop, std::move(socket), 0, [this](uint32_t) { watch_.Close(); });
}

void ResultEnd::Send(uint32_t code) {
  if (!watch_.open()) return;
  wire::Writer w;
  w.U32(code);
  (void)os::SendMessage(watch_.fd(), w.bytes());
  watch_.Close();
}

}  // namespace berth::monitor

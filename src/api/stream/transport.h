// SPDX-License-Identifier: Apache-2.0
// A client's connection as bytes, plain or inside TLS; never waits. Owned by Connection; the loop's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"

namespace berth::stream {

struct Io {
  enum class State {
    kDone,       // `size` bytes
    kWantRead,   // when the socket is readable
    kWantWrite,  // when it is writable; reading may need that too inside TLS
    kEnd,        // read: the client sends no more
    kFailed,
  };
  State state = State::kFailed;
  size_t size = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int fd() const = 0;
  virtual Io Read(char* buffer, size_t size) = 0;
  virtual Io Write(std::string_view bytes) = 0;
  // Bytes that Read has without the socket becoming readable.
  virtual bool HasPending() const = 0;
  // The end of what we send.
  virtual void EndWriting() = 0;
};

std::unique_ptr<Transport> MakePlainTransport(os::Fd socket);

}  // namespace berth::stream

// SPDX-License-Identifier: Apache-2.0
// One output stream of a container: read from its pipe or terminal, written to the log, copied to
// who is attached. Owned by its Container; monitor thread. Nobody who is attached can hold up the
// log: who is slow is dropped.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "monitor/log_writer.h"
#include "monitor/loop.h"
#include "os/fd.h"

namespace berth::monitor {

class Output {
 public:
  // `name` is "stdout" or "stderr"; `ended` is called once, when the last writer has closed.
  Output(Loop* loop, LogFile* log, const char* name, std::function<void()> ended)
      : loop_(loop), log_(log, name), ended_(std::move(ended)) {}

  // Makes the pipe and reads from it; returns the container's end.
  Result<os::Fd> OpenPipe();
  // Reads from a terminal's master instead.
  Result<> OpenTerminal(os::Fd master);
  bool reading() const { return source_.open(); }
  // Reads what is there now, without waiting for more.
  void Drain();
  void Close();
  // A pipe that gets a copy of everything from now on; returns its read end. At most kMaxAttached.
  Result<os::Fd> Attach();
  // The pod is quiet: gives memory back and forgets how busy the stream was.
  void Idle();

 private:
  static constexpr size_t kMaxAttached = 16;
  Result<> Open(os::Fd fd);
  bool ReadOnce();  // false: nothing is there
  void CopyToAttached(const char* data, size_t size);
  void Adapt(size_t size);

  Loop* loop_;
  LogStream log_;
  std::function<void()> ended_;
  Watch source_;
  std::vector<std::unique_ptr<Watch>> attached_;
  int pipe_size_ = 0;  // 0: a terminal
  int full_reads_ = 0;
};

}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
#include "monitor/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "monitor/buffers.h"

namespace berth::monitor {

namespace {
constexpr int kMaxPipe = 1 << 20;
constexpr int kBusyReads = 4;         // full pipes in a row before it grows
constexpr int kAttachPipe = 1 << 20;  // several reads of a stream at its fastest
}  // namespace

Result<os::Fd> Output::OpenPipe() {
  os::Pipe pipe = TRY(os::MakePipe());
  // Only our end: the container's must block, and the flag belongs to the open file.
  TRY(os::SetNonBlocking(pipe.read.get(), true));
  pipe_size_ = std::max(0, ::fcntl(pipe.read.get(), F_GETPIPE_SZ));
  TRY(Open(std::move(pipe.read)));
  return std::move(pipe.write);
}

Result<> Output::OpenTerminal(os::Fd master) {
  TRY(os::SetNonBlocking(master.get(), true));
  return Open(std::move(master));
}

Result<> Output::Open(os::Fd fd) {
  return source_.Open(loop_, std::move(fd), EPOLLIN, [this](uint32_t) { ReadOnce(); });
}

bool Output::ReadOnce() {
  if (!source_.open()) return false;
  ssize_t n;
  do n = ::read(source_.fd(), ReadBuffer(), kReadBufferBytes);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) {  // EIO: the terminal's last user has closed it
    log_.End();
    Close();
    ended_();
    return false;
  }
  const auto size = static_cast<size_t>(n);
  log_.Feed(ReadBuffer(), size);
  if (!attached_.empty()) CopyToAttached(ReadBuffer(), size);
  Adapt(size);
  return true;
}

void Output::Drain() {
  // Bounded: somebody may write as fast as we read.
  constexpr int kMostReads = 256;
  for (int i = 0; i < kMostReads && ReadOnce(); ++i) {
  }
}

void Output::Close() {
  source_.Close();
  for (auto& sink : attached_) sink->Close();
}

// A stream that fills its pipe again and again gets a bigger one: fewer wakeups for both sides.
void Output::Adapt(size_t size) {
  if (pipe_size_ == 0 || pipe_size_ >= kMaxPipe) return;
  full_reads_ = size >= static_cast<size_t>(pipe_size_) ? full_reads_ + 1 : 0;
  if (full_reads_ < kBusyReads) return;
  full_reads_ = 0;
  const int got = ::fcntl(source_.fd(), F_SETPIPE_SZ, std::min(pipe_size_ * 4, kMaxPipe));
  pipe_size_ = got > 0 ? got : kMaxPipe;  // refused: do not ask again
}

Result<os::Fd> Output::Attach() {
  std::erase_if(attached_, [](const std::unique_ptr<Watch>& w) { return !w->open(); });
  if (attached_.size() >= kMaxAttached)
    return Error(Code::kResourceExhausted, "too many attached readers");
  os::Pipe pipe = TRY(os::MakePipe(O_NONBLOCK));
  TRY(os::SetNonBlocking(pipe.read.get(), false));
  (void)::fcntl(pipe.write.get(), F_SETPIPE_SZ, kAttachPipe);
  auto sink = std::make_unique<Watch>();
  Watch* watch = sink.get();
  // No events asked for: only the error that says that the reader has gone.
  TRY(watch->Open(loop_, std::move(pipe.write), 0, [watch](uint32_t) { watch->Close(); }));
  attached_.push_back(std::move(sink));
  return std::move(pipe.read);
}

void Output::CopyToAttached(const char* data, size_t size) {
  for (auto& sink : attached_) {
    if (!sink->open()) continue;
    const ssize_t n = ::write(sink->fd(), data, size);
    // A part is as bad as nothing: the reader would miss bytes without knowing.
    if (n != static_cast<ssize_t>(size)) sink->Close();
  }
}

void Output::Idle() { log_.Idle(); }

}  // namespace berth::monitor

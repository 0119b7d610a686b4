// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/pipeline.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/strings.h"

namespace berth::image::unpack {

Result<Hasher> Hasher::Make() {
  Hasher hasher(EVP_MD_CTX_new());
  if (!hasher.context_ || EVP_DigestInit_ex(hasher.context_.get(), EVP_sha256(), nullptr) != 1)
    return Error(Code::kInternal, "sha256 is not available");
  return hasher;
}

Result<> Hasher::Update(std::string_view bytes) {
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1)
    return Error(Code::kInternal, "sha256");
  return Ok();
}

Result<std::string> Hasher::Hex() {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context_.get(), hash, &size) != 1) return Error(Code::kInternal, "sha256");
  return HexEncode(std::string_view(reinterpret_cast<const char*>(hash), size));
}

Pipeline::Pipeline(os::Fd input, os::Fd stop, Hasher hasher, uint64_t limit)
    : input_(std::move(input)), stop_(std::move(stop)), hasher_(std::move(hasher)), limit_(limit) {
  for (std::vector<char>& chunk : chunks_) chunk.resize(kChunk);
}

Result<std::unique_ptr<Pipeline>> Pipeline::Start(os::Fd input, Hasher hasher, uint64_t limit) {
  os::Fd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return ErrnoError("eventfd");
  std::unique_ptr<Pipeline> p(
      new Pipeline(std::move(input), std::move(stop), std::move(hasher), limit));
  try {
    p->producer_ = std::thread([raw = p.get()] { raw->Produce(); });
    p->hash_thread_ = std::thread([raw = p.get()] { raw->Hash(); });
  } catch (const std::exception& e) {
    return Error(Code::kResourceExhausted, StrCat("start thread: ", e.what()));
  }
  return p;
}

Pipeline::~Pipeline() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  // The producer may be waiting for input that never comes.
  const uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) < 0) std::terminate();
  if (producer_.joinable()) producer_.join();
  if (hash_thread_.joinable()) hash_thread_.join();
}

void Pipeline::Produce() {
  Result<> done;
  try {
    done = Inflate();
  } catch (const std::exception& e) {
    done = Error(Code::kResourceExhausted, StrCat("read layer: ", e.what()));
  }
  const std::lock_guard lock(mutex_);
  if (!done && !failure_) failure_ = std::move(done.error());
  finished_ = true;
  changed_.notify_all();
}

Result<size_t> Pipeline::Read(char* buffer, size_t size) {
  for (;;) {
    struct pollfd fds[] = {{input_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("poll");
    }
    if (fds[1].revents != 0) return Error(Code::kCancelled, "stopped");
    const ssize_t n = ::read(input_.get(), buffer, size);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR && errno != EAGAIN) return ErrnoError("read layer");
  }
}

Result<> Pipeline::Inflate() {
  std::vector<char> input(kInput);
  size_t have = 0;
  bool eof = false;
  while (have < kMagicBytes && !eof) {
    const size_t n = TRY(Read(input.data() + have, input.size() - have));
    eof = n == 0;
    have += n;
  }
  std::string_view rest(input.data(), have);
  std::unique_ptr<Inflater> inflater = TRY(MakeInflater(rest));
  size_t filled = 0;
  for (;;) {
    const std::optional<size_t> chunk = TRY(FreeChunk());
    if (!chunk) return Error(Code::kCancelled, "stopped");
    std::vector<char>& out = chunks_[*chunk];
    // A round without input flushes what the inflater kept back.
    const Inflater::Step step =
        TRY(inflater->Run(rest, std::span(out.data() + filled, out.size() - filled)));
    rest.remove_prefix(step.taken);
    filled += step.made;
    if (filled == out.size()) {
      TRY(Publish(std::exchange(filled, 0)));
      continue;
    }
    if (!rest.empty()) continue;
    if (eof) break;
    const size_t n = TRY(Read(input.data(), input.size()));
    eof = n == 0;
    rest = std::string_view(input.data(), n);
  }
  TRY(inflater->End());
  if (filled > 0) TRY(Publish(filled));
  return Ok();
}

Result<std::optional<size_t>> Pipeline::FreeChunk() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock,
                [&] { return stopped_ || produced_ - std::min(hashed_, consumed_) < kChunks; });
  if (stopped_) return std::optional<size_t>();
  return std::optional<size_t>(produced_ % kChunks);
}

Result<> Pipeline::Publish(size_t bytes) {
  total_ += bytes;
  if (total_ > limit_)
    return Error(Code::kResourceExhausted,
                 StrCat("layer inflates to more than ", limit_, " bytes"));
  const std::lock_guard lock(mutex_);
  sizes_[produced_ % kChunks] = bytes;
  ++produced_;
  changed_.notify_all();
  return Ok();
}

void Pipeline::Hash() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopped_ || finished_ || hashed_ < produced_; });
    if (stopped_ || hashed_ == produced_) return;
    const size_t chunk = hashed_ % kChunks;
    const std::string_view bytes(chunks_[chunk].data(), sizes_[chunk]);
    lock.unlock();
    Result<> done = hasher_.Update(bytes);
    lock.lock();
    if (!done && !failure_) failure_ = std::move(done.error());
    ++hashed_;
    changed_.notify_all();
  }
}

Result<std::string_view> Pipeline::View() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return finished_ || failure_ || consumed_ < produced_; });
  // What was read before the failure is never enough to be right: fail at once.
  if (failure_) return failure_->Clone();
  if (consumed_ == produced_) return std::string_view();
  const size_t chunk = consumed_ % kChunks;
  return std::string_view(chunks_[chunk].data() + offset_, sizes_[chunk] - offset_);
}

void Pipeline::Consume(size_t bytes) {
  if (bytes == 0) return;
  offset_ += bytes;
  const std::lock_guard lock(mutex_);
  if (offset_ < sizes_[consumed_ % kChunks]) return;
  offset_ = 0;
  ++consumed_;
  changed_.notify_all();
}

Result<std::string> Pipeline::Digest() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || (finished_ && hashed_ == produced_); });
    if (failure_) return failure_->Clone();
  }
  return hasher_.Hex();
}

}  // namespace berth::image::unpack

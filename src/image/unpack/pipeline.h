// SPDX-License-Identifier: Apache-2.0
// The layer's stream in three threads: read and inflate, hash, and the caller who untars; a ring of
// buffers between them. Made and used by one thread (the untarring one), which also destroys it.
// Nothing is copied after inflating.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "image/unpack/inflate.h"
#include "image/unpack/tar_reader.h"
#include "os/fd.h"

namespace berth::image::unpack {

// SHA-256 by OpenSSL. Make it before the sandbox closes: the first use reads files.
class Hasher {
 public:
  static Result<Hasher> Make();
  Hasher(Hasher&&) noexcept = default;
  Result<> Update(std::string_view bytes);
  // 64 lower-case hexadecimal digits.
  Result<std::string> Hex();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  explicit Hasher(EVP_MD_CTX* context) : context_(context) {}
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

class Pipeline final : public ByteSource {
 public:
  // Reads `input` (a pipe or a file) to its end. ResourceExhausted after `limit` inflated bytes.
  static Result<std::unique_ptr<Pipeline>> Start(os::Fd input, Hasher hasher, uint64_t limit);
  ~Pipeline() override;
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  Result<std::string_view> View() override;
  void Consume(size_t bytes) override;
  // After View said the end: the hash of the whole inflated stream.
  Result<std::string> Digest();

 private:
  static constexpr size_t kChunk = 256U << 10;
  static constexpr size_t kChunks = 8;
  static constexpr size_t kInput = 128U << 10;

  Pipeline(os::Fd input, os::Fd stop, Hasher hasher, uint64_t limit);
  void Produce();
  Result<> Inflate();
  Result<size_t> Read(char* buffer, size_t size);
  Result<std::optional<size_t>> FreeChunk();  // no value: stopped
  Result<> Publish(size_t bytes);
  void Hash();

  const os::Fd input_;
  const os::Fd stop_;
  Hasher hasher_;
  const uint64_t limit_;
  uint64_t total_ = 0;  // producer only
  std::array<std::vector<char>, kChunks> chunks_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<size_t, kChunks> sizes_{};
  uint64_t produced_ = 0;  // chunk numbers
  uint64_t hashed_ = 0;
  uint64_t consumed_ = 0;
  bool finished_ = false;  // the producer made its last chunk
  bool stopped_ = false;
  std::optional<Error> failure_;

  size_t offset_ = 0;  // consumer only: into the current chunk
  std::thread producer_;
  std::thread hash_thread_;
};

}  // namespace berth::image::unpack

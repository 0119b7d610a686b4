// SPDX-License-Identifier: Apache-2.0
#include "image/unpack/inflate.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>

#include "base/strings.h"

namespace berth::image::unpack {

namespace {

uint32_t Small(size_t n) {
  return static_cast<uint32_t>(std::min<size_t>(n, std::numeric_limits<int32_t>::max()));
}

class PlainInflater final : public Inflater {
 public:
  Result<Step> Run(std::string_view input, std::span<char> output) override {
    const size_t n = std::min(input.size(), output.size());
    std::copy_n(input.begin(), n, output.begin());
    return Step{n, n};
  }
  Result<> End() override { return Ok(); }
};

class GzipInflater final : public Inflater {
 public:
  GzipInflater() { StartMember(); }

  Result<Step> Run(std::string_view input, std::span<char> output) override {
    Step step;
    while (step.taken < input.size() || (in_member_ && !starved_)) {
      if (!in_member_) {
        const char c = input[step.taken];
        // Some writers fill the file up with zeros; gzip(1) accepts that, and nothing else.
        if (c == '\0') {
          ++step.taken;
          zeros_ = true;
          continue;
        }
        if (zeros_) return Error(Code::kDataLoss, "gzip: data after the end");
        StartMember();
      }
      TRY(Inflate(input, output, step));
      if (step.made == output.size()) break;
    }
    return step;
  }

  Result<> End() override {
    if (in_member_) return Error(Code::kDataLoss, "gzip: the stream ends too early");
    return Ok();
  }

 private:
  void StartMember() {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
    in_member_ = true;
    starved_ = false;
  }

  Result<> Inflate(std::string_view input, std::span<char> output, Step& step) {
    // ISA-L does not write through next_in.
    state_.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(input.data() + step.taken));
    state_.avail_in = Small(input.size() - step.taken);
    state_.next_out = reinterpret_cast<uint8_t*>(output.data() + step.made);
    state_.avail_out = Small(output.size() - step.made);
    const uint32_t in_before = state_.avail_in, out_before = state_.avail_out;
    const int rc = isal_inflate(&state_);
    if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT)
      return Error(
          Code::kDataLoss,
          StrCat("gzip: ", rc == ISAL_INCORRECT_CHECKSUM ? "wrong checksum" : "broken data", " (",
                 rc, ")"));
    step.taken += in_before - state_.avail_in;
    step.made += out_before - state_.avail_out;
    if (state_.block_state == ISAL_BLOCK_FINISH) in_member_ = false;
    // It keeps decoded bytes back when the output is full: only then there is more without input.
    starved_ = state_.avail_out > 0;
    return Ok();
  }

  struct inflate_state state_;
  bool in_member_ = false;
  bool starved_ = false;
  bool zeros_ = false;
};

class ZstdInflater final : public Inflater {
 public:
  explicit ZstdInflater(ZSTD_DCtx* context) : context_(context) {}
  ~ZstdInflater() override { ZSTD_freeDCtx(context_); }
  ZstdInflater(const ZstdInflater&) = delete;
  ZstdInflater& operator=(const ZstdInflater&) = delete;

  Result<Step> Run(std::string_view input, std::span<char> output) override {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    while (in.pos < in.size || !flushed_) {
      const size_t in_before = in.pos, out_before = out.pos;
      const size_t rc = ZSTD_decompressStream(context_, &out, &in);
      if (ZSTD_isError(rc)) return Failure(rc);
      if (in.pos != in_before || out.pos != out_before) in_frame_ = rc != 0;
      flushed_ = out.pos < out.size;
      if (out.pos == out.size) break;
    }
    return Step{in.pos, out.pos};
  }

  Result<> End() override {
    if (in_frame_) return Error(Code::kDataLoss, "zstd: the stream ends too early");
    return Ok();
  }

 private:
  static Error Failure(size_t rc) {
    const char* words = ZSTD_getErrorName(rc);
    const bool memory = std::string_view(words).find("memory") != std::string_view::npos;
    return Error(memory ? Code::kResourceExhausted : Code::kDataLoss, StrCat("zstd: ", words));
  }

  ZSTD_DCtx* context_;
  bool in_frame_ = true;
  bool flushed_ = true;
};

bool IsZstd(std::string_view start) {
  if (start == "\x28\xb5\x2f\xfd") return true;
  // A skippable frame (zstd:chunked begins with data, but other writers put their index first):
  // 0x184D2A5?, little-endian.
  return start.size() == 4 && (start[0] & 0xf0) == 0x50 && start.substr(1) == "\x2a\x4d\x18";
}

}  // namespace

Result<std::unique_ptr<Inflater>> MakeInflater(std::string_view start) {
  start = start.substr(0, kMagicBytes);
  if (start.starts_with("\x1f\x8b")) return std::make_unique<GzipInflater>();
  if (!IsZstd(start)) return std::make_unique<PlainInflater>();
  ZSTD_DCtx* context = ZSTD_createDCtx();
  if (context == nullptr) return Error(Code::kResourceExhausted, "zstd: no memory");
  auto inflater = std::make_unique<ZstdInflater>(context);
  const size_t rc = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kMaxWindowLog);
  if (ZSTD_isError(rc)) return Error(Code::kInternal, StrCat("zstd: ", ZSTD_getErrorName(rc)));
  return inflater;
}

}  // namespace berth::image::unpack

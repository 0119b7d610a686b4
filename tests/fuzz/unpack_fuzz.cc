// SPDX-License-Identifier: Apache-2.0
// A layer, by the code alone, without its sandbox: whatever it holds, the canary tree beside the
// layer's directory stays as it is. Checksums of tar headers are made right first, or nothing would
// get past them. An input that begins with a magic number goes through the inflaters as well.
#include <fcntl.h>
#include <sys/xattr.h>

#include <optional>

#include "image/unpack/layer_writer.h"
#include "image/unpack/tar_reader.h"
#include "image/unpack/unpack_layer.h"
#include "os/dir_fd.h"
#include "os/process.h"
#include "os/socket.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/canary.h"

namespace {

using berth::fuzz::Require;
using berth::testing::Canary;
namespace os = berth::os;
namespace unpack = berth::image::unpack;

class Marker final : public unpack::OpaqueMarker {
 public:
  berth::Result<> Mark(int dir) override {
    (void)::fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0);
    return berth::Ok();
  }
};

class Bytes final : public unpack::ByteSource {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}
  berth::Result<std::string_view> View() override { return rest_.substr(0, 700); }
  void Consume(size_t bytes) override { rest_.remove_prefix(bytes); }

 private:
  std::string_view rest_;
};

//   <tmp>/canary    must not change
//   <tmp>/layer     made anew for each input: ../canary leads to the canary
struct World {
  std::optional<os::TempDir> tmp;
  std::optional<Canary> canary;
  World() {
    auto made = os::TempDir::Make();
    Require(made.has_value());
    tmp.emplace(std::move(*made));
    auto planted = Canary::Plant(tmp->dir());
    Require(planted.has_value());
    canary.emplace(std::move(*planted));
  }
};

void FixChecksums(std::string& tar) {
  constexpr size_t kBlock = 512;
  for (size_t at = 0; at + kBlock <= tar.size(); at += kBlock) {
    if (tar.compare(at + 257, 5, "ustar") != 0) continue;
    tar.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(tar[at + i]);
    char text[8];
    (void)snprintf(text, sizeof text, "%06o", sum);
    tar.replace(at + 148, 7, text, 7);
  }
}

void Direct(os::Fd root, std::string tar, const unpack::Limits& limits) {
  FixChecksums(tar);
  Bytes bytes(tar);
  Marker marker;
  unpack::TarReader reader(bytes, limits);
  unpack::LayerWriter writer(std::move(root), marker, limits);
  for (;;) {
    auto entry = reader.Next();
    if (!entry || !*entry || !writer.Apply(**entry, reader)) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World kWorld;
  const std::string_view text = berth::fuzz::Text(data, size);
  auto layer = kWorld.tmp->dir().MakeDir("layer", 0755);
  Require(layer.has_value());
  unpack::Limits limits;
  limits.bytes = 1U << 20;
  limits.stream_bytes = 1U << 20;
  limits.entries = 200;
  limits.file_size = 16U << 20;
  os::Fd root(::fcntl(layer->get(), F_DUPFD_CLOEXEC, 0));
  if (text.starts_with("\x1f\x8b") || text.starts_with("\x28\xb5\x2f\xfd")) {
    auto input = os::MakeMemFile("layer", text);
    auto hasher = unpack::Hasher::Make();
    Require(input && hasher);
    Marker marker;
    (void)unpack::UnpackLayer(std::move(root), std::move(*input), std::move(*hasher), marker,
                              limits)
        .has_value();
  } else {
    Direct(std::move(root), std::string(text), limits);
  }
  const std::string changes = kWorld.canary->Changes();
  if (!changes.empty()) (void)fprintf(stderr, "%s", changes.c_str());
  Require(changes.empty());
  Require(kWorld.tmp->dir().RemoveTree("layer").has_value());
  return 0;
}

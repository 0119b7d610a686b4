// SPDX-License-Identifier: Apache-2.0
// One layer from a stream in memory to files, as berth-unpack does it inside its sandbox: inflate, both hashes' half that
// is the unpacker's, untar. Below TMPDIR (or /tmp); needs root for the owners.   TMPDIR=/dev/shm build/bin/unpack_bench
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>

#include <random>
#include <string>

#include "base/strings.h"
#include "image/unpack/unpack_layer.h"
#include "os/dir_fd.h"
#include "os/fd.h"
#include "tests/support/tar_writer.h"

namespace berth::image {
namespace {

class Marker final : public unpack::OpaqueMarker {
 public:
  Result<> Mark(int dir) override {
    if (::fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) != 0) return ErrnoError("mark");
    return Ok();
  }
};

// Words, so that it deflates by about three as programs and texts do.
std::string Text(size_t bytes) {
  std::mt19937 random(4);
  std::string text;
  while (text.size() < bytes)
    text += StrCat("word", random() % 5000, random() % 7 == 0 ? "\n" : " ");
  text.resize(bytes);
  return text;
}

std::string Tar(int64_t files, int64_t bytes) {
  const std::string text = Text(static_cast<size_t>(bytes) + 4096);
  testing::TarWriter tar;
  for (int64_t i = 0; i < files; ++i) {
    if (i % 100 == 0) tar.Dir(StrCat("d", i / 100));
    tar.File(
        StrCat("d", i / 100, "/f", i),
        std::string_view(text).substr(static_cast<size_t>(i % 4096), static_cast<size_t>(bytes)));
  }
  return tar.Finish();
}

std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

Result<> UnpackOnce(const os::DirFd& parent, const std::string& layer) {
  os::DirFd root = TRY(parent.MakeDir("layer", 0755));
  Marker marker;
  unpack::Limits limits;
  TRY(unpack::UnpackLayer(os::Fd(::fcntl(root.get(), F_DUPFD_CLOEXEC, 0)),
                          TRY(os::MakeMemFile("layer", layer)), TRY(unpack::Hasher::Make()), marker,
                          limits));
  return Ok();
}

// Arguments: files, bytes of each, compressed or not.
void Unpack(benchmark::State& state) {
  const std::string tar = Tar(state.range(0), state.range(1));
  const std::string layer = state.range(2) != 0 ? Gzip(tar) : tar;
  const os::TempDir directory = *os::TempDir::Make();
  for (auto _ : state) {
    const Result<> done = UnpackOnce(directory.dir(), layer);
    if (!done) state.SkipWithError(done.error().message().c_str());
    state.PauseTiming();
    if (Result<> removed = directory.dir().RemoveTree("layer"); !removed)
      state.SkipWithError("the layer cannot be removed");
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * tar.size()));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(Unpack)
    ->Args({20, 4 << 20, 0})
    ->Args({20, 4 << 20, 1})
    ->Args({5000, 1000, 0})
    ->Args({5000, 1000, 1})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace berth::image

BENCHMARK_MAIN();

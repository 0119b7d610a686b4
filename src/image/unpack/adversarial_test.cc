// SPDX-License-Identifier: Apache-2.0
// The adversarial suite's layers, each through the program in its sandbox and through the code alone,
// which must not need the sandbox to stay inside. After each one a canary tree is as it was.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>

#include "base/strings.h"
#include "image/unpack/hostile_layers.h"
#include "image/unpack/unpack_layer.h"
#include "image/unpacker.h"
#include "os/dir_fd.h"
#include "os/process.h"
#include "os/socket.h"
#include "tests/support/canary.h"

namespace berth::image {
namespace {

using berth::testing::Canary;
using ::testing::HasSubstr;

class DirectMarker final : public unpack::OpaqueMarker {
 public:
  Result<> Mark(int dir) override {
    if (::fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) != 0) return ErrnoError("mark");
    return Ok();
  }
};

// "file <content>", "file of <size>" when large, "link <target>", "directory <mode>[ opaque]",
// "whiteout", "fifo", "device", "missing".
std::string DescribeEntry(const os::DirFd& layer, const std::string& path) {
  auto st = layer.Stat(path);
  if (!st) return "missing";
  const mode_t mode = st->st_mode;
  if (S_ISDIR(mode)) {
    char value = 0;
    auto dir = layer.OpenDir(path);
    const bool opaque = dir && ::fgetxattr(dir->get(), "trusted.overlay.opaque", &value, 1) == 1;
    char octal[16];
    std::snprintf(octal, sizeof octal, "%o", mode & 07777);
    return StrCat("directory ", octal, opaque ? " opaque" : "");
  }
  if (S_ISLNK(mode)) {
    std::string target(4096, '\0');
    const ssize_t n = ::readlinkat(layer.get(), path.c_str(), target.data(), target.size());
    return StrCat("link ", target.substr(0, n > 0 ? static_cast<size_t>(n) : 0));
  }
  if (S_ISFIFO(mode)) return "fifo";
  if (!S_ISREG(mode)) return st->st_rdev == 0 ? "whiteout" : "device";
  if (st->st_size > 4096) return StrCat("file of ", st->st_size);
  auto content = layer.ReadFile(path, 4096);
  return content ? StrCat("file ", *content) : content.error().message();
}

//   <tmp>/canary/...   what no layer may reach
//   <tmp>/layer        where the layer goes
class AdversarialTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "makes namespaces and device nodes: needs root";
    auto tmp = os::TempDir::Make();
    ASSERT_TRUE(tmp);
    tmp_.emplace(std::move(*tmp));
    auto canary = Canary::Plant(tmp_->dir());
    ASSERT_TRUE(canary) << canary.error().message();
    canary_.emplace(std::move(*canary));
    paths_.absolute = tmp_->path() + "/canary";
    paths_.up = "../../../../../../../../../.." + paths_.absolute;
    paths_.inside = paths_.absolute.substr(1);
  }

  void Check(const std::vector<HostileLayer>& layers) {
    // tests/fuzz/run.py adds these up.
    std::printf("%zu crafted layers\n", layers.size());
    for (const HostileLayer& layer : layers) {
      for (const bool sandboxed : {true, false}) {
        SCOPED_TRACE(StrCat(layer.name, sandboxed ? " in the sandbox" : " by the code alone"));
        ASSERT_TRUE(tmp_->dir().RemoveTree("layer"));
        auto into = tmp_->dir().MakeDir("layer", 0755);
        ASSERT_TRUE(into) << into.error().message();
        CheckOne(layer, *into, sandboxed ? InSandbox(*into, layer) : Alone(*into, layer));
        EXPECT_EQ(canary_->Changes(), "");
      }
    }
    auto names = tmp_->dir().List();
    ASSERT_TRUE(names);
    EXPECT_THAT(*names, ::testing::UnorderedElementsAre("canary", "layer"));
  }

  static Result<LayerResult> InSandbox(const os::DirFd& into, const HostileLayer& layer) {
    ProcessUnpacker unpacker(BERTH_UNPACK);
    os::Fd input = TRY(os::MakeMemFile("layer", layer.stream));
    return TRY(unpacker.Start(into, std::move(input),
                              {.bytes = kHostileBytes, .entries = kHostileEntries}))
        ->Wait();
  }
  static Result<LayerResult> Alone(const os::DirFd& into, const HostileLayer& layer) {
    os::Fd input = TRY(os::MakeMemFile("layer", layer.stream));
    unpack::Limits limits;
    limits.bytes = kHostileBytes;
    limits.stream_bytes = 2 * kHostileBytes;
    limits.entries = kHostileEntries;
    DirectMarker marker;
    os::DirFd root = TRY(into.Duplicate());
    return unpack::UnpackLayer(os::Fd(::fcntl(root.get(), F_DUPFD_CLOEXEC, 0)), std::move(input),
                               TRY(unpack::Hasher::Make()), marker, limits);
  }

  static void CheckOne(const HostileLayer& layer, const os::DirFd& into,
                       const Result<LayerResult>& result) {
    if (!layer.message.empty()) {
      ASSERT_FALSE(result) << "was unpacked";
      if (layer.code != Code::kUnknown) {
        EXPECT_EQ(result.error().code(), layer.code) << result.error().message();
      }
      EXPECT_THAT(result.error().message(), HasSubstr(layer.message));
      return;
    }
    ASSERT_TRUE(result) << result.error().message();
    for (const auto& [path, what] : layer.tree) EXPECT_EQ(DescribeEntry(into, path), what) << path;
  }

  std::optional<os::TempDir> tmp_;
  std::optional<Canary> canary_;
  HostilePaths paths_;
};

TEST_F(AdversarialTest, BreakoutsStayInTheLayer) { Check(Breakouts(paths_)); }
TEST_F(AdversarialTest, KnownAttacksChangeNothingOutside) { Check(Attacks(paths_)); }
TEST_F(AdversarialTest, BombsEndAtTheirBudget) { Check(Bombs()); }
TEST_F(AdversarialTest, BrokenArchivesAreRefused) { Check(BrokenArchives()); }

TEST_F(AdversarialTest, TheSuiteIsAsLargeAsPromised) {
  const size_t count =
      Breakouts(paths_).size() + Attacks(paths_).size() + Bombs().size() + BrokenArchives().size();
  EXPECT_EQ(Breakouts(paths_).size(), 34U);
  EXPECT_GE(count, 120U);
}

}  // namespace
}  // namespace berth::image

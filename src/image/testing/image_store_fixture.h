// SPDX-License-Identifier: Apache-2.0
// The image store with a registry in memory and the real berth-unpack. For image_*_test.cc only;
// needs root, for mounts and the unpacker's sandbox.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <optional>
#include <thread>

#include "base/strings.h"
#include "image/hash.h"
#include "image/image_store.h"
#include "image/testing/fake_fetcher.h"
#include "tests/support/tar_writer.h"

namespace berth::image {

using berth::testing::GzipStored;
using berth::testing::TarMember;
using berth::testing::TarWriter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

inline const std::string kContainer(64, 'c');
inline constexpr const char* kName = "registry.test/app:1";

inline FakeLayer Gzip(const std::string& tar) {
  return {GzipStored(tar), tar, oci::LayerCompression::kGzip};
}

inline std::string BaseTar() {
  return TarWriter()
      .Dir("./", 0755)
      .Dir("etc")
      .File("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\n")
      .File("etc/group", "root:x:0:\nextra:x:7:app\n")
      .Dir("tmp", 01777)
      .File("old", "old")
      .Dir("data")
      .File("data/below", "below")
      .Finish();
}

inline std::string TopTar() {
  return TarWriter()
      .File(".wh.old", "")
      .File("tmp/new", "new")
      .File("data/.wh..wh..opq", "")
      .Finish();
}

class ImageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts and makes namespaces: needs root";
    // The fake registry writes into pipes whose reader may have given up.
    ::signal(SIGPIPE, SIG_IGN);
    auto tmp = os::TempDir::Make();
    ASSERT_TRUE(tmp);
    tmp_.emplace(std::move(*tmp));
    Reopen();
  }
  // With other options, if a test has set some.
  void Reopen() {
    store_.reset();
    ImageStoreOptions options = options_;
    options.root = tmp_->path() + "/store";
    auto store = ImageStore::Open(std::move(options), fetcher_, unpacker_);
    ASSERT_TRUE(store) << store.error().message();
    store_ = std::move(*store);
  }
  std::string AddTwoLayers() {
    return fetcher_.Add(kName, {.layers = {Gzip(BaseTar()), Gzip(TopTar())},
                                .process = {.user = "app",
                                            .env = {"A=b"},
                                            .entrypoint = {},
                                            .cmd = {"run"},
                                            .working_dir = "/w",
                                            .stop_signal = "",
                                            .volumes = {}},
                                .labels = {{"k", "v"}}});
  }
  Result<std::string> Pull(const std::string& name = kName) {
    PullRequest request;
    request.reference = name;
    return store_->Pull(request);
  }
  std::vector<std::string> Entries(const std::string& dir) {
    auto opened = os::DirFd::OpenTrusted(tmp_->path() + "/store/" + dir);
    EXPECT_TRUE(opened) << dir;
    auto names = opened->List();
    return names ? *names : std::vector<std::string>{"?"};
  }

  std::optional<os::TempDir> tmp_;
  ImageStoreOptions options_;
  FakeFetcher fetcher_;
  ProcessUnpacker unpacker_{BERTH_UNPACK};
  std::unique_ptr<ImageStore> store_;
};

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// The program itself, started as the daemon starts it: sandbox, protocol, transfer. Needs root.
#include "image/process_fetcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/strings.h"
#include "image/fetch/sandbox.h"
#include "image/hash.h"
#include "image/process_fetcher_files.h"
#include "image/testing/fake_registry.h"
#include "os/confine.h"
#include "os/dir_fd.h"
#include "os/process.h"

// Only the fields that matter are named.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace berth::image {
namespace {

using testing::HasSubstr;

class ProcessFetcherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to build the sandbox";
    settings_.program = BERTH_FETCH_PROGRAM;
    settings_.platform = {"linux", "amd64", "", ""};
    settings_.stall_timeout = std::chrono::seconds(10);
  }
  std::unique_ptr<FetchSession> Open(const std::string& reference, Credentials credentials = {}) {
    ProcessFetcher fetcher(settings_);
    return *fetcher.Open(RegistrySource{*oci::Reference::Parse(reference), std::move(credentials)});
  }
  std::unique_ptr<FetchSession> OpenLocal(const std::string& path, int flags,
                                          const std::string& name = "") {
    ProcessFetcher fetcher(settings_);
    return *fetcher.Open(LocalSource{os::Fd(::open(path.c_str(), flags | O_CLOEXEC)), name});
  }
  // The bytes that arrive in the pipe.
  static Result<std::string> Fetch(FetchSession& session, size_t image, size_t layer) {
    os::Pipe pipe = TRY(os::MakePipe());
    auto reader =
        std::async(std::launch::async, [&] { return os::ReadAll(pipe.read.get(), 64u << 20); });
    auto fetched = session.FetchLayer(image, layer, std::move(pipe.write));
    auto bytes = reader.get();
    if (!fetched) return std::move(fetched.error());
    return bytes;
  }

  FetchSettings settings_;
  FakeRegistry registry_;
  FakeImageDocuments image_ = MakeImageDocuments({std::string(3u << 20, 'a'), "layer two"});
};

TEST_F(ProcessFetcherTest, PullsThroughTheSandboxInParallel) {
  registry_.Push("app", "1", image_);
  auto session = Open(registry_.host() + "/app:1");
  auto images = session->Resolve();
  ASSERT_TRUE(images) << images.error().message();
  ASSERT_EQ(images->size(), 1U);
  const RemoteImage& image = images->front();
  EXPECT_EQ(image.config_digest.str(), image_.config_digest);
  EXPECT_EQ(image.config_json, image_.config);
  EXPECT_EQ(image.tags, std::vector{registry_.host() + "/app:1"});
  EXPECT_EQ(image.digests, std::vector{registry_.host() + "/app@" + image_.manifest_digest});
  EXPECT_EQ(image.process.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(image.labels.at("k"), "v");
  ASSERT_EQ(image.layers.size(), 2U);
  EXPECT_EQ(image.layers[0].compression, oci::LayerCompression::kGzip);
  auto one = std::async(std::launch::async, [&] { return Fetch(*session, 0, 0); });
  EXPECT_EQ(*Fetch(*session, 0, 1), "layer two");
  EXPECT_EQ(*one.get(), std::string(3u << 20, 'a'));
  EXPECT_EQ(session->received(), (3u << 20) + 9);
  EXPECT_EQ(session->FetchLayer(0, 2, os::Fd()).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(session->FetchLayer(1, 0, os::Fd()).error().code(), Code::kInvalidArgument);
}

TEST_F(ProcessFetcherTest, ResolvesNamesInsideTheSandbox) {
  registry_.Push("app", "1", image_);
  auto session = Open(StrCat("localhost:", registry_.port(), "/app:1"));
  auto images = session->Resolve();
  EXPECT_TRUE(images) << images.error().message();
}

TEST_F(ProcessFetcherTest, HandsCredentialsOverTheSocket) {
  registry_.Push("app", "1", image_);
  registry_.Guard([](const FakeRequest& r) -> FakeAnswer {
    const auto found = r.headers.find("authorization");
    if (found != r.headers.end() && found->second == "Basic dTpw") return {0, {}, ""};
    return {401, {{"WWW-Authenticate", "Basic realm=r"}}, ""};
  });
  EXPECT_TRUE(Open(registry_.host() + "/app:1", {.username = "u", .password = "p"})->Resolve());
  auto refused = Open(registry_.host() + "/app:1")->Resolve();
  EXPECT_EQ(refused.error().code(), Code::kUnauthenticated);
}

TEST_F(ProcessFetcherTest, ReportsErrorsWithTheirCodes) {
  EXPECT_EQ(Open(registry_.host() + "/app:1")->Resolve().error().code(), Code::kNotFound);
  auto down = Open("127.0.0.1:1/app:1")->Resolve();
  EXPECT_EQ(down.error().code(), Code::kUnavailable);
  EXPECT_THAT(down.error().message(), testing::StartsWith("RegistryUnavailable: "));
  registry_.Push("app", "1", image_);
  registry_.Set("/v2/app/blobs/" + image_.blob_digests[1], {200, {}, "layer 2"});
  auto session = Open(registry_.host() + "/app:1");
  ASSERT_TRUE(session->Resolve());
  EXPECT_EQ(Fetch(*session, 0, 1).error().code(), Code::kDataLoss);
}

TEST_F(ProcessFetcherTest, SaysAbortedWhenTheReaderGoesAway) {
  registry_.Push("app", "1", image_);
  auto session = Open(registry_.host() + "/app:1");
  ASSERT_TRUE(session->Resolve());
  os::Pipe pipe = *os::MakePipe();
  pipe.read.Reset();
  auto fetched = session->FetchLayer(0, 0, std::move(pipe.write));
  EXPECT_EQ(fetched.error().code(), Code::kAborted);
  EXPECT_THAT(fetched.error().message(), HasSubstr("reader went away"));
}

TEST_F(ProcessFetcherTest, CancelEndsATransferThatHangs) {
  registry_.Push("app", "1", image_);
  registry_.Set("/v2/app/blobs/" + image_.blob_digests[0],
                {200, {}, std::string(3u << 20, 'a'), false, 10, true});
  auto session = Open(registry_.host() + "/app:1");
  ASSERT_TRUE(session->Resolve());
  auto fetch = std::async(std::launch::async, [&] { return Fetch(*session, 0, 0); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  session->Cancel();
  EXPECT_EQ(fetch.get().error().code(), Code::kCancelled);
  EXPECT_EQ(session->Resolve().error().code(), Code::kCancelled);
}

TEST_F(ProcessFetcherTest, SaysWhyTheProcessCouldNotStart) {
  settings_.uid = 0;
  auto resolved = Open(registry_.host() + "/app:1")->Resolve();
  EXPECT_EQ(resolved.error().code(), Code::kInternal);
  EXPECT_THAT(resolved.error().message(), HasSubstr("--uid"));
  settings_.program = "/nonexistent/berth-fetch";
  ProcessFetcher fetcher(settings_);
  auto opened = fetcher.Open(RegistrySource{*oci::Reference::Parse("a.example/b"), {}});
  EXPECT_EQ(opened.error().code(), Code::kNotFound);
}

TEST_F(ProcessFetcherTest, BesideADigestATagIsNotTold) {
  registry_.Push("app", "1", image_);
  auto images = Open(registry_.host() + "/app:other@" + image_.manifest_digest)->Resolve();
  ASSERT_TRUE(images) << images.error().message();
  EXPECT_THAT(images->front().tags, testing::IsEmpty());
  EXPECT_EQ(images->front().digests,
            std::vector{registry_.host() + "/app@" + image_.manifest_digest});
}

TEST_F(ProcessFetcherTest, ReadsCertsD) {
  auto temp = *os::TempDir::Make();
  registry_.Push("app", "1", image_);
  const auto dir = *temp.dir().MakeDir("registry.example", 0755);
  ASSERT_TRUE(
      dir.WriteFile("hosts.toml", StrCat("server = \"http://", registry_.host(), "\"\n"), 0644));
  settings_.certs_d = {temp.path()};
  auto images = Open("registry.example/app:1")->Resolve();
  ASSERT_TRUE(images) << images.error().message();
  EXPECT_EQ(images->front().tags, std::vector<std::string>{"registry.example/app:1"});
  ASSERT_TRUE(dir.WriteFile("hosts.toml", "server = [", 0644));
  ProcessFetcher fetcher(settings_);
  auto broken = fetcher.Open(RegistrySource{*oci::Reference::Parse("registry.example/app:1"), {}});
  EXPECT_EQ(broken.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(broken.error().message(), HasSubstr("hosts.toml"));
}

TEST_F(ProcessFetcherTest, ReadsALayoutThatOnlyRootMayRead) {
  auto temp = *os::TempDir::Make();
  const auto blobs = *temp.dir().MakeDir("blobs", 0755)->MakeDir("sha256", 0755);
  const auto put = [&](const std::string& digest, const std::string& bytes) {
    ASSERT_TRUE(blobs.WriteFile(digest.substr(7), bytes, 0600));
  };
  put(image_.config_digest, image_.config);
  put(image_.manifest_digest, image_.manifest);
  put(image_.blob_digests[0], image_.blobs[0]);
  put(image_.blob_digests[1], image_.blobs[1]);
  ASSERT_TRUE(temp.dir().WriteFile("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 0600));
  ASSERT_TRUE(temp.dir().WriteFile("index.json", MakeIndexDocument({{image_, "amd64"}}), 0644));
  auto session = OpenLocal(temp.path(), O_RDONLY | O_DIRECTORY, "name.example/x:2");
  auto images = session->Resolve();
  ASSERT_TRUE(images) << images.error().message();
  EXPECT_EQ(images->front().tags, std::vector<std::string>{"name.example/x:2"});
  EXPECT_EQ(images->front().digests, std::vector{"name.example/x@" + image_.manifest_digest});
  EXPECT_EQ(*Fetch(*session, 0, 1), "layer two");
}

TEST(FileServiceTest, OpensNothingButTheFilesOfALayout) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(FileService::IsLayoutFile("index.json"));
  EXPECT_TRUE(FileService::IsLayoutFile("blobs/sha256/" + hex));
  EXPECT_TRUE(FileService::IsLayoutFile("blobs/sha512/" + hex + hex));
  for (const std::string& name :
       {std::string("../index.json"), "blobs/sha512/" + hex, "blobs/md5/" + hex, "blobs/" + hex,
        std::string("/etc/shadow"), "blobs/sha256/../" + hex, "blobs/sha256/" + hex + "/x",
        std::string("blobs/sha256/"), std::string()}) {
    EXPECT_FALSE(FileService::IsLayoutFile(name)) << name;
  }
}

TEST_F(ProcessFetcherTest, LeavesNoProcessAndNoDescriptorBehind) {
  registry_.Push("app", "1", image_);
  const auto count = [] { return os::DirFd::OpenTrusted("/proc/self/fd")->List()->size(); };
  const size_t before = count();
  {
    auto session = Open(registry_.host() + "/app:1");
    ASSERT_TRUE(session->Resolve());
    ASSERT_TRUE(Fetch(*session, 0, 1));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the fake's own connections
  EXPECT_EQ(count(), before);
}

TEST(SandboxTest, AllowsWhatAFetchNeedsAndNothingElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to build the sandbox";
  os::RunOptions run;
  run.spawn.path = BERTH_FETCH_PROBE;
  run.spawn.args = {"probe", "localhost"};
  auto output = os::Run(run);
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_TRUE(output->status.ok()) << output->out;
  const std::string denied = StrCat(" ", EPERM, "\n"), missing = StrCat(" ", ENOENT, "\n");
  for (const char* name :
       {"write",         "create",     "mkdir",    "memfd",    "exec",        "fork",
        "vfork",         "setuid",     "unshare",  "mount",    "ptrace",      "kill",
        "bpf",           "keyctl",     "io_uring", "dumpable", "socket:unix", "socket:netlink",
        "socket:packet", "socket:raw", "listen"}) {
    EXPECT_THAT("\n" + output->out, HasSubstr(StrCat("\n", name, denied)));
  }
  for (const char* name : {"open:/etc/shadow", "open:/etc/passwd", "open:/proc/self/status",
                           "open:/../etc/passwd", "open:/dev/null"}) {
    EXPECT_THAT("\n" + output->out, HasSubstr(StrCat("\n", name, missing)));
  }
  for (const char* name :
       {"open:/etc/resolv.conf", "open:/etc/hosts", "socket:inet", "thread", "lookup:localhost"}) {
    EXPECT_THAT("\n" + output->out, HasSubstr(StrCat("\n", name, " 0\n")));
  }
}

TEST(SandboxTest, BelievesOnlyAStatusThatIsComplete) {
  const std::string good =
      "Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\nGroups:\t \nCapInh:\t0000000000000000\n"
      "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
      "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
  EXPECT_TRUE(os::CheckConfined(good, 5, 6));
  EXPECT_FALSE(os::CheckConfined(good, 5, 5));
  EXPECT_FALSE(os::CheckConfined("", 5, 6));
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"CapBnd:\t0", "CapBnd:\t1"},
                                                        {"Groups:\t ", "Groups:\t0"},
                                                        {"NoNewPrivs:\t1", "NoNewPrivs:\t0"},
                                                        {"Seccomp:\t2", "Seccomp:\t0"},
                                                        {"Uid:\t5\t5\t5", "Uid:\t5\t5\t0"},
                                                        {"CapAmb", "CapXyz"}}) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    EXPECT_FALSE(os::CheckConfined(bad, 5, 6)) << to;
  }
}

}  // namespace
}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// User namespaces with the real berth-monitor; needs root and mounts of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/netns.h"
#include "runtime/monitor_runtime.h"

namespace berth::runtime {
namespace {

constexpr os::IdRange kRange{.inside = 0, .outside = 200'000, .count = 65536};

class UserNsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      GTEST_SKIP() << "needs a mount namespace";
    Make([](int) { return Ok(); });
  }
  void Make(std::function<Result<>(int)> try_user_ns) {
    MonitorRuntimeConfig config;
    config.state_dir = temp_.path();
    config.monitor_path = StrCat(BERTH_BINARY_DIR, "/bin/berth-monitor");
    config.handlers = {{"crun", "/usr/bin/crun", {}, ""}};
    config.default_handler = "crun";
    config.try_user_ns = std::move(try_user_ns);
    auto made = MonitorRuntime::Make(std::move(config));
    ASSERT_TRUE(made) << made.error().message();
    runtime_ = std::move(*made);
  }
  static ino_t Inode(const os::Fd& fd) {
    struct stat st{};
    EXPECT_EQ(::fstat(fd.get(), &st), 0);
    return st.st_ino;
  }
  static std::string Link(const std::string& path) {
    char text[64] = {};
    return ::readlink(path.c_str(), text, sizeof text - 1) > 0 ? text : "";
  }
  os::TempDir temp_ = *os::TempDir::Make();
  std::unique_ptr<MonitorRuntime> runtime_;
};

TEST_F(UserNsTest, ThePodsNamespacesBelongToItAndTheMonitorKeepsThem) {
  auto made = runtime_->MakeUserNs(kRange);
  ASSERT_TRUE(made) << made.error().message();
  auto ns = std::make_shared<const os::UserNs>(std::move(*made));
  SandboxSpec spec;
  spec.sandbox_id = "u1";
  spec.hostname = "mapped";
  spec.user_ns = ns;
  spec.root_id = kRange.outside;
  spec.shared_pid_namespace = true;
  spec.sysctls = {{"kernel.shm_rmid_forced", "1"}};
  auto handle = runtime_->StartSandbox(spec);
  ASSERT_TRUE(handle) << handle.error().message();
  auto kept = runtime_->OpenUserNs(*handle);
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(Inode(*kept), Inode(ns->user));
  EXPECT_EQ(Link(handle->ipc_ns_path), StrCat("ipc:[", Inode(ns->ipc), "]"));
  EXPECT_EQ(Link(handle->uts_ns_path), StrCat("uts:[", Inode(ns->uts), "]"));
  // The monitor is still the host's root, the init the pod's.
  EXPECT_EQ(Link(StrCat("/proc/", handle->monitor_pid, "/ns/user")), Link("/proc/self/ns/user"));
  EXPECT_EQ(Link(StrCat("/proc/", handle->pid_ns_init, "/ns/user")),
            StrCat("user:[", Inode(ns->user), "]"));
  struct stat st{};
  ASSERT_EQ(::stat(StrCat("/proc/", handle->pid_ns_init).c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, kRange.outside);
  for (const char* name : {"hosts", "resolv.conf", "hostname"}) {
    ASSERT_EQ(::stat(StrCat(temp_.path(), "/pods/u1/", name).c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, kRange.outside) << name;
  }
  EXPECT_TRUE(runtime_->StopSandbox("u1"));
  EXPECT_EQ(runtime_->OpenUserNs(*handle).error().code(), Code::kUnavailable);
}

TEST_F(UserNsTest, ItsNetworkNamespaceCanBePinnedAndSetUp) {
  auto made = runtime_->MakeUserNs(kRange);
  ASSERT_TRUE(made) << made.error().message();
  auto pins = os::NetNsPins::Open(temp_.path() + "/netns");
  ASSERT_TRUE(pins) << pins.error().message();
  auto setup = []() -> Result<> {
    TRY(os::BringLoopbackUp());
    return os::WriteSysctl("net.ipv4.ip_unprivileged_port_start", "7");
  };
  auto pinned = pins->Create("n", setup, made->network.get());
  ASSERT_TRUE(pinned) << pinned.error().message();
  EXPECT_EQ(Inode(*pins->OpenNs("n")), Inode(made->network));
  EXPECT_TRUE(pins->Remove("n"));
  EXPECT_EQ(::umount2((temp_.path() + "/netns").c_str(), MNT_DETACH), 0);
}

TEST_F(UserNsTest, HandlersHaveThemOnlyIfTheNodeCan) {
  EXPECT_TRUE(runtime_->Handlers()[0].user_namespaces);
  Make([](int) { return Error(Code::kFailedPrecondition, "no idmapped mounts"); });
  EXPECT_FALSE(runtime_->Handlers()[0].user_namespaces);
  Make({});
  EXPECT_FALSE(runtime_->Handlers()[0].user_namespaces);
}

TEST_F(UserNsTest, AProgramThatMakesNoneIsAnError) {
  os::SpawnOptions holder;
  holder.path = "/bin/true";
  holder.args = {"true"};
  auto made = os::MakeUserNs(holder, kRange, std::chrono::seconds(10));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::kInternal);
  EXPECT_NE(made.error().message().find("were not made"), std::string::npos);
  EXPECT_EQ(os::OpenUserNs("/proc/self/ns/net").error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace berth::runtime

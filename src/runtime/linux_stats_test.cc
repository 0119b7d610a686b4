// SPDX-License-Identifier: Apache-2.0
#include "runtime/linux_stats.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/testing/leak_check.h"
#include "runtime/process_counts.h"
#include "runtime/testing/cni_fixture.h"
#include "runtime/testing/fake_stats.h"
#include "runtime/testing/stats_contract.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;

class FakeSubject final : public StatsUnderTest {
 public:
  Stats& stats() override { return stats_; }
  ManualClock& clock() override { return clock_; }
  void SetGroup(const std::string& path, uint64_t cpu_ns, uint64_t memory) override {
    os::CgroupUsage usage;
    usage.cpu.emplace().usage_ns = cpu_ns;
    usage.memory.emplace().usage = memory;
    usage.tasks = 1;
    stats_.SetGroup(path, usage);
  }
  void RemoveGroup(const std::string& path) override { stats_.RemoveGroup(path); }

 private:
  ManualClock clock_;
  FakeStats stats_{clock_};
};

// LinuxStats over ordinary directories in the shape of a cgroup2.
class FixtureSubject final : public StatsUnderTest {
 public:
  FixtureSubject() {
    EXPECT_TRUE(temp_.dir().WriteFile("cgroup.controllers", "cpu memory pids\n", 0644));
    LinuxStatsOptions options;
    options.cgroup_root = temp_.path();
    stats_ = std::move(*LinuxStats::Open(options, clock_));
  }
  Stats& stats() override { return *stats_; }
  ManualClock& clock() override { return clock_; }
  void SetGroup(const std::string& path, uint64_t cpu_ns, uint64_t memory) override {
    Put(path, "cpu.stat", StrCat("usage_usec ", cpu_ns / 1000, "\n"));
    Put(path, "memory.current", StrCat(memory, "\n"));
    Put(path, "memory.stat", "anon 0\n");
    Put(path, "pids.current", "1\n");
  }
  void RemoveGroup(const std::string& path) override {
    EXPECT_TRUE(temp_.dir().RemoveTree(path.substr(1)));
  }

 private:
  // In place, as the kernel's files change.
  void Put(const std::string& path, const std::string& file, const std::string& text) {
    const std::string rel = StrCat(path.substr(1), "/", file);
    for (size_t slash = rel.find('/'); slash != std::string::npos; slash = rel.find('/', slash + 1))
      EXPECT_TRUE(temp_.dir().MakeOrOpenDir(rel.substr(0, slash), 0755));
    os::Fd fd = std::move(*temp_.dir().Open(rel, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    EXPECT_TRUE(os::WriteAll(fd.get(), text));
  }
  ManualClock clock_;
  os::TempDir temp_ = std::move(*os::TempDir::Make());
  std::unique_ptr<LinuxStats> stats_;
};

TEST(StatsContract, OfTheFake) {
  CheckStatsContract([] { return std::make_unique<FakeSubject>(); });
}

TEST(StatsContract, OfLinux) {
  CheckStatsContract([] { return std::make_unique<FixtureSubject>(); });
}

TEST(CpuRate, TheOlderReadingStaysTheBaseUntilTheWindowHasPassed) {
  CpuRate rate;
  using std::chrono::milliseconds;
  EXPECT_FALSE(rate.Add(0, milliseconds(0)));
  EXPECT_FALSE(rate.Add(100'000'000, milliseconds(100)));
  EXPECT_EQ(rate.Add(1'000'000'000, milliseconds(500)), 2'000'000'000U);
  // A clock that goes back begins again.
  EXPECT_FALSE(rate.Add(1'100'000'000, milliseconds(100)));
}

TEST(ProcessCounts, LimitOfOpenFiles) {
  constexpr char kText[] =
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max processes             unlimited            unlimited            processes \n"
      "Max open files            1024                 524288               files     \n";
  EXPECT_EQ(ParseOpenFilesLimit(kText)->value(), 1024U);
  EXPECT_FALSE(ParseOpenFilesLimit("Max open files  unlimited  unlimited  files\n")->has_value());
  EXPECT_FALSE(ParseOpenFilesLimit("Max open files  many  9  files\n"));
  auto none = ParseOpenFilesLimit("Max processes  1  1  processes\n");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(none.error().message(), "process limits: there is no line for open files");
}

TEST(ProcessCounts, CountsThisProcessAndLeavesOutThoseThatEnded) {
  const os::DirFd proc = std::move(*os::DirFd::OpenTrusted("/proc"));
  const os::LeakCheck leaks;
  const std::vector<int> pids = {::getpid(), 0x3fffff};
  auto before = CountProcesses(proc, pids);
  ASSERT_TRUE(before) << before.error().message();
  {
    os::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    os::Pipe pipe = std::move(*os::MakePipe());
    auto after = CountProcesses(proc, pids);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->file_descriptors, before->file_descriptors + 3);
    EXPECT_EQ(after->sockets, before->sockets + 1);
    EXPECT_TRUE(after->max_open_files);
  }
  EXPECT_EQ(leaks.Diff(), "");
  auto many = CountProcesses(proc, std::vector<int>(5000, 1));
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(many.error().message(), "more than 4096 processes in one container");
}

TEST(LinuxStats, DeviceNames) {
  EXPECT_EQ(DeviceNameOf("MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n"), "/dev/sda");
  EXPECT_EQ(DeviceNameOf("MAJOR=8\nDEVNAME=\n"), "");
  os::TempDir temp = std::move(*os::TempDir::Make());
  ASSERT_TRUE(temp.dir().MakeDir("8:16", 0755));
  ASSERT_TRUE(temp.dir().WriteFile("8:16/uevent", "DEVNAME=sdb\n", 0644));
  LinuxStatsOptions options;
  options.block_devices = temp.path();
  SystemClock clock;
  auto stats = std::move(*LinuxStats::Open(options, clock));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(stats->DeviceName(8, 16), "/dev/sdb");
    EXPECT_EQ(stats->DeviceName(0, 33), "0:33");
  }
}

// Datagrams to where nobody listens, so that the pod answers.
void SendDatagrams(const char* to, int count, size_t bytes) {
  os::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  ASSERT_EQ(::inet_pton(AF_INET, to, &address.sin_addr), 1);
  const std::string text(bytes, 'x');
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(::sendto(socket.get(), text.data(), bytes, 0,
                       reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              static_cast<ssize_t>(bytes));
}

// Two pods with veths to here and one with a device of another kind; traffic from here to pod a.
TEST(LinkStats, CountersOfPodsWithoutEnteringThem) {
  std::string skip = InOwnNetwork([] {
    EXPECT_EQ(Shell("mkdir -p /run/netns && for n in a b c; do ip netns add $n; done && "
                    "ip link add va type veth peer name eth0 netns a && "
                    "ip link add vb type veth peer name eth0 netns b && "
                    "ip -n c link add dev eth0 type bridge && "
                    "ip addr add 10.9.0.1/24 dev va && ip link set va up && "
                    "ip -n a addr add 10.9.0.2/24 dev eth0 && ip -n a link set eth0 up"),
              "");
    // The first ones are lost until the kernel has noticed that the link is up.
    for (int i = 0; i < 100; ++i) {
      SendDatagrams("10.9.0.2", 3, 1000);
      if (Shell("cat /sys/class/net/va/statistics/tx_packets").size() > 2) break;  // 10 and more
      ::usleep(50'000);
    }
    const os::LeakCheck leaks;
    SystemClock clock;
    LinkStats links(clock);
    const std::vector<PodNetNs> pods = {
        {"a", "/run/netns/a"}, {"b", "/run/netns/b"}, {"c", "/run/netns/c"}, {"d", "/run/netns/d"}};
    for (int round = 0; round < 2; ++round) {
      auto usage = links.Read(pods);
      ASSERT_TRUE(usage) << usage.error().message();
      ASSERT_EQ(usage->size(), 3U);  // d is not there
      for (const char* id : {"a", "b", "c"}) {
        ASSERT_EQ((*usage)[id].interfaces.size(), 1U) << id;
        EXPECT_EQ((*usage)[id].interfaces[0].name, "eth0");
        EXPECT_GT((*usage)[id].timestamp, 0);
      }
      const InterfaceUsage& a = (*usage)["a"].interfaces[0];
      auto own = links.Read({{"a", "/run/netns/a"}});
      ASSERT_TRUE(own);
      const InterfaceUsage& direct = (*own)["a"].interfaces[0];
      EXPECT_GT(a.rx_bytes, 3000U);
      EXPECT_GT(a.tx_bytes, 0U);
      EXPECT_GE(a.rx_packets, 3U);
      // What the pod's own end counts.
      EXPECT_NEAR(static_cast<double>(direct.rx_bytes), static_cast<double>(a.rx_bytes), 500);
      EXPECT_NEAR(static_cast<double>(direct.tx_bytes), static_cast<double>(a.tx_bytes), 500);
      EXPECT_EQ((*usage)["b"].interfaces[0].rx_bytes, 0U);
    }
    EXPECT_EQ(leaks.Diff(), "");
    // A namespace that ends is left out, whatever was learnt of it.
    EXPECT_EQ(Shell("ip netns del a && ip netns del c && sleep 0.2"), "");
    auto left = links.Read(pods);
    ASSERT_TRUE(left) << left.error().message();
    EXPECT_EQ(left->size(), 1U);
    EXPECT_TRUE(left->contains("b"));
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

}  // namespace
}  // namespace berth::runtime

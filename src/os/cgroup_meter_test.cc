// SPDX-License-Identifier: Apache-2.0
#include "os/cgroup_meter.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/strings.h"

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kV1MemoryStat[] =
    "cache 1\nrss 2\nhierarchical_memory_limit 104857600\nhierarchical_memsw_limit 157286400\n"
    "total_cache 4000\ntotal_rss 3000\ntotal_mapped_file 200\ntotal_swap 70\n"
    "total_pgfault 50\ntotal_pgmajfault 5\ntotal_inactive_file 1000\n";
constexpr char kV2MemoryStat[] =
    "anon 3000\nfile 4000\nkernel 500\nfile_mapped 200\ninactive_file 1000\npgfault 50\npgmajfault "
    "5\n";

// Ordinary directories in the shape of /sys/fs/cgroup.
class MeterTest : public ::testing::Test {
 protected:
  TempDir temp_ = *TempDir::Make();
  const DirFd& dir_ = temp_.dir();
  FdBudget budget_{100};

  void Put(const std::string& path, std::string_view text) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1))
      EXPECT_TRUE(dir_.MakeOrOpenDir(path.substr(0, slash), 0755));
    // In place, as the kernel's files change: a descriptor that is open sees it.
    Fd file = *dir_.Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(WriteAll(file.get(), text));
  }
  void PutV1() {
    Put("cpuacct/g/cpuacct.usage", "5000000000\n");
    Put("cpuacct/g/cpuacct.stat", "user 300\nsystem 200\n");
    Put("cpu/g/cpu.stat", "nr_periods 10\nnr_throttled 3\nthrottled_time 4000\n");
    Put("memory/g/memory.usage_in_bytes", "9000\n");
    Put("memory/g/memory.stat", kV1MemoryStat);
    Put("memory/g/memory.max_usage_in_bytes", "9999\n");
    Put("memory/g/memory.failcnt", "8\n");
    Put("memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    Put("memory/g/memory.soft_limit_in_bytes", "9223372036854771712\n");
    Put("memory/g/cgroup.procs", "12\n11\n");
    Put("pids/g/pids.current", "4\n");
    Put("pids/g/pids.max", "max\n");
    Put("hugetlb/g/hugetlb.2MB.usage_in_bytes", "2097152\n");
    Put("hugetlb/g/hugetlb.2MB.max_usage_in_bytes", "4194304\n");
    Put("blkio/g/blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\nTotal 4096\n");
    Put("blkio/g/blkio.throttle.io_serviced_recursive", "8:0 Read 1\nTotal 1\n");
  }
  void PutV2() {
    Put("cgroup.controllers", "cpu memory\n");
    Put("g/cpu.stat",
        "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 10\n");
    Put("g/memory.current", "9000\n");
    Put("g/memory.stat", kV2MemoryStat);
    Put("g/memory.max", "104857600\n");
    Put("g/memory.swap.current", "70\n");
    Put("g/memory.swap.max", "max\n");
    Put("g/pids.current", "4\n");
    Put("g/cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=3\n");
    Put("g/memory.events", "low 0\nhigh 0\nmax 8\noom 2\noom_kill 2\n");
    Put("g/cgroup.procs", "12\n11\n");
  }
  Result<CgroupUsage> ReadOnce(CgroupDetail detail) {
    Cgroups cgroups = *Cgroups::Detect(temp_.path());
    CgroupMeter meter(cgroups, "/g", {"2MB"}, budget_);
    return meter.Read(detail);
  }
  static int OpenFds() {
    return static_cast<int>(DirFd::OpenTrusted("/proc/self/fd")->List()->size());
  }
};

TEST_F(MeterTest, V1) {
  PutV1();
  auto usage = ReadOnce(CgroupDetail::kAll);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_EQ(usage->cpu->usage_ns, 5'000'000'000U);
  EXPECT_EQ(usage->cpu->user_ns,
            300 * (1'000'000'000U / static_cast<uint64_t>(::sysconf(_SC_CLK_TCK))));
  EXPECT_EQ(usage->cpu->periods, 10U);
  EXPECT_EQ(usage->cpu->throttled_ns, 4000U);
  EXPECT_EQ(usage->memory->usage, 9000U);
  EXPECT_EQ(usage->memory->working_set, 8000U);
  EXPECT_EQ(usage->memory->limit, 104857600U);
  EXPECT_EQ(usage->memory->rss, 3000U);
  EXPECT_EQ(usage->memory->cache, 4000U);
  EXPECT_EQ(usage->memory->swap, 70U);
  EXPECT_EQ(usage->memory->swap_limit, 52428800U);
  EXPECT_EQ(usage->memory->max_usage, 9999U);
  EXPECT_EQ(usage->memory->limit_hits, 8U);
  EXPECT_EQ(usage->memory->oom_kills, 2U);
  EXPECT_EQ(usage->memory->reservation, 0U);  // none
  EXPECT_EQ(usage->tasks, 4U);
  EXPECT_FALSE(usage->tasks_limit);
  ASSERT_EQ(usage->hugetlb.size(), 1U);
  EXPECT_EQ(usage->hugetlb[0].usage, 2097152U);
  EXPECT_EQ(usage->hugetlb[0].max_usage, 4194304U);
  ASSERT_EQ(usage->io.size(), 1U);
  EXPECT_EQ(usage->io[0].read_bytes, 4096U);
  EXPECT_THAT(usage->pids, ElementsAre(11, 12));
  EXPECT_FALSE(usage->cpu->pressure);
}

TEST_F(MeterTest, V2) {
  PutV2();
  auto usage = ReadOnce(CgroupDetail::kAll);
  ASSERT_TRUE(usage) << usage.error().message();
  EXPECT_EQ(usage->cpu->usage_ns, 5'000'000'000U);
  EXPECT_EQ(usage->cpu->user_ns, 3'000'000'000U);
  EXPECT_EQ(usage->cpu->pressure->some.total_us, 3U);
  EXPECT_EQ(usage->memory->working_set, 8000U);
  EXPECT_EQ(usage->memory->limit, 104857600U);
  EXPECT_EQ(usage->memory->kernel, 500U);
  EXPECT_EQ(usage->memory->swap, 70U);
  EXPECT_FALSE(usage->memory->swap_limit);
  EXPECT_EQ(usage->memory->limit_hits, 8U);
  EXPECT_EQ(usage->memory->oom_kills, 2U);
  EXPECT_FALSE(usage->memory->pressure);
  EXPECT_THAT(usage->pids, ElementsAre(11, 12));
}

TEST_F(MeterTest, MoreInactiveThanUsedIsNoWorkingSet) {
  PutV2();
  Put("g/memory.current", "10\n");
  EXPECT_EQ(ReadOnce(CgroupDetail::kUsage)->memory->working_set, 0U);
}

TEST_F(MeterTest, AnotherReadingOpensNothing) {
  PutV1();
  Cgroups cgroups = *Cgroups::Detect(temp_.path());
  CgroupMeter meter(cgroups, "/g", {}, budget_);
  ASSERT_TRUE(meter.Read(CgroupDetail::kUsage));
  const int open = OpenFds();
  EXPECT_EQ(budget_.left(), 96);
  // Were the files opened again, they would be missed.
  for (const char* file :
       {"cpuacct/g/cpuacct.usage", "memory/g/memory.stat", "pids/g/pids.current"})
    ASSERT_TRUE(dir_.Rename(file, StrCat(file, ".away"), false));
  Put("memory/g/memory.usage_in_bytes", "12000\n");
  auto usage = meter.Read(CgroupDetail::kUsage);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->memory->usage, 12000U);
  EXPECT_EQ(usage->tasks, 4U);
  EXPECT_EQ(OpenFds(), open);
  meter.Close();
  EXPECT_EQ(OpenFds(), open - 4);
  EXPECT_EQ(budget_.left(), 100);
}

TEST_F(MeterTest, BeyondTheBudgetNothingStaysOpen) {
  PutV1();
  Cgroups cgroups = *Cgroups::Detect(temp_.path());
  FdBudget none(3);
  CgroupMeter meter(cgroups, "/g", {}, none);
  const int open = OpenFds();
  for (int i = 0; i < 2; ++i) {
    auto usage = meter.Read(CgroupDetail::kAll);
    ASSERT_TRUE(usage);
    EXPECT_EQ(usage->memory->usage, 9000U);
    EXPECT_EQ(OpenFds(), open);
  }
  EXPECT_EQ(none.left(), 3);
}

TEST_F(MeterTest, NoGroupIsNotFound) {
  PutV1();
  Cgroups cgroups = *Cgroups::Detect(temp_.path());
  CgroupMeter meter(cgroups, "/other", {}, budget_);
  auto usage = meter.Read(CgroupDetail::kUsage);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code(), Code::kNotFound);
  EXPECT_THAT(usage.error().message(), HasSubstr("control group /other is not there"));
  EXPECT_EQ(budget_.left(), 100);
}

TEST_F(MeterTest, AMalformedFileIsAnErrorAndKeepsNothingOpen) {
  PutV1();
  Put("memory/g/memory.stat", "total_rss many\n");
  auto usage = ReadOnce(CgroupDetail::kUsage);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(usage.error().message(), HasSubstr("malformed line \"total_rss many\""));
  EXPECT_EQ(budget_.left(), 100);
}

// On the real hierarchies: this process' own groups may be elsewhere, one is made for the test.
TEST(CgroupMeter, AGroupThatWasRemovedIsNotFound) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Cgroups cgroups = *Cgroups::Detect("/sys/fs/cgroup");
  const std::string group = StrCat("/berth-meter-test-", ::getpid());
  Result<> made = cgroups.Create(group);
  if (!made) GTEST_SKIP() << made.error().message();
  FdBudget budget(100);
  CgroupMeter meter(cgroups, group, {}, budget);
  auto usage = meter.Read(CgroupDetail::kAll);
  EXPECT_TRUE(usage) << usage.error().message();
  if (usage) {
    EXPECT_TRUE(usage->cpu);
    EXPECT_TRUE(usage->memory);
    EXPECT_EQ(usage->tasks, 0U);
  }
  ASSERT_TRUE(cgroups.Remove(group));
  auto gone = meter.Read(CgroupDetail::kUsage);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code(), Code::kNotFound);
  EXPECT_EQ(budget.left(), 100);
}

TEST(HugePages, NamesAsTheControllerWritesThem) {
  TempDir temp = *TempDir::Make();
  for (const char* name : {"hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "other"})
    ASSERT_TRUE(temp.dir().MakeDir(name, 0755));
  EXPECT_THAT(*HugePageSizes(temp.path()), ::testing::UnorderedElementsAre("64KB", "2MB", "1GB"));
  EXPECT_TRUE(HugePageSizes(temp.path() + "/none")->empty());
}

}  // namespace
}  // namespace berth::os

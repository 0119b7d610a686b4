// SPDX-License-Identifier: Apache-2.0
// The bytes of a batch as nft(8) 1.0.6 sends them, and what the kernel and nft make of ours.
#include "cni/nft_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "base/strings.h"
#include "cni/plugin.h"
#include "cni/pod_rules.h"
#include "os/process.h"
#include "os/testing/private_mounts.h"

namespace berth::cni {
namespace {

// `nft add rule inet t c ip saddr 1.1.1.1 masquerade comment "x"`, as strace shows it; flags and lengths of nests included.
TEST(NftMessage, ARuleIsWhatNftSends) {
  NftBatch batch;
  batch.Add({NftFamily::kInet, "t"}, "c",
            NftRule().Source({*ParseIp("1.1.1.1"), 32}).Masquerade().Comment("x"));
  const std::string bytes = std::move(batch).Finish();
  const std::string expressions = HexEncode(bytes);
  // meta load nfproto => reg 1 (nft puts the attributes' order KEY, DREG too)
  EXPECT_THAT(expressions, ::testing::HasSubstr("24000180"
                                                "09000100"
                                                "6d65746100000000"
                                                "14000280"
                                                "080002000000000f"
                                                "0800010000000001"));
  // cmp eq reg 1 0x02
  EXPECT_THAT(expressions, ::testing::HasSubstr("2c000180"
                                                "08000100636d7000"
                                                "20000280"
                                                "0800010000000001"
                                                "0800020000000000"
                                                "0c000380"
                                                "0500010002000000"));
  // payload load 4b @ network header + 12 => reg 1
  EXPECT_THAT(expressions, ::testing::HasSubstr("34000180"
                                                "0c0001007061796c6f616400"
                                                "24000280"
                                                "0800010000000001"
                                                "0800020000000001"
                                                "080003000000000c"
                                                "0800040000000004"));
  EXPECT_THAT(expressions, ::testing::HasSubstr("0c000380"
                                                "0800010001010101"));
  // masq
  EXPECT_THAT(expressions, ::testing::HasSubstr("14000180"
                                                "090001006d61737100000000"
                                                "04000280"));
  // user data: comment "x"
  EXPECT_THAT(expressions, ::testing::HasSubstr("08000700"
                                                "00027800"));
}

TEST(NftMessage, ABatchHasABeginAndAnEndAndAsksForOneAnswer) {
  NftBatch batch(7);
  EXPECT_TRUE(batch.empty());
  batch.AddTable(kBerthTable);
  batch.DeleteTable(kBerthTable);
  const std::string bytes = std::move(batch).Finish();
  std::vector<std::pair<int, int>> messages;  // type, flags
  std::string_view rest = bytes;
  nlmsghdr header{};
  while (os::netlink::ReadFixed(rest, header)) {
    messages.emplace_back(header.nlmsg_type, header.nlmsg_flags);
    rest.remove_prefix(NLMSG_ALIGN(header.nlmsg_len));
  }
  EXPECT_TRUE(rest.empty());
  const std::vector<std::pair<int, int>> expected{{16, 1}, {0xa00, 0x401}, {0xa02, 5}, {17, 1}};
  EXPECT_EQ(messages, expected);
}

TEST(NftMessage, OwnersFitAComment) {
  const Attachment attachment{std::string(64, 'a'), "eth0"};
  EXPECT_EQ(RuleOwner("portmap", "net", attachment),
            StrCat("portmap net eth0 ", std::string(64, 'a')));
  const std::string network(200, 'n');
  const std::string longest =
      RuleOwner("macspoofchk", network, {std::string(500, 'c'), "eth0123456789ab"});
  EXPECT_LE(longest.size(), 127u);
  EXPECT_NE(longest, RuleOwner("macspoofchk", network, {std::string(501, 'c'), "eth0123456789ab"}));
  EXPECT_NE(longest,
            RuleOwner("macspoofchk", network + "n", {std::string(500, 'c'), "eth0123456789ab"}));
  EXPECT_TRUE(longest.starts_with(RuleOwners("macspoofchk", network)));
}

std::string Listed() {
  os::RunOptions run;
  run.spawn.path = "/usr/sbin/nft";
  run.spawn.args = {"nft", "list", "ruleset"};
  Result<os::RunOutput> output = os::Run(run);
  return output ? output->out + output->err : output.error().message();
}

// Runs in a network namespace of its own. Empty when it ran.
std::string InOwnNetwork(const std::function<void()>& work) {
  if (::access("/usr/sbin/nft", X_OK) != 0) return "no nft(8)";
  std::string why;
  std::string skip = os::InPrivateMounts([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      why = "no network namespace";
      return;
    }
    work();
  });
  return skip.empty() ? why : skip;
}

TEST(NftMessage, NftReadsEveryExpression) {
  const std::string skip = InOwnNetwork([] {
    Nft nft = std::move(*Nft::Open());
    NftBatch batch;
    const NftTable table{NftFamily::kInet, "t"};
    batch.AddTable(table);
    batch.AddChain(table, "c");
    batch.AddChain(table, "n", NftHook{"nat", NF_INET_POST_ROUTING, 100});
    batch.AddChain(table, "p", NftHook{"nat", NF_INET_PRE_ROUTING, -100});
    batch.Add(table, "n",
              NftRule()
                  .Source(*ParsePrefix("10.1.2.3/32"))
                  .Destination(*ParsePrefix("10.1.2.3/20"), false)
                  .Masquerade()
                  .Comment("masquerade net eth0 c"));
    batch.Add(table, "n",
              NftRule().Marked(0x2000).Destination(*ParsePrefix("fd00::1/128")).Masquerade());
    batch.Add(table, "c", NftRule().Source(*ParsePrefix("10.1.2.3/20")).SetMark(0x2000));
    batch.Add(table, "p",
              NftRule()
                  .Family(true)
                  .DestinationPort(IPPROTO_SCTP, 8080)
                  .TranslateTo(*ParseIp("fd00::5"), 80));
    batch.Add(
        table, "p",
        NftRule().InInterface("eth0").OutInterface("eth1", false).LocalDestination().Jump("c"));
    batch.Add(table, "p", NftRule().Verdict(NF_ACCEPT), true);
    batch.Add({NftFamily::kInet, "t"}, "c",
              NftRule().Destination(*ParsePrefix("10.0.0.0/8")).Counter().Verdict(NF_DROP));
    const Result<> done = nft.Commit(std::move(batch));
    ASSERT_TRUE(done) << done.error().message();
    const std::string listed = Listed();
    for (const char* text : {
             "ip saddr 10.1.2.3 ip daddr != 10.1.0.0/20 masquerade comment \"masquerade net eth0 "
             "c\"",
             "meta mark & 0x00002000 == 0x00002000 ip6 daddr fd00::1 masquerade",
             "ip saddr 10.1.0.0/20 meta mark set meta mark | 0x00002000",
             "type nat hook prerouting priority dstnat; policy accept;\n\t\taccept\n\t\tmeta "
             "nfproto ipv6 sctp dport 8080 dnat ip6 to [fd00::5]:80\n\t\tiifname \"eth0\" oifname "
             "!= "
             "\"eth1\" fib daddr type local jump c",
             "ip daddr 10.0.0.0/8 counter packets 0 bytes 0 drop",
         })
      EXPECT_THAT(listed, ::testing::HasSubstr(text));
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// Of the owner, wherever they are.
size_t CountRules(const std::string& owner) {
  Nft nft = std::move(*Nft::Open());
  const std::vector<NftRuleInfo> rules = std::move(*nft.Rules(kBerthTable));
  return static_cast<size_t>(std::ranges::count(rules, owner, &NftRuleInfo::comment));
}

TEST(Nft, TheTableGoesWithTheLastPodsRules) {
  const std::string skip = InOwnNetwork([] {
    const Attachment one{"c1", "eth0"}, two{"c2", "eth0"};
    std::vector<IpConfig> ips(1);
    ips[0].address = *ParsePrefix("10.1.0.5/16");
    ASSERT_TRUE(AddMasquerade("net", one, ips));
    ASSERT_TRUE(AddMasquerade("net", one, ips)) << "again, after a call that was cut short";
    ASSERT_TRUE(AddMasquerade("net", two, ips)) << "the same address for another pod";
    EXPECT_EQ(CountRules(RuleOwner("masquerade", "net", one)), 1u);
    ASSERT_TRUE(RemoveMasquerade("net", one));
    ASSERT_TRUE(RemoveMasquerade("net", one)) << "twice";
    EXPECT_EQ(CountRules(RuleOwner("masquerade", "net", two)), 1u);
    ASSERT_TRUE(AddMasquerade("other", one, ips));
    ASSERT_TRUE(CollectMasquerades("net", {}));
    EXPECT_EQ(CountRules(RuleOwner("masquerade", "net", two)), 0u);
    EXPECT_EQ(CountRules(RuleOwner("masquerade", "other", one)), 1u);
    ASSERT_TRUE(RemoveMasquerade("other", one));
    EXPECT_EQ(Listed(), "");
    ASSERT_TRUE(RemoveMasquerade("other", one)) << "without the table";
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// CHECK compares what is listed with what would be added.
TEST(Nft, RulesAreRecognisedByTheirValues) {
  const std::string skip = InOwnNetwork([] {
    Nft nft = std::move(*Nft::Open());
    const std::string owner = RuleOwner("portmap", "net", {"c1", "eth0"});
    auto part = [&](const char* source, uint16_t port, const char* to) {
      PodRules out{"hostports", {}};
      out.rules.emplace_back()
          .InInterface("eth0")
          .Source(*ParsePrefix(source))
          .DestinationPort(IPPROTO_TCP, port)
          .SetMark(0x2000)
          .TranslateTo(*ParseIp(to), 80)
          .Comment(owner);
      out.rules.emplace_back().OutInterface("eth1", false).Verdict(NF_ACCEPT).Comment(owner);
      return out;
    };
    ASSERT_TRUE(
        AddPodRules(nft, kBerthTable, NatFrame, owner, {part("10.1.0.0/16", 8080, "10.1.0.5")}));
    auto has = [&](const std::string& of, const PodRules& want) {
      return *HasPodRules(nft, kBerthTable, of, {want});
    };
    EXPECT_TRUE(has(owner, part("10.1.0.0/16", 8080, "10.1.0.5")));
    EXPECT_FALSE(has(owner, part("10.1.0.0/16", 8081, "10.1.0.5"))) << "port";
    EXPECT_FALSE(has(owner, part("10.1.0.0/16", 8080, "10.1.0.6"))) << "pod";
    EXPECT_FALSE(has(owner, part("10.2.0.0/16", 8080, "10.1.0.5"))) << "source";
    EXPECT_FALSE(
        has(RuleOwner("portmap", "net", {"c2", "eth0"}), part("10.1.0.0/16", 8080, "10.1.0.5")));
    // Nothing leads there any more.
    NftBatch batch;
    batch.Flush(kBerthTable, "hostports");
    ASSERT_TRUE(nft.Commit(std::move(batch)));
    EXPECT_FALSE(has(owner, part("10.1.0.0/16", 8080, "10.1.0.5")));
    ASSERT_TRUE(RemovePodRules(nft, kBerthTable, owner, {"hostports", "hairpin"}));
    EXPECT_EQ(CountRules(owner), 0u) << "also without the jump";
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// More rules than one datagram holds, while others change theirs all the time.
TEST(Nft, RulesAreRemovedWhileOthersChangeTheirs) {
  const std::string skip = InOwnNetwork([] {
    constexpr int kOwners = 400;
    const NftTable other{NftFamily::kInet, "other"};
    std::vector<IpConfig> ips(1);
    ips[0].address = *ParsePrefix("10.1.0.5/16");
    auto owner = [](int i) { return Attachment{StrCat("c", i), "eth0"}; };
    Nft nft = std::move(*Nft::Open());
    for (int i = 0; i < kOwners; ++i)
      ASSERT_TRUE(AddPodRules(nft, kBerthTable, NatFrame, RuleOwner("masquerade", "net", owner(i)),
                              {PodRules{"masquerade", {NftRule().Masquerade()}}}));
    EXPECT_EQ((*nft.Rules(kBerthTable, "masquerade")).size(), static_cast<size_t>(kOwners));
    std::jthread churn([&](const std::stop_token& stop) {
      Nft own = std::move(*Nft::Open());
      while (!stop.stop_requested()) {
        NftBatch batch;
        batch.AddTable(other);
        batch.DeleteTable(other);
        ASSERT_TRUE(own.Commit(std::move(batch)));
      }
    });
    for (int i = 0; i < kOwners; i += 20) {
      const Result<> done = RemoveMasquerade(nft, "net", owner(i));
      ASSERT_TRUE(done) << done.error().message();
    }
    churn.request_stop();
    churn.join();
    EXPECT_EQ((*nft.Rules(kBerthTable, "masquerade")).size(),
              static_cast<size_t>(kOwners - kOwners / 20));
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// One transaction that is larger than a socket's send buffer at first.
TEST(Nft, APodMayHaveThreeHundredHostPorts) {
  const std::string skip = InOwnNetwork([] {
    std::string ports;
    for (int i = 0; i < 300; ++i)
      ports += StrCat(i == 0 ? "" : ",", R"({"hostPort":)", 20000 + i, R"(,"containerPort":)",
                      1000 + i, R"(,"protocol":"tcp"})");
    Request request;
    request.container_id = std::string(64, 'c');
    request.ifname = "eth0";
    request.network = "net";
    request.config =
        StrCat(R"({"name":"net","snat":false,"runtimeConfig":{"portMappings":[)", ports, "]}}");
    request.prev_result = Outcome();
    request.prev_result->ips.emplace_back().address = *ParsePrefix("10.1.0.5/16");
    request.prev_result->ips.emplace_back().address = *ParsePrefix("fd00::5/64");
    const std::string owner = RuleOwner("portmap", "net", {request.container_id, "eth0"});

    for (int i = 0; i < 2; ++i) {  // the second takes what the first left away
      const Result<Outcome> added = kPortmap.add(request);
      ASSERT_TRUE(added) << added.error().message();
      EXPECT_EQ(CountRules(owner), 600u) << "two families";
    }
    EXPECT_TRUE(kPortmap.check(request));
    const std::string listed = Listed();
    for (const char* text : {"tcp dport 20000 dnat ip to 10.1.0.5:1000 comment",
                             "tcp dport 20299 dnat ip to 10.1.0.5:1299 comment"})
      EXPECT_THAT(listed, ::testing::HasSubstr(text));
    const Result<> deleted = kPortmap.del(request);
    ASSERT_TRUE(deleted) << deleted.error().message();
    EXPECT_EQ(Listed(), "");
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// A pod whose configuration cannot be read could otherwise never be removed.
TEST(Nft, PortmapsDelNeedsNoReadableConfiguration) {
  const std::string skip = InOwnNetwork([] {
    Request request;
    request.container_id = std::string(64, 'c');
    request.ifname = "eth0";
    request.network = "net";
    request.prev_result = Outcome();
    request.prev_result->ips.emplace_back().address = *ParsePrefix("10.1.0.5/16");
    auto with_host_ip = [](std::string_view ip) {
      return StrCat(R"({"name":"net","runtimeConfig":{"portMappings":[{"hostPort":8082,)",
                    R"("containerPort":80,"protocol":"tcp","hostIP":")", ip, R"("}]}})");
    };
    request.config = with_host_ip("10.9.0.1");
    ASSERT_TRUE(kPortmap.add(request));
    EXPECT_THAT(Listed(), ::testing::HasSubstr("tcp dport 8082"));
    request.config = with_host_ip("zz");
    EXPECT_FALSE(kPortmap.add(request)) << "ADD does need it";
    const Result<> deleted = kPortmap.del(request);
    ASSERT_TRUE(deleted) << deleted.error().message();
    EXPECT_EQ(Listed(), "");
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST(Nft, ARequestOfMoreThanTheLimitIsRefused) {
  os::netlink::Socket socket = std::move(*os::netlink::Socket::Open(NETLINK_NETFILTER));
  const Result<> done = socket.Exchange(std::string(os::netlink::kMaxRequest + 1, '\0'), 1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(done.error().message(), "netlink request of 8388609 bytes: more than 8388608");
}

// A batch that was made for other rules than there are is refused whole.
TEST(Nft, ABatchOfAnOldGenerationIsRefused) {
  const std::string skip = InOwnNetwork([] {
    Nft nft = std::move(*Nft::Open());
    const uint32_t old = *nft.Generation();
    std::vector<IpConfig> ips(1);
    ips[0].address = *ParsePrefix("10.1.0.5/16");
    ASSERT_TRUE(AddMasquerade("net", {"c1", "eth0"}, ips));
    EXPECT_NE(*nft.Generation(), old);
    NftBatch batch(old);
    batch.DeleteTable(kBerthTable);
    const Result<> done = nft.Commit(std::move(batch));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().sys_errno(), ERESTART);
    EXPECT_EQ(CountRules(RuleOwner("masquerade", "net", {"c1", "eth0"})), 1u);
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

}  // namespace
}  // namespace berth::cni

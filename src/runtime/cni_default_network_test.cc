// SPDX-License-Identifier: Apache-2.0
// The embedded network with Berth's own and with the reference plugins, in a network namespace that stands for the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/strings.h"
#include "os/testing/leak_check.h"
#include "runtime/cni_links.h"
#include "runtime/testing/cni_fixture.h"

namespace berth::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPlugins = "/usr/lib/cni";

PodNetwork Pod(char digit) {
  PodNetwork pod;
  pod.sandbox_id = std::string(64, digit);
  pod.pod_name = StrCat("pod-", digit);
  pod.pod_namespace = "default";
  pod.pod_uid = StrCat("uid-", digit);
  return pod;
}

// All that a pod can leave on a host, as text. Anycast routes follow IPv6 forwarding, which stays
// on.
std::string HostState() {
  return Shell(
      "ip -o link | cut -d' ' -f2-5; ip -o addr | cut -d' ' -f2-7; ip route show table all | grep "
      "-v ^anycast; ip -6 "
      "route;"
      "iptables-save | grep -v ^#; ip6tables-save | grep -v ^#; nft list ruleset; ls /run/netns");
}

// "address/port": bash opens it as /dev/tcp/address/port.
std::string Get(const std::string& host) {
  return StrCat("timeout 5 bash -c 'exec 3<>/dev/tcp/", host,
                R"( && printf "GET / HTTP/1.0\r\n\r\n" >&3 && cat <&3')");
}

// With the parameter true the plugins are Berth's own.
class DefaultNetworkTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam() && ::access(StrCat(kPlugins, "/bridge").c_str(), X_OK) != 0)
      GTEST_SKIP() << "no reference CNI plugins";
  }
  CniNetworkOptions Options() const {
    CniNetworkOptions options = fixture_.Options();
    options.bin_dirs = {kPlugins};
    if (GetParam()) options.native_program = BERTH_BINARY_DIR "/bin/berth-cni";
    options.netns_dir = "/run/netns";
    options.default_network.enabled = true;
    return options;
  }
  std::unique_ptr<CniNetwork> Open() const {
    Result<std::unique_ptr<CniNetwork>> network = CniNetwork::Open(Options());
    EXPECT_TRUE(network) << network.error().message();
    return network ? std::move(*network) : nullptr;
  }
  static NetworkStatus Run(CniNetwork& network, const PodNetwork& pod) {
    Result<> made = network.CreateNs(pod.sandbox_id, {});
    EXPECT_TRUE(made) << made.error().message();
    Result<NetworkStatus> status = network.Attach(pod);
    EXPECT_TRUE(status) << status.error().message();
    return status ? *status : NetworkStatus{};
  }
  static void Stop(CniNetwork& network, const PodNetwork& pod) {
    Result<> done = network.Detach(pod.sandbox_id);
    EXPECT_TRUE(done) << done.error().message();
    done = network.RemoveNs(pod.sandbox_id);
    EXPECT_TRUE(done) << done.error().message();
  }
  static std::string In(const CniNetwork& network, const PodNetwork& pod, const std::string& what) {
    return Shell(StrCat("nsenter --net=", network.NsPath(pod.sandbox_id), " ", what));
  }
  std::string Leases() const {
    return Shell(StrCat("find ", fixture_.path(),
                        "/state -path '*/ipam/*' -type f ! -name lock ! -name "
                        "'last_reserved*'"));
  }
  // Everything below the network's state directory.
  std::string Files() const { return Shell(StrCat("ls -A ", fixture_.path(), "/state")); }
  CniFixture fixture_;
};

TEST_P(DefaultNetworkTest, TwoPodsReachEachOtherAndNothingIsLeft) {
  const std::string skip = InOwnNetwork([&] {
    const std::unique_ptr<CniNetwork> network = Open();
    const std::string before = HostState();
    ASSERT_TRUE(network->Ready());
    const PodNetwork a = Pod('a');
    PodNetwork b = Pod('b');
    const NetworkStatus ip_a = Run(*network, a);
    const NetworkStatus ip_b = Run(*network, b);
    ASSERT_EQ(ip_a.ips.size(), 2U) << "dual stack";
    EXPECT_THAT(ip_a.ips[0], HasSubstr("10.88.0."));
    EXPECT_THAT(ip_a.ips[1], HasSubstr("fd"));
    EXPECT_THAT(In(*network, a, StrCat("busybox ping -c1 -W3 ", ip_b.ips[0])),
                HasSubstr(" 0% packet loss"));
    // Duplicate address detection takes its second or two before an IPv6 address is usable.
    EXPECT_THAT(In(*network, a, StrCat("busybox ping -c4 -W3 ", ip_b.ips[1])),
                Not(HasSubstr("100% packet loss")));
    EXPECT_THAT(In(*network, a, "sysctl -n net.ipv6.conf.eth0.accept_ra"), HasSubstr("0"));
    EXPECT_THAT(In(*network, a, "ip -o link show lo"), HasSubstr("LOWER_UP"));
    Stop(*network, a);
    EXPECT_THAT(Shell("ip -o link"), HasSubstr("berth0")) << "pod b still has it";
    Stop(*network, b);
    EXPECT_EQ(HostState(), before);
    EXPECT_EQ(Leases(), "");
    EXPECT_EQ(Files(), "");
    EXPECT_EQ(fixture_.StateFiles(), "");
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST_P(DefaultNetworkTest, HostPortsAreReachableFromTheHostAndFromPods) {
  const std::string skip = InOwnNetwork([&] {
    // Without link-local addresses, whose duplicate detection ends when it likes: the host's state
    // is compared below.
    ASSERT_EQ(Shell("ip link add eth9 type veth peer name eth9p && "
                    "ip link set eth9 addrgenmode none && ip link set eth9p addrgenmode none && "
                    "ip link set eth9p up && "
                    "ip addr add 192.0.2.10/24 dev eth9 && ip link set eth9 up && sleep 2"),
              "");
    const std::unique_ptr<CniNetwork> network = Open();
    const std::string before = HostState();
    PodNetwork server = Pod('c');
    server.port_mappings = {{"tcp", 80, 18080, ""}, {"tcp", 81, 0, ""}};
    const NetworkStatus ip = Run(*network, server);
    const PodNetwork client = Pod('d');
    Run(*network, client);
    In(*network, server,
       "sh -c 'mkdir -p /run/www; echo hello > /run/www/index.html; busybox httpd -f -p [::]:80 -h "
       "/run/www >/dev/null 2>&1 & echo $! > /run/httpd.pid; sleep 0.3'");
    for (const std::string& host :
         {std::string("127.0.0.1/18080"), std::string("192.0.2.10/18080"), ip.ips[0] + "/80"})
      EXPECT_THAT(Shell(Get(host)), HasSubstr("\nhello\n")) << host;
    EXPECT_THAT(In(*network, client, Get("192.0.2.10/18080")), HasSubstr("\nhello\n"));
    EXPECT_THAT(In(*network, server, Get("192.0.2.10/18080")), HasSubstr("\nhello\n")) << "hairpin";
    EXPECT_EQ(Shell("kill $(cat /run/httpd.pid)"), "");
    Stop(*network, client);
    Stop(*network, server);
    EXPECT_EQ(HostState(), before);
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// DEL without the namespace: the plugin keeps its masquerading chain then, and nobody else would
// take it away.
TEST_P(DefaultNetworkTest, NothingIsLeftOfAPodWhoseNamespaceIsGone) {
  const std::string skip = InOwnNetwork([&] {
    ASSERT_TRUE(Open());
    const std::string before = HostState();
    PodNetwork lost = Pod('e');
    lost.port_mappings = {{"udp", 53, 10053, ""}};
    const PodNetwork other = Pod('f');
    {
      const std::unique_ptr<CniNetwork> network = Open();
      Run(*network, lost);
      Run(*network, other);
      ASSERT_TRUE(network->RemoveNs(lost.sandbox_id));
    }
    // Another daemon, as after a crash.
    const std::unique_ptr<CniNetwork> network = Open();
    Result<> collected = network->CollectGarbage({other.sandbox_id});
    EXPECT_TRUE(collected) << collected.error().message();
    const std::string rules = Shell("iptables-save; ip6tables-save; nft list ruleset");
    EXPECT_THAT(rules, Not(HasSubstr(lost.sandbox_id)));
    EXPECT_THAT(rules, HasSubstr(other.sandbox_id));
    EXPECT_TRUE(network->RemoveNs(other.sandbox_id));
    EXPECT_TRUE(network->CollectGarbage({}));
    EXPECT_EQ(HostState(), before);
    EXPECT_EQ(Leases(), "");
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST_P(DefaultNetworkTest, WhatOthersHaveIsLeftAlone) {
  const std::string skip = InOwnNetwork([&] {
    // Somebody else's bridge, subnet, port mapper and closed firewall.
    ASSERT_EQ(Shell("ip link add berth0 type bridge && ip addr add 10.88.0.1/16 dev berth0 && "
                    "ip link set berth0 up && iptables -P FORWARD DROP && "
                    "iptables -t nat -N CNI-HOSTPORT-DNAT && "
                    "iptables -t nat -A PREROUTING -j CNI-HOSTPORT-DNAT"),
              "");
    const std::unique_ptr<CniNetwork> network = Open();
    const PodNetwork a = Pod('a');
    const PodNetwork b = Pod('b');
    const NetworkStatus ip = Run(*network, a);
    Run(*network, b);
    EXPECT_THAT(ip.ips[0], HasSubstr("10.89.0."));
    EXPECT_THAT(Shell("ip -o link"), HasSubstr("berth1"));
    EXPECT_THAT(Shell("iptables-save"), HasSubstr(StrCat("-A CNI-FORWARD -s ", ip.ips[0])));
    Stop(*network, a);
    Stop(*network, b);
    const std::string after = HostState();
    EXPECT_THAT(after, HasSubstr("berth0"));
    EXPECT_THAT(after, Not(HasSubstr("berth1")));
    EXPECT_THAT(after, HasSubstr(":CNI-HOSTPORT-DNAT"));
    // The chain and the jump to it are the operator's from now on, as with the reference plugin.
    EXPECT_THAT(after, Not(HasSubstr("-A CNI-FORWARD -s")));
    EXPECT_THAT(after, HasSubstr(":FORWARD DROP"));
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

// As after a power cut on a disk that lies: the daemon starts, the pod goes, the next one has a network.
TEST_P(DefaultNetworkTest, AStateThatCannotBeReadIsSetAside) {
  const std::string skip = InOwnNetwork([&] {
    const PodNetwork a = Pod('a');
    const PodNetwork b = Pod('b');
    EXPECT_THAT(Run(*Open(), a).ips[0], HasSubstr("10.88.0."));
    for (const char* damage : {": >", "printf garbage >", "head -c 40 /dev/zero >"}) {
      Shell(StrCat(damage, " ", fixture_.path(), "/state/default-network"));
      const std::unique_ptr<CniNetwork> network = Open();
      EXPECT_THAT(Files(), HasSubstr("default-network.bad")) << damage;
      EXPECT_THAT(Run(*network, b).ips[0], HasSubstr("10.89.0.")) << damage;
      Stop(*network, b);
      Shell("ip link del berth1");
    }
    const std::unique_ptr<CniNetwork> network = Open();
    Stop(*network, a);
    EXPECT_EQ(Leases(), "");
    EXPECT_THAT(Shell("ip -o link"), HasSubstr("berth0")) << "nobody knows whose it is";
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

TEST_P(DefaultNetworkTest, BandwidthIsLimitedWhenThePodAsks) {
  const std::string skip = InOwnNetwork([&] {
    const std::unique_ptr<CniNetwork> network = Open();
    const std::string before = HostState();
    PodNetwork pod = Pod('a');
    pod.annotations = {{"kubernetes.io/ingress-bandwidth", "10M"}};
    Result<> made = network->CreateNs(pod.sandbox_id, {});
    ASSERT_TRUE(made);
    Result<NetworkStatus> status = network->Attach(pod);
    // A kernel without the packet scheduler says so; the pod must then have left nothing.
    if (status) {
      EXPECT_THAT(Shell("tc qdisc"), HasSubstr("rate 10Mbit"));
    } else {
      EXPECT_THAT(status.error().message(), HasSubstr("bandwidth"));
    }
    Stop(*network, pod);
    EXPECT_EQ(HostState(), before);
  });
  if (!skip.empty()) GTEST_SKIP() << skip;
}

INSTANTIATE_TEST_SUITE_P(Plugins, DefaultNetworkTest, ::testing::Bool(), [](const auto& param) {
  return std::string(param.param ? "OfBerth" : "Reference");
});

}  // namespace
}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
#include "cni/traffic_control.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <sha512.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>

#include "base/strings.h"

namespace berth::cni {

namespace {

namespace netlink = os::netlink;
using netlink::Message;

constexpr size_t kNameSize = 15;  // IFNAMSIZ without the NUL
constexpr double kSecond = 1e6;   // in microseconds, as tc counts
constexpr double kLatency = 25e3;
constexpr double kTicks = 1000.0 / 64;  // of a microsecond: PSCHED_SHIFT is 6 since Linux 2.6.31
constexpr uint32_t kIngressHandle = 0xffff0000;
constexpr uint32_t kRootHandle = 0x00010000;

uint32_t Cut(double value) { return static_cast<uint32_t>(std::min<double>(value, UINT32_MAX)); }

tcmsg Of(int link, uint32_t parent, uint32_t handle) {
  tcmsg message{};
  message.tcm_family = AF_UNSPEC;
  message.tcm_ifindex = link;
  message.tcm_parent = parent;
  message.tcm_handle = handle;
  return message;
}

Message New(uint16_t type) { return Message(type, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL); }

}  // namespace

KernelBucket ToKernel(const Bucket& bucket) {
  KernelBucket out;
  out.rate = bucket.rate / 8;
  const auto burst = static_cast<double>(bucket.burst / 8);
  const auto rate = static_cast<double>(std::max<uint64_t>(out.rate, 1));
  out.buffer = Cut(std::floor(Cut(burst * kSecond / rate)) * kTicks);
  out.limit = Cut(std::floor(rate * kLatency / kSecond) + burst);
  return out;
}

std::string HashedName(std::string_view prefix, std::string_view text) {
  std::array<uint8_t, SHA512_DIGEST_LENGTH> digest{};
  SHA2_CTX context;
  ::SHA512Init(&context);
  ::SHA512Update(&context, reinterpret_cast<const uint8_t*>(text.data()), text.size());
  ::SHA512Final(digest.data(), &context);
  const std::string hex = HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return StrCat(prefix, hex.substr(0, kNameSize - prefix.size()));
}

Result<TrafficControl> TrafficControl::Open() {
  return TrafficControl(TRY(netlink::Socket::Open(NETLINK_ROUTE)));
}

Result<> TrafficControl::AddBucket(int link, const Bucket& bucket) {
  const KernelBucket kernel = ToKernel(bucket);
  Message message = New(RTM_NEWQDISC);
  message.Fixed(Of(link, TC_H_ROOT, kRootHandle));
  message.Text(TCA_KIND, "tbf");
  const size_t options = message.Begin(TCA_OPTIONS);
  tc_tbf_qopt parameters{};
  parameters.rate.rate = Cut(static_cast<double>(kernel.rate));
  parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
  parameters.limit = kernel.limit;
  parameters.buffer = kernel.buffer;
  message.Number(TCA_TBF_PARMS, parameters);
  if (kernel.rate > UINT32_MAX) message.Number(TCA_TBF_RATE64, kernel.rate);
  message.End(options);
  return socket_.Exchange(std::move(message).Finish(), 1);
}

Result<> TrafficControl::AddIngress(int link) {
  Message message = New(RTM_NEWQDISC);
  message.Fixed(Of(link, TC_H_INGRESS, kIngressHandle));
  message.Text(TCA_KIND, "ingress");
  return socket_.Exchange(std::move(message).Finish(), 1);
}

Result<> TrafficControl::Redirect(int link, int to) {
  constexpr uint32_t kPriority = 1;
  Message message = New(RTM_NEWTFILTER);
  tcmsg head = Of(link, kIngressHandle, 0);
  head.tcm_info = (kPriority << 16) | htons(ETH_P_ALL);
  message.Fixed(head);
  message.Text(TCA_KIND, "u32");
  const size_t options = message.Begin(TCA_OPTIONS);
  message.Number(TCA_U32_CLASSID, kRootHandle | 1);
  // One key that matches everything; it stands behind the selector.
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  const tc_u32_key key{};
  message.Attribute(TCA_U32_SEL,
                    std::string(reinterpret_cast<const char*>(&selector), sizeof(selector)) +
                        std::string(reinterpret_cast<const char*>(&key), sizeof(key)));
  const size_t actions = message.Begin(TCA_U32_ACT);
  const size_t action = message.Begin(1);
  message.Text(TCA_ACT_KIND, "mirred");
  const size_t action_options = message.Begin(TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to);
  message.Number(TCA_MIRRED_PARMS, mirred);
  message.End(action_options);
  message.End(action);
  message.End(actions);
  message.End(options);
  return socket_.Exchange(std::move(message).Finish(), 1);
}

Result<> TrafficControl::Remove(int link, uint32_t parent, uint32_t handle) {
  Message message(RTM_DELQDISC, NLM_F_ACK);
  message.Fixed(Of(link, parent, handle));
  Result<> done = socket_.Exchange(std::move(message).Finish(), 1);
  if (!done && (done.error().sys_errno() == ENOENT || done.error().sys_errno() == EINVAL))
    return Ok();
  return done;
}

Result<> TrafficControl::RemoveRoot(int link) { return Remove(link, TC_H_ROOT, kRootHandle); }
Result<> TrafficControl::RemoveIngress(int link) {
  return Remove(link, TC_H_INGRESS, kIngressHandle);
}

Result<std::optional<KernelBucket>> TrafficControl::FindBucket(int link) {
  Message request(RTM_GETQDISC, NLM_F_DUMP);
  request.Fixed(Of(link, 0, 0));
  std::optional<KernelBucket> found;
  auto take = [&](uint16_t type, std::string_view payload) {
    tcmsg head{};
    if (type != RTM_NEWQDISC || !netlink::ReadFixed(payload, head) || head.tcm_ifindex != link ||
        head.tcm_parent != TC_H_ROOT)
      return;
    std::string kind;
    KernelBucket bucket;
    netlink::ForEachAttribute(
        netlink::AfterFixed(payload, sizeof(head)),
        [&](uint16_t attribute, std::string_view value) {
          if (attribute == TCA_KIND) kind = netlink::TextOf(value);
          if (attribute != TCA_OPTIONS) return;
          uint64_t rate64 = 0;
          netlink::ForEachAttribute(value, [&](uint16_t inner, std::string_view bytes) {
            tc_tbf_qopt parameters{};
            if (inner == TCA_TBF_RATE64) netlink::ReadFixed(bytes, rate64);
            if (inner == TCA_TBF_PARMS && netlink::ReadFixed(bytes, parameters))
              bucket = {parameters.rate.rate, parameters.limit, parameters.buffer};
          });
          if (rate64 != 0) bucket.rate = rate64;
        });
    if (kind == "tbf") found = bucket;
  };
  TRY(socket_.Dump(std::move(request).Finish(), [&] { found.reset(); }, take), "list qdiscs");
  return found;
}

}  // namespace berth::cni

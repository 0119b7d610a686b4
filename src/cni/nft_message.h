// SPDX-License-Identifier: Apache-2.0
// Messages of nf_tables (linux/netfilter/nf_tables.h): rules as lists of expressions, changes as one batch that the kernel
// takes whole or not at all. Pure; any thread. The expressions are those that nft(8) makes of the text beside them, so that
// `nft list` shows that text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni/address.h"
#include "os/netlink.h"

namespace berth::cni {

enum class NftFamily : uint8_t { kInet = 1, kIpv4 = 2, kBridged = 7, kIpv6 = 10 };

class NftRule {
 public:
  NftRule& Source(const IpPrefix& prefix,
                  bool equal = true);  // [meta nfproto ipv4] ip saddr [!=] 10.1.0.0/16
  NftRule& Destination(const IpPrefix& prefix, bool equal = true);  // ip6 daddr ...
  // ip saddr without the test of the family before it: for tables of one family.
  NftRule& PlainSource(const IpAddress& address);
  NftRule& PlainDestination(const IpAddress& address);
  NftRule& Family(bool v6);                                         // meta nfproto ipv6
  NftRule& InInterface(std::string_view name, bool equal = true);   // iifname "cni0"
  NftRule& OutInterface(std::string_view name, bool equal = true);  // oifname "cni0"
  NftRule& EtherSource(std::string_view mac, bool equal = true);  // ether saddr (bridge); six bytes
  NftRule& DestinationPort(uint8_t protocol, uint16_t port);      // tcp dport 8080
  NftRule& LocalDestination();                                    // fib daddr type local
  NftRule& SetMark(uint32_t bit);  // meta mark set meta mark | 0x2000
  NftRule& Marked(uint32_t bit);   // meta mark & 0x2000 == 0x2000
  NftRule& StateMatch(
      uint16_t states);  // xt match "conntrack" --ctstate, as iptables-nft writes it
  NftRule& Counter();
  NftRule& Jump(std::string_view chain);
  NftRule& Verdict(int code);                                     // NF_ACCEPT, NF_DROP, NFT_RETURN
  NftRule& TranslateTo(const IpAddress& address, uint16_t port);  // dnat to 10.1.0.5:80
  NftRule& Masquerade();
  NftRule& Comment(std::string_view text);  // at most 127 bytes

  // ValuesOf all expressions, in their order.
  std::string Values() const;
  const std::vector<std::string>& expressions() const { return expressions_; }
  const std::string& user_data() const { return user_data_; }

 private:
  class Expression;
  void AddAddress(const IpPrefix& prefix, bool source, bool equal);
  void AddMeta(uint32_t key);
  void AddPayload(uint32_t base, uint32_t offset, uint32_t length);
  void AddCompare(bool equal, std::string_view value);
  void AddMask(std::string_view mask, std::string_view flip = {});
  void AddImmediate(uint32_t reg, std::string_view value);

  std::vector<std::string> expressions_;  // each the content of one NFTA_LIST_ELEM
  std::string user_data_;
  std::optional<bool> tested_;  // for which family the rule tests already
};

// What an expression compares with or loads (addresses, ports, names, verdicts) in a form that is the same for a rule that was
// built and for the same rule as the kernel lists it. `element` is the content of an NFTA_LIST_ELEM.
std::string ValuesOf(std::string_view element);
// The chain that it jumps to; "".
std::string JumpOf(std::string_view element);

struct NftHook {
  std::string_view type;  // "nat", "filter"
  uint32_t hook = 0;      // NF_INET_PRE_ROUTING ...
  int32_t priority = 0;
};

struct NftTable {
  NftFamily family;
  std::string_view name;
};

class NftBatch {
 public:
  // With `generation` the kernel refuses the batch (ERESTART) if the rules have changed since.
  explicit NftBatch(std::optional<uint32_t> generation = std::nullopt);

  // Each succeeds if it is there.
  void AddTable(const NftTable& table);
  void AddChain(const NftTable& table, std::string_view chain,
                const std::optional<NftHook>& hook = std::nullopt);
  void Flush(const NftTable& table, std::string_view chain);
  // Last in its chain; first with `front`.
  void Add(const NftTable& table, std::string_view chain, const NftRule& rule, bool front = false);
  void DeleteRule(const NftTable& table, std::string_view chain, uint64_t handle);
  void DeleteChain(const NftTable& table, std::string_view chain);
  void DeleteTable(const NftTable& table);
  bool empty() const { return changes_ == 0; }
  // Only the last change asks for an answer: errors come anyway.
  std::string Finish() &&;

 private:
  os::netlink::Message Begin(int type, uint16_t flags, NftFamily family) const;
  void Push(os::netlink::Message message);
  std::string bytes_;
  size_t last_ = 0;  // offset of the last change
  int changes_ = 0;
};

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_conntrack.h>
#include <sys/socket.h>

#include <array>

#include "cni/nft_message.h"

namespace berth::cni {

namespace {

constexpr size_t kIfNameSize = 16;
constexpr size_t kMaxComment = 127;  // nft's own limit, without the NUL
constexpr uint8_t kCommentType = 0;  // NFTNL_UDATA_RULE_COMMENT

std::string_view Chars(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// The attributes alone, without a message's header.
std::string Strip(os::netlink::Message message) {
  return std::move(message).Finish().substr(sizeof(nlmsghdr));
}

std::string NetworkOrder(uint32_t value) {
  const uint32_t swapped = htonl(value);
  return {reinterpret_cast<const char*>(&swapped), sizeof(swapped)};
}

}  // namespace

// One expression: its name, then its attributes; numbers in network order.
class NftRule::Expression {
 public:
  explicit Expression(std::string_view name) {
    message_.Text(NFTA_EXPR_NAME, name);
    data_ = message_.Begin(NFTA_EXPR_DATA);
  }
  Expression& Number(uint16_t type, uint32_t value) {
    message_.Attribute(type, NetworkOrder(value));
    return *this;
  }
  Expression& Text(uint16_t type, std::string_view value) {
    message_.Text(type, value);
    return *this;
  }
  Expression& Bytes(uint16_t type, std::string_view value) {
    message_.Attribute(type, value);
    return *this;
  }
  // NFTA_DATA_VALUE inside `type`.
  Expression& Value(uint16_t type, std::string_view value) {
    const size_t nest = message_.Begin(type);
    message_.Attribute(NFTA_DATA_VALUE, value);
    message_.End(nest);
    return *this;
  }
  Expression& Goto(uint16_t type, uint32_t code, std::string_view chain) {
    const size_t nest = message_.Begin(type);
    const size_t verdict = message_.Begin(NFTA_DATA_VERDICT);
    Number(NFTA_VERDICT_CODE, code);
    if (!chain.empty()) message_.Text(NFTA_VERDICT_CHAIN, chain);
    message_.End(verdict);
    message_.End(nest);
    return *this;
  }
  void AppendTo(std::vector<std::string>& list) {
    message_.End(data_);
    list.push_back(Strip(std::move(message_)));
  }

 private:
  os::netlink::Message message_{0, 0};
  size_t data_ = 0;
};

void NftRule::AddMeta(uint32_t key) {
  Expression("meta")
      .Number(NFTA_META_KEY, key)
      .Number(NFTA_META_DREG, NFT_REG_1)
      .AppendTo(expressions_);
}

void NftRule::AddPayload(uint32_t base, uint32_t offset, uint32_t length) {
  Expression("payload")
      .Number(NFTA_PAYLOAD_DREG, NFT_REG_1)
      .Number(NFTA_PAYLOAD_BASE, base)
      .Number(NFTA_PAYLOAD_OFFSET, offset)
      .Number(NFTA_PAYLOAD_LEN, length)
      .AppendTo(expressions_);
}

void NftRule::AddCompare(bool equal, std::string_view value) {
  Expression("cmp")
      .Number(NFTA_CMP_SREG, NFT_REG_1)
      .Number(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ)
      .Value(NFTA_CMP_DATA, value)
      .AppendTo(expressions_);
}

void NftRule::AddMask(std::string_view mask, std::string_view flip) {
  Expression("bitwise")
      .Number(NFTA_BITWISE_SREG, NFT_REG_1)
      .Number(NFTA_BITWISE_DREG, NFT_REG_1)
      .Number(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()))
      .Value(NFTA_BITWISE_MASK, mask)
      .Value(NFTA_BITWISE_XOR, flip.empty() ? std::string(mask.size(), '\0') : std::string(flip))
      .AppendTo(expressions_);
}

void NftRule::AddImmediate(uint32_t reg, std::string_view value) {
  Expression("immediate")
      .Number(NFTA_IMMEDIATE_DREG, reg)
      .Value(NFTA_IMMEDIATE_DATA, value)
      .AppendTo(expressions_);
}

void NftRule::AddAddress(const IpPrefix& prefix, bool source, bool equal) {
  // RFC 791 and RFC 8200: where the addresses are in the headers.
  const uint32_t offset = prefix.address.v6 ? (source ? 8 : 24) : (source ? 12 : 16);
  const auto whole = static_cast<uint32_t>(prefix.address.Bytes().size());
  const IpAddress network = Network(prefix);
  if (prefix.length % 8 == 0 && prefix.length > 0) {
    const auto length = static_cast<uint32_t>(prefix.length / 8);
    AddPayload(NFT_PAYLOAD_NETWORK_HEADER, offset, length);
    AddCompare(equal, network.Bytes().substr(0, length));
    return;
  }
  AddPayload(NFT_PAYLOAD_NETWORK_HEADER, offset, whole);
  IpAddress zero{prefix.address.v6, {}};
  IpAddress mask = Broadcast({zero, prefix.length});
  for (size_t i = 0; i < whole; ++i) mask.bytes[i] = static_cast<uint8_t>(~mask.bytes[i]);
  AddMask(mask.Bytes());
  AddCompare(equal, network.Bytes());
}

NftRule& NftRule::Family(bool v6) {
  if (tested_ == v6) return *this;
  tested_ = v6;
  AddMeta(NFT_META_NFPROTO);
  const uint8_t family = v6 ? 10 : 2;  // NFPROTO_IPV6, NFPROTO_IPV4
  AddCompare(true, Chars(&family, 1));
  return *this;
}

NftRule& NftRule::Source(const IpPrefix& prefix, bool equal) {
  Family(prefix.address.v6);
  AddAddress(prefix, true, equal);
  return *this;
}

NftRule& NftRule::Destination(const IpPrefix& prefix, bool equal) {
  Family(prefix.address.v6);
  AddAddress(prefix, false, equal);
  return *this;
}

NftRule& NftRule::PlainSource(const IpAddress& address) {
  AddAddress({address, address.bits()}, true, true);
  return *this;
}

NftRule& NftRule::PlainDestination(const IpAddress& address) {
  AddAddress({address, address.bits()}, false, true);
  return *this;
}

NftRule& NftRule::InInterface(std::string_view name, bool equal) {
  AddMeta(NFT_META_IIFNAME);
  std::string value(name.substr(0, kIfNameSize - 1));
  value.resize(kIfNameSize);
  AddCompare(equal, value);
  return *this;
}

NftRule& NftRule::OutInterface(std::string_view name, bool equal) {
  AddMeta(NFT_META_OIFNAME);
  std::string value(name.substr(0, kIfNameSize - 1));
  value.resize(kIfNameSize);
  AddCompare(equal, value);
  return *this;
}

NftRule& NftRule::EtherSource(std::string_view mac, bool equal) {
  AddPayload(NFT_PAYLOAD_LL_HEADER, 6, static_cast<uint32_t>(mac.size()));
  AddCompare(equal, mac);
  return *this;
}

NftRule& NftRule::DestinationPort(uint8_t protocol, uint16_t port) {
  AddMeta(NFT_META_L4PROTO);
  AddCompare(true, Chars(&protocol, 1));
  AddPayload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  AddCompare(true, NetworkOrder(port).substr(2));
  return *this;
}

NftRule& NftRule::LocalDestination() {
  constexpr uint32_t kLocal = 2;  // RTN_LOCAL
  Expression("fib")
      .Number(NFTA_FIB_DREG, NFT_REG_1)
      .Number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
      .Number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR)
      .AppendTo(expressions_);
  AddCompare(true, {reinterpret_cast<const char*>(&kLocal), sizeof(kLocal)});
  return *this;
}

// A mark is a number in the host's order.
NftRule& NftRule::SetMark(uint32_t bit) {
  const uint32_t others = ~bit;
  AddMeta(NFT_META_MARK);
  AddMask({reinterpret_cast<const char*>(&others), sizeof(others)},
          {reinterpret_cast<const char*>(&bit), sizeof(bit)});
  Expression("meta")
      .Number(NFTA_META_KEY, NFT_META_MARK)
      .Number(NFTA_META_SREG, NFT_REG_1)
      .AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Marked(uint32_t bit) {
  const std::string_view mask(reinterpret_cast<const char*>(&bit), sizeof(bit));
  AddMeta(NFT_META_MARK);
  AddMask(mask);
  AddCompare(true, mask);
  return *this;
}

NftRule& NftRule::StateMatch(uint16_t states) {
  xt_conntrack_mtinfo3 info{};
  info.match_flags = XT_CONNTRACK_STATE;
  info.state_mask = states;
  std::string bytes(reinterpret_cast<const char*>(&info), sizeof(info));
  bytes.resize((bytes.size() + 7) / 8 * 8);  // XT_ALIGN
  Expression("match")
      .Text(NFTA_MATCH_NAME, "conntrack")
      .Number(NFTA_MATCH_REV, 3)
      .Bytes(NFTA_MATCH_INFO, bytes)
      .AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Counter() {
  Expression("counter").AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Jump(std::string_view chain) {
  Expression("immediate")
      .Number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
      .Goto(NFTA_IMMEDIATE_DATA, static_cast<uint32_t>(NFT_JUMP), chain)
      .AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Verdict(int code) {
  Expression("immediate")
      .Number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
      .Goto(NFTA_IMMEDIATE_DATA, static_cast<uint32_t>(code), {})
      .AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::TranslateTo(const IpAddress& address, uint16_t port) {
  AddImmediate(NFT_REG_1, address.Bytes());
  AddImmediate(NFT_REG_2, NetworkOrder(port).substr(2));
  Expression("nat")
      .Number(NFTA_NAT_TYPE, NFT_NAT_DNAT)
      .Number(NFTA_NAT_FAMILY, address.v6 ? AF_INET6 : AF_INET)
      .Number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1)
      .Number(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2)
      .AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Masquerade() {
  Expression("masq").AppendTo(expressions_);
  return *this;
}

NftRule& NftRule::Comment(std::string_view text) {
  const std::string_view kept = text.substr(0, kMaxComment);
  user_data_ = {static_cast<char>(kCommentType), static_cast<char>(kept.size() + 1)};
  user_data_ += kept;
  user_data_.push_back('\0');
  return *this;
}

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
// Batches; rules are in nft_rule.cc and nft_values.cc.
#include "cni/nft_message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cstring>

namespace berth::cni {

namespace {

using os::netlink::Message;

Message Bound(uint16_t type, std::optional<uint32_t> generation) {
  Message message(type, 0);
  nfgenmsg head{};
  head.version = NFNETLINK_V0;
  head.res_id = htons(NFNL_SUBSYS_NFTABLES);
  message.Fixed(head);
  if (generation) message.Number(NFNL_BATCH_GENID, htonl(*generation));
  return message;
}

}  // namespace

NftBatch::NftBatch(std::optional<uint32_t> generation)
    : bytes_(Bound(NFNL_MSG_BATCH_BEGIN, generation).Finish()) {}

Message NftBatch::Begin(int type, uint16_t flags, NftFamily family) const {
  Message message(static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type), flags);
  nfgenmsg head{};
  head.nfgen_family = static_cast<uint8_t>(family);
  head.version = NFNETLINK_V0;
  message.Fixed(head);
  return message;
}

void NftBatch::Push(Message message) {
  last_ = bytes_.size();
  ++changes_;
  bytes_ += std::move(message).Finish();
}

void NftBatch::AddTable(const NftTable& table) {
  Message message = Begin(NFT_MSG_NEWTABLE, NLM_F_CREATE, table.family);
  message.Text(NFTA_TABLE_NAME, table.name);
  Push(std::move(message));
}

void NftBatch::AddChain(const NftTable& table, std::string_view chain,
                        const std::optional<NftHook>& hook) {
  Message message = Begin(NFT_MSG_NEWCHAIN, NLM_F_CREATE, table.family);
  message.Text(NFTA_CHAIN_TABLE, table.name);
  message.Text(NFTA_CHAIN_NAME, chain);
  if (hook) {
    const size_t nest = message.Begin(NFTA_CHAIN_HOOK);
    message.Number(NFTA_HOOK_HOOKNUM, htonl(hook->hook));
    message.Number(NFTA_HOOK_PRIORITY, htonl(static_cast<uint32_t>(hook->priority)));
    message.End(nest);
    message.Text(NFTA_CHAIN_TYPE, hook->type);
  }
  Push(std::move(message));
}

void NftBatch::Flush(const NftTable& table, std::string_view chain) {
  Message message = Begin(NFT_MSG_DELRULE, 0, table.family);
  message.Text(NFTA_RULE_TABLE, table.name);
  message.Text(NFTA_RULE_CHAIN, chain);
  Push(std::move(message));
}

void NftBatch::Add(const NftTable& table, std::string_view chain, const NftRule& rule, bool front) {
  const auto flags = static_cast<uint16_t>(NLM_F_CREATE | (front ? 0 : NLM_F_APPEND));
  Message message = Begin(NFT_MSG_NEWRULE, flags, table.family);
  message.Text(NFTA_RULE_TABLE, table.name);
  message.Text(NFTA_RULE_CHAIN, chain);
  const size_t list = message.Begin(NFTA_RULE_EXPRESSIONS);
  for (const std::string& expression : rule.expressions())
    message.Attribute(NFTA_LIST_ELEM | NLA_F_NESTED, expression);
  message.End(list);
  if (!rule.user_data().empty()) message.Attribute(NFTA_RULE_USERDATA, rule.user_data());
  Push(std::move(message));
}

void NftBatch::DeleteRule(const NftTable& table, std::string_view chain, uint64_t handle) {
  Message message = Begin(NFT_MSG_DELRULE, 0, table.family);
  message.Text(NFTA_RULE_TABLE, table.name);
  message.Text(NFTA_RULE_CHAIN, chain);
  message.Number(NFTA_RULE_HANDLE, htobe64(handle));
  Push(std::move(message));
}

void NftBatch::DeleteChain(const NftTable& table, std::string_view chain) {
  Message message = Begin(NFT_MSG_DELCHAIN, 0, table.family);
  message.Text(NFTA_CHAIN_TABLE, table.name);
  message.Text(NFTA_CHAIN_NAME, chain);
  Push(std::move(message));
}

void NftBatch::DeleteTable(const NftTable& table) {
  Message message = Begin(NFT_MSG_DELTABLE, 0, table.family);
  message.Text(NFTA_TABLE_NAME, table.name);
  Push(std::move(message));
}

std::string NftBatch::Finish() && {
  if (changes_ > 0) {
    nlmsghdr header{};
    std::memcpy(&header, bytes_.data() + last_, sizeof(header));
    header.nlmsg_flags |= NLM_F_ACK;
    std::memcpy(bytes_.data() + last_, &header, sizeof(header));
  }
  return std::move(bytes_) + Bound(NFNL_MSG_BATCH_END, std::nullopt).Finish();
}

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
#include "cni/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"
#include "cni/afterwards.h"

namespace berth::cni {

namespace {

using os::netlink::Message;

constexpr int kTries = 8;

Message Ask(int type, uint16_t flags, NftFamily family) {
  Message message(static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type), flags);
  nfgenmsg head{};
  head.nfgen_family = static_cast<uint8_t>(family);
  head.version = NFNETLINK_V0;
  message.Fixed(head);
  return message;
}

// The comment among a rule's user data: type, length and value of each.
std::string CommentOf(std::string_view data) {
  while (data.size() >= 2) {
    const auto length = static_cast<uint8_t>(data[1]);
    if (data.size() < 2U + length) break;
    if (data[0] == 0) return os::netlink::TextOf(data.substr(2, length));
    data.remove_prefix(2U + length);
  }
  return {};
}

// Where a rule leads, and its values.
void ReadExpressions(std::string_view list, NftRuleInfo& rule) {
  os::netlink::ForEachAttribute(list, [&](uint16_t, std::string_view element) {
    rule.values += ValuesOf(element);
    if (std::string chain = JumpOf(element); !chain.empty()) rule.jump = std::move(chain);
  });
}

NftRuleInfo ReadRule(std::string_view payload, std::string& table) {
  using os::netlink::TextOf;
  NftRuleInfo rule;
  os::netlink::ForEachAttribute(os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                                [&](uint16_t type, std::string_view value) {
                                  if (type == NFTA_RULE_TABLE) table = TextOf(value);
                                  if (type == NFTA_RULE_CHAIN) rule.chain = TextOf(value);
                                  if (type == NFTA_RULE_EXPRESSIONS) ReadExpressions(value, rule);
                                  if (type == NFTA_RULE_HANDLE)
                                    os::netlink::ReadFixed(value, rule.handle);
                                  if (type == NFTA_RULE_USERDATA) rule.comment = CommentOf(value);
                                });
  rule.handle = be64toh(rule.handle);
  return rule;
}

}  // namespace

bool MeansChanged(const Error& error) {
  const int err = error.sys_errno();
  return err == ERESTART || err == ENOENT || err == EBUSY || err == EINTR;
}

Result<Nft> Nft::Open() {
  return Nft(TRY(os::netlink::Socket::Open(NETLINK_NETFILTER), "nftables"));
}

void Nft::Leave() {
  // Without a child this process waits itself.
  if (Result<Afterwards> child = Afterwards::Start([] { return Ok(); }); child) child->Leave();
}

Result<uint32_t> Nft::Generation() {
  uint32_t generation = 0;
  TRY(socket_.Exchange(Ask(NFT_MSG_GETGEN, NLM_F_ACK, NftFamily{}).Finish(), 1,
                       [&](uint16_t, std::string_view payload) {
                         os::netlink::ForEachAttribute(
                             os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                             [&](uint16_t type, std::string_view value) {
                               if (type == NFTA_GEN_ID) os::netlink::ReadFixed(value, generation);
                             });
                       }),
      "nftables: generation");
  return ntohl(generation);
}

Result<Nft::Glance> Nft::Look(const NftTable& table, std::string_view chain) {
  Message request = Ask(NFT_MSG_GETRULE, NLM_F_DUMP, table.family);
  request.Text(NFTA_RULE_TABLE, table.name);
  if (!chain.empty()) request.Text(NFTA_RULE_CHAIN, chain);
  Glance out;
  Result<> done =
      socket_.Exchange(std::move(request).Finish(), 0, [&](uint16_t, std::string_view payload) {
        std::string of;
        NftRuleInfo rule = ReadRule(payload, of);
        // A kernel that does not know the filter gives every rule.
        if (of == table.name && (chain.empty() || rule.chain == chain))
          out.rules.push_back(std::move(rule));
      });
  if (!done && done.error().sys_errno() == ENOENT) return Glance();
  if (!done && done.error().code() != Code::kAborted)
    return std::move(done.error()).Wrap(StrCat("nftables: list rules of ", table.name));
  out.whole = done.has_value();
  return out;
}

Result<std::vector<NftRuleInfo>> Nft::Rules(const NftTable& table, std::string_view chain) {
  for (os::netlink::Patience patience;;) {
    Glance glance = TRY(Look(table, chain));
    if (glance.whole) return std::move(glance.rules);
    if (!patience.Wait())
      return Error(Code::kUnavailable,
                   StrCat("nftables: rules of ", table.name, " change all the time"));
  }
}

Result<> Nft::Commit(NftBatch batch) {
  if (batch.empty()) return Ok();
  return socket_.Exchange(std::move(batch).Finish(), 1);
}

Result<> Nft::Change(const NftTable& table, const std::vector<std::string_view>& chains,
                     const Build& build) {
  os::netlink::Patience patience;
  for (int i = 1;; ++i) {
    // What is there once must be seen by whoever would add it again; after some tries that does not matter any more.
    std::optional<uint32_t> generation;
    if (i < kTries) generation = TRY(Generation());
    NftBatch batch(generation);
    std::vector<NftRuleInfo> rules;
    for (std::string_view chain : chains)
      for (NftRuleInfo& rule : TRY(Rules(table, chain))) rules.push_back(std::move(rule));
    build(batch, rules);
    Result<> done = Commit(std::move(batch));
    if (done) return Ok();
    if (!MeansChanged(done.error()))
      return std::move(done.error()).Wrap(StrCat("nftables: change ", table.name));
    if (!patience.Wait())
      return std::move(done.error())
          .WithCode(Code::kUnavailable)
          .Wrap(StrCat("nftables: ", table.name, " changes all the time"));
  }
}

Result<std::vector<std::string>> Nft::Chains(const NftTable& table) {
  Message request = Ask(NFT_MSG_GETCHAIN, NLM_F_DUMP, table.family);
  std::vector<std::string> chains;
  auto take = [&](uint16_t, std::string_view payload) {
    std::string in_table, name;
    os::netlink::ForEachAttribute(os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                                  [&](uint16_t type, std::string_view value) {
                                    if (type == NFTA_CHAIN_TABLE)
                                      in_table = os::netlink::TextOf(value);
                                    if (type == NFTA_CHAIN_NAME) name = os::netlink::TextOf(value);
                                  });
    if (in_table == table.name) chains.push_back(std::move(name));
  };
  TRY(socket_.Dump(
          std::move(request).Finish(), [&] { chains.clear(); }, take),
      "nftables: list chains");
  return chains;
}

}  // namespace berth::cni

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

constexpr int kSourceNat = 100;  // NF_IP_PRI_NAT_SRC
constexpr int kDestinationNat = -100;
constexpr int kTries = 4;
constexpr size_t kMaxNetwork = 32;
constexpr size_t kMaxContainer = 64;
constexpr size_t kHashDigits = 16;
constexpr std::string_view kMasquerade = "masquerade";

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv
std::string Hash(std::string_view text) {
  uint64_t hash = 14695981039346656037U;
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211U;
  hash = htobe64(hash);
  return HexEncode({reinterpret_cast<const char*>(&hash), sizeof(hash)});
}

std::string Shorten(std::string_view text, size_t max) {
  if (text.size() <= max) return std::string(text);
  return StrCat(text.substr(0, max - kHashDigits - 1), "~", Hash(text));
}

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

// What of a rule's expressions matters here: where it leads.
void ReadExpressions(std::string_view list, NftRuleInfo& rule) {
  using os::netlink::ForEachAttribute;
  using os::netlink::TextOf;
  ForEachAttribute(list, [&](uint16_t, std::string_view element) {
    bool immediate = false;
    ForEachAttribute(element, [&](uint16_t part, std::string_view data) {
      if (part == NFTA_EXPR_NAME) immediate = TextOf(data) == "immediate";
      if (part != NFTA_EXPR_DATA || !immediate) return;
      ForEachAttribute(data, [&](uint16_t type, std::string_view value) {
        if (type != NFTA_IMMEDIATE_DATA) return;
        ForEachAttribute(value, [&](uint16_t kind, std::string_view verdict) {
          if (kind != NFTA_DATA_VERDICT) return;
          ForEachAttribute(verdict, [&](uint16_t field, std::string_view chain) {
            if (field == NFTA_VERDICT_CHAIN) rule.jump = TextOf(chain);
          });
        });
      });
    });
  });
}

bool MeansChanged(const Error& error) {
  const int err = error.sys_errno();
  return err == ERESTART || err == ENOENT || err == EBUSY || err == EINTR;
}

}  // namespace

std::string RuleOwners(std::string_view plugin, std::string_view network) {
  return StrCat(plugin, " ", Shorten(network, kMaxNetwork), " ");
}

std::string RuleOwner(std::string_view plugin, std::string_view network,
                      const Attachment& attachment) {
  return StrCat(RuleOwners(plugin, network), attachment.ifname, " ",
                Shorten(attachment.container_id, kMaxContainer));
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

Result<std::vector<NftRuleInfo>> Nft::Rules(const NftTable& table) {
  Message request = Ask(NFT_MSG_GETRULE, NLM_F_DUMP, table.family);
  request.Text(NFTA_RULE_TABLE, table.name);
  std::vector<NftRuleInfo> rules;
  auto take = [&](uint16_t, std::string_view payload) {
    NftRuleInfo rule;
    std::string in_table;
    os::netlink::ForEachAttribute(os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                                  [&](uint16_t type, std::string_view value) {
                                    if (type == NFTA_RULE_TABLE)
                                      in_table = os::netlink::TextOf(value);
                                    if (type == NFTA_RULE_CHAIN)
                                      rule.chain = os::netlink::TextOf(value);
                                    if (type == NFTA_RULE_EXPRESSIONS) ReadExpressions(value, rule);
                                    if (type == NFTA_RULE_HANDLE)
                                      os::netlink::ReadFixed(value, rule.handle);
                                    if (type == NFTA_RULE_USERDATA) rule.comment = CommentOf(value);
                                  });
    rule.handle = be64toh(rule.handle);
    if (in_table == table.name) rules.push_back(std::move(rule));
  };
  Result<> done = socket_.Dump(std::move(request).Finish(), [&] { rules.clear(); }, take);
  if (!done && done.error().sys_errno() == ENOENT) return std::vector<NftRuleInfo>();
  if (!done) return std::move(done.error()).Wrap(StrCat("nftables: list rules of ", table.name));
  return rules;
}

Result<> Nft::Commit(NftBatch batch) {
  if (batch.empty()) return Ok();
  return socket_.Exchange(std::move(batch).Finish(), 1);
}

Result<> Nft::Replace(const NftTable& table, const std::string& owner, const Build& build) {
  for (int i = 1;; ++i) {
    // What is there once must be seen by whoever would add it again; after some tries that does not matter any more.
    std::optional<uint32_t> generation;
    if (i < 4 * kTries) generation = TRY(Generation());
    NftBatch batch(generation);
    batch.AddTable(table);
    // What an ADD that was cut short has left.
    const std::vector<NftRuleInfo> rules = TRY(Rules(table));
    for (const NftRuleInfo& rule : rules)
      if (rule.comment == owner) batch.DeleteRule(table, rule.chain, rule.handle);
    build(batch, rules);
    Result<> done = Commit(std::move(batch));
    if (done) return Ok();
    // A rule that was in the list is gone, or the table went with the last pod of others.
    if (i == 4 * kTries || !MeansChanged(done.error()))
      return std::move(done.error()).Wrap("nftables: add rules");
  }
}

Result<> Nft::Change(const NftTable& table, const Build& build) {
  for (int i = 1;; ++i) {
    NftBatch batch(TRY(Generation()));
    build(batch, TRY(Rules(table)));
    Result<> done = Commit(std::move(batch));
    if (done) return Ok();
    if (i == 4 * kTries || !MeansChanged(done.error()))
      return std::move(done.error()).Wrap(StrCat("nftables: change ", table.name));
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

Result<> Nft::Remove(const NftTable& table,
                     const std::function<bool(const std::string& owner)>& gone) {
  for (int i = 1;; ++i) {
    // After some tries others change rules all the time: the table, which then has their rules, is left.
    const bool whole = i < kTries;
    std::optional<uint32_t> generation;
    if (whole) generation = TRY(Generation());
    NftBatch batch(generation);
    bool others = false;
    for (const NftRuleInfo& rule : TRY(Rules(table))) {
      if (rule.comment.empty()) continue;
      if (gone(rule.comment)) {
        batch.DeleteRule(table, rule.chain, rule.handle);
      } else {
        others = true;
      }
    }
    if (batch.empty()) return Ok();
    if (whole && !others) {
      batch = NftBatch(generation);
      batch.DeleteTable(table);
    }
    Result<> done = Commit(std::move(batch));
    if (done) return Ok();
    if (i == 2 * kTries || !MeansChanged(done.error()))
      return std::move(done.error()).Wrap("nftables: remove rules");
  }
}

void AddPostrouting(NftBatch& batch) {
  batch.AddChain(kBerthTable, "postrouting", NftHook{"nat", NF_INET_POST_ROUTING, kSourceNat});
}

void AddHostPorts(NftBatch& batch, const std::vector<NftRuleInfo>& rules) {
  batch.AddChain(kBerthTable, "hostports");
  batch.AddChain(kBerthTable, "prerouting", NftHook{"nat", NF_INET_PRE_ROUTING, kDestinationNat});
  batch.AddChain(kBerthTable, "output", NftHook{"nat", NF_INET_LOCAL_OUT, kDestinationNat});
  for (std::string_view chain : {"prerouting", "output"}) {
    if (std::ranges::none_of(rules, [&](const NftRuleInfo& rule) { return rule.chain == chain; }))
      batch.Add(kBerthTable, chain, NftRule().LocalDestination().Jump("hostports"));
  }
}

Result<> AddMasquerade(std::string_view network, const Attachment& attachment,
                       const std::vector<IpConfig>& ips) {
  Nft nft = TRY(Nft::Open());
  const std::string owner = RuleOwner(kMasquerade, network, attachment);
  TRY(nft.Replace(kBerthTable, owner, [&](NftBatch& batch, const std::vector<NftRuleInfo>&) {
    AddPostrouting(batch);
    for (const IpConfig& ip : ips) {
      const IpAddress& address = ip.address.address;
      IpPrefix multicast{IpAddress{address.v6, {}}, address.v6 ? 8 : 4};
      multicast.address.bytes[0] = address.v6 ? 0xff : 0xe0;
      batch.Add(kBerthTable, "postrouting",
                NftRule()
                    .Source({address, address.bits()})
                    .Destination(ip.address, false)
                    .Destination(multicast, false)
                    .Masquerade()
                    .Comment(owner));
    }
  }));
  nft.Leave();
  return Ok();
}

Result<> RemoveMasquerade(Nft& nft, std::string_view network, const Attachment& attachment) {
  const std::string owner = RuleOwner(kMasquerade, network, attachment);
  return nft.Remove(kBerthTable, [&](const std::string& of) { return of == owner; });
}

Result<> RemoveMasquerade(std::string_view network, const Attachment& attachment) {
  Nft nft = TRY(Nft::Open());
  return RemoveMasquerade(nft, network, attachment);
}

Result<> CollectRules(std::string_view plugin, std::string_view network,
                      const std::vector<Attachment>& valid, const NftTable& table) {
  const std::string prefix = RuleOwners(plugin, network);
  std::set<std::string> keep;
  for (const Attachment& each : valid) keep.insert(RuleOwner(plugin, network, each));
  Nft nft = TRY(Nft::Open());
  return nft.Remove(
      table, [&](const std::string& of) { return of.starts_with(prefix) && !keep.contains(of); });
}

Result<size_t> CountRules(const std::string& owner, std::string_view chain) {
  Nft nft = TRY(Nft::Open());
  const std::vector<NftRuleInfo> rules = TRY(nft.Rules(kBerthTable));
  return static_cast<size_t>(std::ranges::count_if(rules, [&](const NftRuleInfo& rule) {
    return rule.comment == owner && rule.chain == chain;
  }));
}

}  // namespace berth::cni

// SPDX-License-Identifier: Apache-2.0
#include "cni/pod_rules.h"

#include <endian.h>
#include <linux/netfilter.h>

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace berth::cni {

namespace {

constexpr int kSourceNat = 100;  // NF_IP_PRI_NAT_SRC
constexpr int kDestinationNat = -100;
constexpr int kTries = 4;
constexpr size_t kMayAllLeave = 64;  // so many owners can be on their way out at the same time
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

std::string ChainOf(std::string_view from, std::string_view owner) {
  return StrCat(from, "-", Hash(owner));
}

// Chains of the table that jump to owners' chains.
std::vector<std::string_view> AllFrom(const NftTable& table) {
  if (table.family == NftFamily::kBridged) return {"prerouting"};
  return {"hostports", "hairpin", kMasquerade, "forward", "isolation"};
}

// What there is of one owner and whether there are others, as far as was looked.
struct Found {
  bool own = false;
  size_t others = 0;
  bool whole = true;
};

Result<> LookFor(Nft& nft, const NftTable& table, std::string_view from, const std::string& owner,
                 NftBatch& batch, Found& found) {
  const std::string chain = ChainOf(from, owner);
  const Nft::Glance glance = TRY(nft.Look(table, from));
  found.whole = found.whole && glance.whole;
  bool own = false;
  for (const NftRuleInfo& rule : glance.rules) {
    if (rule.jump != chain) {
      ++found.others;
      continue;
    }
    batch.DeleteRule(table, from, rule.handle);
    own = true;
  }
  // Without a jump, which somebody has taken away, the chain may be there still: it is never empty.
  if (!own) own = !(TRY(nft.Look(table, chain))).rules.empty();
  if (!own) return Ok();
  batch.Flush(table, chain);
  // Busy while a jump to it is left that was not seen.
  batch.DeleteChain(table, chain);
  found.own = true;
  return Ok();
}

Result<bool> IsLast(Nft& nft, const NftTable& table, const std::vector<std::string_view>& seen) {
  for (std::string_view from : AllFrom(table)) {
    if (std::ranges::find(seen, from) != seen.end()) continue;
    const Nft::Glance glance = TRY(nft.Look(table, from));
    if (!glance.whole || !glance.rules.empty()) return false;
  }
  return true;
}

// Two of the last owners that leave at once see each other, and neither takes the table: the one whose commit is later does
// here. An empty table does no harm, so that trying is enough.
void TakeEmptyTable(Nft& nft, const NftTable& table) {
  for (int i = 0; i < kTries; ++i) {
    Result<uint32_t> generation = nft.Generation();
    if (!generation) return;
    Result<bool> last = IsLast(nft, table, {});
    if (!last || !*last) return;
    NftBatch batch(*generation);
    batch.DeleteTable(table);
    Result<> done = nft.Commit(std::move(batch));
    if (done || !MeansChanged(done.error())) return;
  }
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

// Emptied and filled in the same transaction: whatever was there, no packet finds them without their jumps.
void NatFrame(NftBatch& batch) {
  for (std::string_view chain :
       {std::string_view("hostports"), std::string_view("hairpin"), kMasquerade})
    batch.AddChain(kBerthTable, chain);
  batch.AddChain(kBerthTable, "prerouting", NftHook{"nat", NF_INET_PRE_ROUTING, kDestinationNat});
  batch.AddChain(kBerthTable, "output", NftHook{"nat", NF_INET_LOCAL_OUT, kDestinationNat});
  batch.AddChain(kBerthTable, "postrouting", NftHook{"nat", NF_INET_POST_ROUTING, kSourceNat});
  for (std::string_view chain : {"prerouting", "output"}) {
    batch.Flush(kBerthTable, chain);
    batch.Add(kBerthTable, chain, NftRule().LocalDestination().Jump("hostports"));
  }
  batch.Flush(kBerthTable, "postrouting");
  batch.Add(kBerthTable, "postrouting", NftRule().Jump("hairpin"));
  batch.Add(kBerthTable, "postrouting", NftRule().Jump(kMasquerade));
}

Result<> AddPodRules(Nft& nft, const NftTable& table, Frame frame, const std::string& owner,
                     const std::vector<PodRules>& parts) {
  NftBatch batch;
  batch.AddTable(table);
  frame(batch);
  for (const PodRules& part : parts) {
    if (part.rules.empty()) continue;
    const std::string chain = ChainOf(part.from, owner);
    batch.AddChain(table, chain);
    // What an ADD that was cut short has left. Its jump may be there twice then: that leads nowhere else.
    batch.Flush(table, chain);
    for (const NftRule& rule : part.rules) batch.Add(table, chain, rule);
    batch.Add(table, part.from, NftRule().Jump(chain));
  }
  TRY(nft.Commit(std::move(batch)), "nftables: add rules");
  return Ok();
}

Result<> RemovePodRules(Nft& nft, const NftTable& table, const std::string& owner,
                        const std::vector<std::string_view>& from) {
  os::netlink::Patience patience;
  for (int i = 1;; ++i) {
    // After some tries others change rules all the time: the table is left.
    const uint32_t generation = TRY(nft.Generation());
    NftBatch batch;
    Found found;
    for (std::string_view each : from) TRY(LookFor(nft, table, each, owner, batch, found));
    if (!found.own) return Ok();
    const bool last =
        i < kTries && found.whole && found.others == 0 && TRY(IsLast(nft, table, from));
    if (last) {
      batch = NftBatch(generation);
      batch.DeleteTable(table);
    }
    Result<> done = nft.Commit(std::move(batch));
    if (done && !last && found.others <= kMayAllLeave) TakeEmptyTable(nft, table);
    if (done) return Ok();
    if (!MeansChanged(done.error())) return std::move(done.error()).Wrap("nftables: remove rules");
    if (!patience.Wait())
      return std::move(done.error())
          .WithCode(Code::kUnavailable)
          .Wrap("nftables: remove rules: others change them all the time");
  }
}

Result<> CollectPodRules(const NftTable& table, std::string_view plugin, std::string_view network,
                         const std::vector<Attachment>& valid,
                         const std::vector<std::string_view>& from) {
  const std::string prefix = RuleOwners(plugin, network);
  std::set<std::string> keep, gone;
  for (const Attachment& each : valid) keep.insert(RuleOwner(plugin, network, each));
  Nft nft = TRY(Nft::Open());
  // What a change hides from this look is seen by the next collection.
  for (const NftRuleInfo& rule : (TRY(nft.Look(table))).rules)
    if (rule.comment.starts_with(prefix) && !keep.contains(rule.comment)) gone.insert(rule.comment);
  for (const std::string& owner : gone) TRY(RemovePodRules(nft, table, owner, from));
  return Ok();
}

Result<bool> HasPodRules(Nft& nft, const NftTable& table, const std::string& owner,
                         const std::vector<PodRules>& parts) {
  for (const PodRules& part : parts) {
    if (part.rules.empty()) continue;
    const std::string chain = ChainOf(part.from, owner);
    const std::vector<NftRuleInfo> jumps = TRY(nft.Rules(table, part.from));
    if (std::ranges::none_of(jumps, [&](const NftRuleInfo& rule) { return rule.jump == chain; }))
      return false;
    const std::vector<NftRuleInfo> there = TRY(nft.Rules(table, chain));
    if (!std::ranges::equal(there, part.rules, [](const NftRuleInfo& rule, const NftRule& want) {
          return rule.values == want.Values();
        }))
      return false;
  }
  return true;
}

Result<> AddMasquerade(std::string_view network, const Attachment& attachment,
                       const std::vector<IpConfig>& ips) {
  const std::string owner = RuleOwner(kMasquerade, network, attachment);
  PodRules part{kMasquerade, {}};
  for (const IpConfig& ip : ips) {
    const IpAddress& address = ip.address.address;
    IpPrefix multicast{IpAddress{address.v6, {}}, address.v6 ? 8 : 4};
    multicast.address.bytes[0] = address.v6 ? 0xff : 0xe0;
    part.rules.emplace_back()
        .Source({address, address.bits()})
        .Destination(ip.address, false)
        .Destination(multicast, false)
        .Masquerade()
        .Comment(owner);
  }
  Nft nft = TRY(Nft::Open());
  TRY(AddPodRules(nft, kBerthTable, NatFrame, owner, {part}));
  nft.Leave();
  return Ok();
}

Result<> RemoveMasquerade(Nft& nft, std::string_view network, const Attachment& attachment) {
  return RemovePodRules(nft, kBerthTable, RuleOwner(kMasquerade, network, attachment),
                        {kMasquerade});
}

Result<> RemoveMasquerade(std::string_view network, const Attachment& attachment) {
  Nft nft = TRY(Nft::Open());
  return RemoveMasquerade(nft, network, attachment);
}

Result<> CollectMasquerades(std::string_view network, const std::vector<Attachment>& valid) {
  return CollectPodRules(kBerthTable, kMasquerade, network, valid, {kMasquerade});
}

}  // namespace berth::cni

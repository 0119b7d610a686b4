// SPDX-License-Identifier: Apache-2.0
// What an expression has in it, whether it was built here or is listed by the kernel.
#include <linux/netfilter/nf_tables.h>

#include <functional>

#include "base/strings.h"
#include "cni/nft_message.h"

namespace berth::cni {

std::string NftRule::Values() const {
  std::string out;
  for (const std::string& expression : expressions_) out += ValuesOf(expression);
  return out;
}

namespace {

// Calls `each` with the expression's name and each attribute of its NFTA_EXPR_DATA.
void ForEachPart(
    std::string_view element,
    const std::function<void(std::string_view name, uint16_t type, std::string_view value)>& each) {
  using os::netlink::ForEachAttribute;
  std::string name;
  ForEachAttribute(element, [&](uint16_t part, std::string_view data) {
    if (part == NFTA_EXPR_NAME) name = os::netlink::TextOf(data);
    if (part != NFTA_EXPR_DATA) return;
    ForEachAttribute(data, [&](uint16_t type, std::string_view value) { each(name, type, value); });
  });
}

// The inside of an NFTA_DATA_VALUE, or the chain of a verdict.
std::string DataOf(std::string_view data, bool verdicts_only) {
  using os::netlink::ForEachAttribute;
  std::string out;
  ForEachAttribute(data, [&](uint16_t kind, std::string_view value) {
    if (kind == NFTA_DATA_VALUE && !verdicts_only) out += value;
    if (kind != NFTA_DATA_VERDICT) return;
    ForEachAttribute(value, [&](uint16_t field, std::string_view text) {
      if (field == NFTA_VERDICT_CHAIN) out += os::netlink::TextOf(text);
    });
  });
  return out;
}

}  // namespace

std::string ValuesOf(std::string_view element) {
  std::string out;
  ForEachPart(element, [&](std::string_view name, uint16_t type, std::string_view value) {
    if ((name == "cmp" && type == NFTA_CMP_DATA) ||
        (name == "immediate" && type == NFTA_IMMEDIATE_DATA))
      out += StrCat(name, "=", HexEncode(DataOf(value, false)), ";");
  });
  return out;
}

std::string JumpOf(std::string_view element) {
  std::string out;
  ForEachPart(element, [&](std::string_view name, uint16_t type, std::string_view value) {
    if (name == "immediate" && type == NFTA_IMMEDIATE_DATA) out = DataOf(value, true);
  });
  return out;
}

}  // namespace berth::cni

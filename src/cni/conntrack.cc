// SPDX-License-Identifier: Apache-2.0
#include "cni/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/strings.h"
#include "os/netlink.h"

namespace berth::cni {

namespace {

using os::netlink::ForEachAttribute;
using os::netlink::Message;
using os::netlink::ReadFixed;

Message Ask(int type, uint16_t flags, uint8_t family) {
  Message message(static_cast<uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type), flags);
  nfgenmsg head{};
  head.nfgen_family = family;
  head.version = NFNETLINK_V0;
  message.Fixed(head);
  return message;
}

struct Entry {
  uint8_t family = AF_UNSPEC;
  std::string original;  // the CTA_TUPLE_ORIG attribute's value, as it came
  std::string id;
  std::string zone;
  uint8_t protocol = 0;
  uint16_t port = 0;
};

Entry ToEntry(std::string_view payload) {
  Entry entry;
  if (nfgenmsg head{}; ReadFixed(payload, head)) entry.family = head.nfgen_family;
  ForEachAttribute(os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                   [&](uint16_t type, std::string_view value) {
                     if (type == CTA_ID) entry.id = value;
                     if (type == CTA_ZONE) entry.zone = value;
                     if (type != CTA_TUPLE_ORIG) return;
                     entry.original = value;
                     ForEachAttribute(value, [&](uint16_t part, std::string_view inner) {
                       if (part != CTA_TUPLE_PROTO) return;
                       ForEachAttribute(inner, [&](uint16_t field, std::string_view bytes) {
                         if (field == CTA_PROTO_NUM) ReadFixed(bytes, entry.protocol);
                         if (field == CTA_PROTO_DST_PORT && ReadFixed(bytes, entry.port))
                           entry.port = ntohs(entry.port);
                       });
                     });
                   });
  return entry;
}

// A dump walks the whole table, which takes 10 ms also when nothing is in it.
Result<bool> IsEmpty(os::netlink::Socket& socket) {
  bool known = false;
  uint32_t entries = 0;
  TRY(socket.Exchange(Ask(IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, AF_UNSPEC).Finish(), 1,
                      [&](uint16_t, std::string_view payload) {
                        ForEachAttribute(os::netlink::AfterFixed(payload, sizeof(nfgenmsg)),
                                         [&](uint16_t type, std::string_view value) {
                                           if (type == CTA_STATS_GLOBAL_ENTRIES)
                                             known = ReadFixed(value, entries);
                                         });
                      }));
  return known && ntohl(entries) == 0;
}

}  // namespace

Result<> ForgetUdpTo(os::netlink::Socket& socket, const std::set<uint16_t>& ports) {
  if (ports.empty()) return Ok();
  if (Result<bool> empty = IsEmpty(socket); empty && *empty) return Ok();
  std::vector<Entry> found;
  Result<> listed = socket.Dump(
      Ask(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC).Finish(), [&] { found.clear(); },
      [&](uint16_t, std::string_view payload) {
        Entry entry = ToEntry(payload);
        if (entry.protocol == IPPROTO_UDP && ports.contains(entry.port))
          found.push_back(std::move(entry));
      });
  if (!listed && (listed.error().sys_errno() == EOPNOTSUPP || listed.error().sys_errno() == EINVAL))
    return Ok();
  if (!listed) return std::move(listed.error()).Wrap("conntrack: list");
  for (const Entry& entry : found) {
    Message request = Ask(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, entry.family);
    request.Attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, entry.original);
    if (!entry.id.empty()) request.Attribute(CTA_ID, entry.id);
    if (!entry.zone.empty()) request.Attribute(CTA_ZONE, entry.zone);
    Result<> done = socket.Exchange(std::move(request).Finish(), 1);
    // Timed out meanwhile: as good.
    if (!done && done.error().sys_errno() != ENOENT)
      return std::move(done.error()).Wrap("conntrack: delete");
  }
  return Ok();
}

}  // namespace berth::cni

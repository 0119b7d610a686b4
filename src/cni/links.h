// SPDX-License-Identifier: Apache-2.0
// Interfaces, addresses and routes by rtnetlink(7). A Links belongs to one call and speaks to the network namespace in which
// it was opened; one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/result.h"
#include "os/netlink.h"

namespace berth::cni {

struct Link {
  int index = 0;
  std::string name;
  std::string kind;     // "bridge", "veth"; "" when the kernel names none
  std::string address;  // six bytes
  uint32_t mtu = 0;
  int master = 0;  // index of the bridge it is in
  int peer = 0;    // of a veth: index of the other end, in the other end's namespace
  uint32_t flags = 0;
  uint32_t promiscuity = 0;
  uint32_t queue_length = 0;
  bool oper_up = false;
  bool up() const;
};

struct LinkAddress {
  IpPrefix address;
  uint32_t flags = 0;  // IFA_F_TENTATIVE ...
};

struct KernelRoute {
  IpPrefix dst;
  std::optional<IpAddress> gw;
  int link = 0;
  uint32_t table = 0;
};

struct Veth {
  std::string name;       // here
  std::string peer_name;  // there
  int peer_netns = -1;
  uint32_t mtu = 0;          // 0: the kernel's
  std::string address = {};  // six bytes; "" for a random one
  std::string peer_address = {};
};

class Links {
 public:
  static Result<Links> Open();

  // NotFound when there is none.
  Result<Link> Find(const std::string& name);
  Result<std::vector<Link>> List();
  // AlreadyExists when the name, here or there, is taken.
  Result<> AddVeth(const Veth& veth);
  Result<> AddBridge(const std::string& name, uint32_t mtu, std::string_view address,
                     bool vlan_filtering);
  Result<> AddIfb(const std::string& name, uint32_t mtu);
  Result<> Delete(int link);

  Result<> SetUp(int link, bool up);
  Result<> SetMasterAndUp(int link, int master);
  Result<> SetAddress(int link, std::string_view address);
  Result<> SetMtu(int link, uint32_t mtu);
  Result<> SetQueueLength(int link, uint32_t length);
  // `flag` is one of IFF_PROMISC, IFF_ALLMULTI.
  Result<> SetFlag(int link, uint32_t flag, bool on);
  // Of a bridge's port.
  Result<> SetPort(int link, bool hairpin, bool isolated);
  Result<std::vector<uint16_t>> Vlans(int link);
  Result<> AddVlan(int link, uint16_t id, bool native);  // native: PVID and untagged
  Result<> DeleteVlan(int link, uint16_t id);

  // IPv6 addresses are usable at once unless `dad`. EEXIST is AlreadyExists.
  Result<> AddAddress(int link, const IpPrefix& address, bool dad = false);
  Result<> DeleteAddress(int link, const IpPrefix& address);
  // `v6` chooses the family.
  Result<std::vector<LinkAddress>> Addresses(int link, bool v6);
  Result<> AddRoute(int link, const Route& route);
  Result<> DeleteRoute(int link, const Route& route);
  Result<std::vector<KernelRoute>> Routes(bool v6);
  // Name of the interface by which packets to the address leave; "" when there is no way.
  Result<std::string> InterfaceTo(const IpAddress& address);

 private:
  explicit Links(os::netlink::Socket socket) : socket_(std::move(socket)) {}
  Result<> Change(os::netlink::Message message);
  Result<> ChangeVlan(uint16_t type, int link, uint16_t id, uint16_t flags);
  Result<> ChangeAddress(uint16_t type, uint16_t flags, int link, const IpPrefix& address,
                         uint32_t ifa_flags);
  Result<> ChangeRoute(uint16_t type, uint16_t flags, int link, const Route& route);
  os::netlink::Socket socket_;
};

}  // namespace berth::cni

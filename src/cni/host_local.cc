// SPDX-License-Identifier: Apache-2.0
// The host-local plugin.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/strings.h"
#include "cni/ipam_config.h"
#include "cni/lease_store.h"
#include "cni/plugin.h"

namespace berth::cni {

namespace {

constexpr size_t kMaxResolvConf = 64U << 10;

Attachment Owner(const Request& request) { return {request.container_id, request.ifname}; }

// The operator's own path, read from as it stands: resolv.conf is often a link.
Result<Dns> ReadResolvConf(const std::string& path) {
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return ErrnoError(StrCat("resolvConf ", path));
  struct stat st{};
  if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode))
    return Error(Code::kFailedPrecondition, StrCat("resolvConf ", path, ": not a regular file"));
  return ParseResolvConf(TRY(os::ReadAll(file.get(), kMaxResolvConf), StrCat("resolvConf ", path)));
}

Result<RangeWalk::Candidate> TakeRequested(LeaseStore& store, const Attachment& owner,
                                           const RangeSet& set, size_t index,
                                           const IpAddress& address) {
  const Range* range = FindRange(set, address);
  if (address == range->gateway)
    return Error(Code::kInternal, StrCat("requested ip ", Format(address), " is subnet's gateway"));
  if (!TRY(store.Reserve(owner, address, index)))
    return Error(Code::kInternal, StrCat("requested IP address ", Format(address),
                                         " is not available in range set ", Format(set)));
  return RangeWalk::Candidate{{address, range->subnet.length}, range->gateway};
}

Result<RangeWalk::Candidate> TakeFree(LeaseStore& store, const Attachment& owner,
                                      const RangeSet& set, size_t index) {
  RangeWalk walk(set, store.LastReserved(index));
  while (std::optional<RangeWalk::Candidate> candidate = walk.Next()) {
    if (TRY(store.Reserve(owner, candidate->address.address, index))) return *candidate;
  }
  return Error(Code::kInternal, StrCat("no IP addresses available in range set: ", Format(set)));
}

// One address of each set, unless one of `held` is in it: those that the owner has. What was taken stays taken on an error: the caller releases.
Result<> Allocate(LeaseStore& store, const Attachment& owner, const IpamConfig& config,
                  const std::vector<IpAddress>& held, Outcome& out) {
  std::vector<IpAddress> requested = config.requested;
  for (size_t i = 0; i < config.sets.size(); ++i) {
    const RangeSet& set = config.sets[i];
    const std::string what = StrCat("failed to allocate for range ", i);
    auto wanted = std::ranges::find_if(
        requested, [&](const IpAddress& ip) { return FindRange(set, ip) != nullptr; });
    RangeWalk::Candidate taken;
    if (wanted != requested.end()) {
      const IpAddress address = *wanted;
      requested.erase(wanted);
      taken = TRY(TakeRequested(store, owner, set, i, address), what);
    } else {
      for (const IpAddress& each : held) {
        if (FindRange(set, each) != nullptr)
          return Error(Code::kInternal,
                       StrCat(what, ": ", Format(each), " has been allocated to ",
                              owner.container_id, ", duplicate allocation is not allowed"));
      }
      taken = TRY(TakeFree(store, owner, set, i), what);
    }
    IpConfig& ip = out.ips.emplace_back();
    ip.address = taken.address;
    ip.gateway = taken.gateway;
  }
  if (requested.empty()) return Ok();
  std::string rest;
  for (const IpAddress& each : requested) rest += StrCat(" ", Format(each));
  return Error(Code::kInternal, StrCat("failed to allocate all requested IPs:", rest));
}

Result<Outcome> Add(const Request& request) {
  const IpamConfig config = TRY(ParseIpamConfig(request.config, request.args));
  Outcome out;
  if (!config.resolv_conf.empty()) out.dns = TRY(ReadResolvConf(config.resolv_conf));
  LeaseStore store = TRY(LeaseStore::Open(config.data_dir, config.network));
  const Attachment owner = Owner(request);
  // An attachment that holds addresses already keeps them: they belong to a pod that lives.
  const std::vector<IpAddress> held = TRY(store.Find(owner));
  if (Result<> done = Allocate(store, owner, config, held, out); !done) {
    if (held.empty()) (void)store.Release(owner);
    return std::move(done.error());
  }
  out.routes = config.routes;
  return out;
}

Result<std::optional<LeaseStore>> OpenForRelease(const Request& request) {
  const std::optional<std::string> dir = ReadDataDir(request.config);
  if (!dir) return std::optional<LeaseStore>();
  return LeaseStore::OpenIfThere(*dir, request.network);
}

Result<> Del(const Request& request) {
  std::optional<LeaseStore> store = TRY(OpenForRelease(request));
  return store ? store->Release(Owner(request)) : Ok();
}

Result<> Check(const Request& request) {
  const IpamConfig config = TRY(ParseIpamConfig(request.config, request.args));
  std::optional<LeaseStore> store = TRY(LeaseStore::OpenIfThere(config.data_dir, config.network));
  if (store && !TRY(store->Find(Owner(request))).empty()) return Ok();
  return Error(Code::kInternal, StrCat("host-local: Failed to find address added by container ",
                                       request.container_id));
}

Result<> Status(const Request&) { return Ok(); }

Result<> Gc(const Request& request) {
  std::optional<LeaseStore> store = TRY(OpenForRelease(request));
  if (!store || !request.valid_attachments) return Ok();
  return store->ReleaseAllBut(
      {request.valid_attachments->begin(), request.valid_attachments->end()});
}

}  // namespace

const Plugin kHostLocal{"host-local", Add, Del, Check, Status, Gc};

}  // namespace berth::cni

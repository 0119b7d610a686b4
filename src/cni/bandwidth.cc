// SPDX-License-Identifier: Apache-2.0
// The bandwidth plugin: a token bucket on the host's end of the pod's veth for what comes in to the pod; for what goes out, an
// ifb device of the pod's own with a bucket, to which the host's end sends all that it receives.
#include <algorithm>

#include "base/rollback.h"
#include "base/strings.h"
#include "cni/json_internal.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "cni/traffic_control.h"

namespace berth::cni {

namespace {

struct Limits {
  Bucket in;   // to the pod
  Bucket out;  // from the pod
  bool empty() const { return in.rate == 0 && out.rate == 0; }
};

Result<uint64_t> ReadBits(const JsonReader& json, std::string_view key) {
  return static_cast<uint64_t>(TRY(ReadNumber(json, key, 0, INT64_MAX)));
}

Result<Bucket> ReadBucket(const JsonReader& json, std::string_view rate, std::string_view burst) {
  Bucket out{TRY(ReadBits(json, rate)), TRY(ReadBits(json, burst))};
  if (out.burst == 0 && out.rate != 0)
    return Error(Code::kInvalidArgument, "if rate is set, burst must also be set");
  if (out.rate == 0 && out.burst != 0)
    return Error(Code::kInvalidArgument, "if burst is set, rate must also be set");
  if (out.burst / 8 >= UINT32_MAX)
    return Error(Code::kInvalidArgument, "burst cannot be more than 4GB");
  // A rate below one byte a second is none that the kernel could keep.
  if (out.rate != 0 && out.rate < 8)
    return Error(Code::kInvalidArgument, StrCat("invalid rate: ", out.rate));
  return out;
}

// The plugin's own keys go before runtimeConfig.bandwidth.
Result<Limits> Parse(const Request& request) {
  const Json tree = TRY(oci::ParseJson(request.config, kInputLimits, "network config"));
  const JsonReader root(tree);
  std::optional<JsonReader> from;
  for (std::string_view key : {"ingressRate", "ingressBurst", "egressRate", "egressBurst"})
    if (root.Has(key)) from = root;
  std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig"));
  if (!from && runtime) from = TRY(runtime->Optional("bandwidth"));
  if (!from) return Limits{};
  Limits out;
  out.in = TRY(ReadBucket(*from, "ingressRate", "ingressBurst"));
  out.out = TRY(ReadBucket(*from, "egressRate", "egressBurst"));
  return out;
}

std::string IfbName(const Request& request) {
  return HashedName("bwp", StrCat(request.network, request.container_id));
}

// The other end of the pod's interface, which must be among the result's interfaces.
Result<Link> HostEnd(const Request& request, Links& host) {
  if (request.prev_result->interfaces.empty())
    return Error(Code::kInternal, "no interfaces provided");
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  Result<Link> inside = pod.Find(request.ifname);
  if (!inside || inside->kind != "veth")
    return Error(Code::kInternal,
                 StrCat("container interface ", request.ifname, " has no veth peer"));
  for (const Interface& each : request.prev_result->interfaces) {
    if (!each.sandbox.empty()) continue;
    Result<Link> link = host.Find(each.name);
    if (link && link->index == inside->peer && link->kind == "veth") return link;
  }
  return Error(Code::kInternal, "no veth peer of container interface found in host ns");
}

Result<Outcome> Add(const Request& request) {
  const Limits limits = TRY(Parse(request));
  if (!request.prev_result)
    return Error(Code::kInvalidArgument, "must be called as chained plugin");
  Outcome out = *request.prev_result;
  if (limits.empty()) return out;
  Links host = TRY(Links::Open());
  const Link port = TRY(HostEnd(request, host));
  TrafficControl control = TRY(TrafficControl::Open());
  Rollback undo;
  if (limits.in.rate > 0) {
    undo.Add("qdisc", [&] { return control.RemoveRoot(port.index); });
    TRY(control.AddBucket(port.index, limits.in), "create qdisc");
  }
  if (limits.out.rate > 0) {
    const std::string name = IfbName(request);
    TRY(host.AddIfb(name, port.mtu), StrCat("adding link ", name));
    const Link ifb = TRY(host.Find(name));
    undo.Add("ifb", [&host, index = ifb.index] { return host.Delete(index); });
    undo.Add("ingress", [&] { return control.RemoveIngress(port.index); });
    TRY(control.AddIngress(port.index), "create ingress qdisc");
    TRY(control.Redirect(port.index, ifb.index), "add filter");
    TRY(control.AddBucket(ifb.index, limits.out), "create ifb qdisc");
    out.interfaces.push_back({.name = name, .mac = FormatMac(ifb.address)});
  }
  undo.Commit();
  return out;
}

// The bucket on the veth goes with it. Whatever the configuration says: the ifb has its name of the container.
Result<> Del(const Request& request) {
  Links host = TRY(Links::Open());
  Result<Link> ifb = host.Find(IfbName(request));
  if (!ifb && ifb.error().code() == Code::kNotFound) return Ok();
  if (!ifb) return std::move(ifb.error());
  return host.Delete(ifb->index);
}

Result<> CheckBucket(TrafficControl& control, int link, const Bucket& want) {
  const std::optional<KernelBucket> there = TRY(control.FindBucket(link));
  if (!there) return Error(Code::kInternal, "Failed to find qdisc");
  const KernelBucket expected = ToKernel(want);
  if (there->rate != expected.rate) return Error(Code::kInternal, "Rate doesn't match");
  if (there->limit != expected.limit) return Error(Code::kInternal, "Limit doesn't match");
  if (there->buffer != expected.buffer) return Error(Code::kInternal, "Buffer doesn't match");
  return Ok();
}

Result<> Check(const Request& request) {
  const Limits limits = TRY(Parse(request));
  if (!request.prev_result)
    return Error(Code::kInvalidArgument, "must be called as a chained plugin");
  if (limits.empty()) return Ok();
  Links host = TRY(Links::Open());
  const Link port = TRY(HostEnd(request, host));
  TrafficControl control = TRY(TrafficControl::Open());
  if (limits.in.rate > 0) TRY(CheckBucket(control, port.index, limits.in));
  if (limits.out.rate == 0) return Ok();
  const Link ifb = TRY(host.Find(IfbName(request)), "get ifb device");
  return CheckBucket(control, ifb.index, limits.out);
}

// GC: an ifb's name is a hash of network and container, so those of other networks are not to be told apart; all are left.
Result<> Nothing(const Request&) { return Ok(); }

}  // namespace

const Plugin kBandwidth{"bandwidth", Add, Del, Check, Nothing, Nothing};

}  // namespace berth::cni

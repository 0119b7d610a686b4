// SPDX-License-Identifier: Apache-2.0
// The tuning plugin: net.* sysctls of the pod, and its interface's address, MTU, queue length, promiscuous and all-multicast
// mode; DEL puts back what it changed on the interface, from the file that the reference plugin writes too.
//
//   <dataDir>/<container id>_<ifname>.json   {"mac":...,"promisc":...,"mtu":...,"allmulti":...,"txQLen":...}
#include <fcntl.h>
#include <linux/if.h>

#include <map>
#include <optional>
#include <regex>

#include "base/strings.h"
#include "cni/json_internal.h"
#include "cni/links.h"
#include "cni/netns.h"
#include "cni/plugin.h"
#include "os/dir_fd.h"

namespace berth::cni {

namespace {

constexpr std::string_view kDataDir = "/run/cni/tuning";
constexpr const char* kAllowList = "/etc/cni/tuning/allowlist.conf";
constexpr size_t kMaxFile = 64U << 10;

// What is to be set, or was there before.
struct Attributes {
  std::string mac;
  std::optional<bool> promiscuous, all_multicast;
  uint32_t mtu = 0;
  std::optional<uint32_t> queue_length;
  bool empty() const {
    return mac.empty() && !promiscuous && !all_multicast && mtu == 0 && !queue_length;
  }
};

struct TuningConfig {
  std::string data_dir;
  std::map<std::string, std::string> sysctls;
  Attributes attributes;
};

Result<> ReadAttributes(const JsonReader& json, Attributes& out) {
  if (std::string mac = TRY(json.OptionalString("mac")); !mac.empty()) out.mac = TRY(ParseMac(mac));
  if (json.Has("promisc")) out.promiscuous = TRY(ReadFlag(json, "promisc"));
  if (json.Has("allmulti")) out.all_multicast = TRY(ReadFlag(json, "allmulti"));
  if (int64_t mtu = TRY(ReadNumber(json, "mtu", 0, INT32_MAX)); mtu != 0)
    out.mtu = static_cast<uint32_t>(mtu);
  if (json.Has("txQLen"))
    out.queue_length = static_cast<uint32_t>(TRY(ReadNumber(json, "txQLen", 0, INT32_MAX)));
  return Ok();
}

Result<TuningConfig> Read(const JsonReader& root, const Request& request) {
  TuningConfig out;
  out.data_dir = TRY(root.OptionalString("dataDir"));
  if (out.data_dir.empty()) out.data_dir = kDataDir;
  out.sysctls = TRY(root.OptionalStringMap("sysctl", kMaxEntries));
  TRY(ReadAttributes(root, out.attributes));
  if (std::string mac = TRY(CniArg(request.args, "MAC")); !mac.empty())
    out.attributes.mac = TRY(ParseMac(mac));
  if (std::optional<JsonReader> runtime = TRY(root.Optional("runtimeConfig"))) {
    if (std::string mac = TRY(runtime->OptionalString("mac")); !mac.empty())
      out.attributes.mac = TRY(ParseMac(mac));
  }
  if (std::optional<JsonReader> args = TRY(root.Optional("args"))) {
    if (std::optional<JsonReader> cni = TRY(args->Optional("cni"))) {
      for (auto& [key, value] : TRY(cni->OptionalStringMap("sysctl", kMaxEntries)))
        out.sysctls[key] = value;
      TRY(ReadAttributes(*cni, out.attributes));
    }
  }
  // Not asked for is as good as not named.
  if (out.attributes.promiscuous == false) out.attributes.promiscuous.reset();
  return out;
}

Result<TuningConfig> Parse(const Request& request) {
  // A sysctl named twice has no last one that was meant.
  oci::JsonLimits limits = kInputLimits;
  limits.duplicate_keys = oci::DuplicateKeys::kReject;
  const Json tree = TRY(oci::ParseJson(request.config, limits, "failed to load netconf"));
  return TRY(Read(JsonReader(tree), request), "failed to load netconf");
}

// "net.ipv4.conf.IFNAME.arp_filter" of the pod's interface, as a path below /proc/sys.
Result<std::string> SysctlPath(std::string key, const std::string& ifname) {
  for (char& c : key)
    if (c == '.') c = '/';
  if (size_t at = key.find("IFNAME"); at != std::string::npos) key.replace(at, 6, ifname);
  for (std::string_view piece : Split(key, '/')) {
    if (piece.empty() || piece == "." || piece == "..")
      return Error(Code::kInvalidArgument, StrCat("invalid net sysctl key: ", Quote(key)));
  }
  if (!key.starts_with("net/"))
    return Error(Code::kInvalidArgument, StrCat("invalid net sysctl key: ", Quote(key)));
  return key;
}

// One regular expression a line; no file allows everything.
Result<> CheckAllowed(const TuningConfig& config) {
  const os::Fd file(::open(kAllowList, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid() && errno == ENOENT) return Ok();
  if (!file.valid()) return ErrnoError(kAllowList);
  const std::string text = TRY(os::ReadAll(file.get(), kMaxFile), kAllowList);
  for (const auto& [key, value] : config.sysctls) {
    bool allowed = false;
    for (std::string_view line : Split(text, '\n')) {
      line = TrimSpace(line);
      if (line.empty()) continue;
      try {
        allowed =
            allowed || std::regex_search(key, std::regex(std::string(line), std::regex::extended));
      } catch (const std::regex_error&) {
        return Error(Code::kInvalidArgument,
                     StrCat(kAllowList, ": ", Quote(line), " is no regular expression"));
      }
    }
    if (!allowed)
      return Error(Code::kPermissionDenied,
                   StrCat("Sysctl ", key, " is not allowed by ", kAllowList));
  }
  return Ok();
}

Result<> Apply(Links& pod, int link, const Attributes& attributes) {
  if (!attributes.mac.empty()) TRY(pod.SetAddress(link, attributes.mac), "set MAC address");
  if (attributes.promiscuous)
    TRY(pod.SetFlag(link, IFF_PROMISC, *attributes.promiscuous), "set promiscuous mode");
  if (attributes.mtu != 0) TRY(pod.SetMtu(link, attributes.mtu), "set MTU");
  if (attributes.all_multicast)
    TRY(pod.SetFlag(link, IFF_ALLMULTI, *attributes.all_multicast), "set all-multicast mode");
  if (attributes.queue_length)
    TRY(pod.SetQueueLength(link, *attributes.queue_length), "set transmit queue length");
  return Ok();
}

// Of the attributes that will change.
Attributes Present(const Link& link, const Attributes& change) {
  Attributes out;
  if (!change.mac.empty()) out.mac = link.address;
  if (change.promiscuous) out.promiscuous = link.promiscuity != 0;
  if (change.mtu != 0) out.mtu = link.mtu;
  if (change.all_multicast) out.all_multicast = (link.flags & IFF_ALLMULTI) != 0;
  if (change.queue_length) out.queue_length = link.queue_length;
  return out;
}

std::string BackupName(const Request& request) {
  return StrCat(request.container_id, "_", request.ifname, ".json");
}

Result<> SaveBackup(const TuningConfig& config, const Request& request, const Attributes& before) {
  Json out = Json::object();
  if (!before.mac.empty()) out["mac"] = FormatMac(before.mac);
  if (before.promiscuous) out["promisc"] = *before.promiscuous;
  if (before.mtu != 0) out["mtu"] = before.mtu;
  if (before.all_multicast) out["allmulti"] = *before.all_multicast;
  if (before.queue_length) out["txQLen"] = *before.queue_length;
  const os::DirFd dir = TRY(os::DirFd::MakeTrusted(config.data_dir, 0700), "backup");
  return dir.WriteFile(BackupName(request), TRY(oci::DumpJson(out, "backup")), 0600);
}

Result<Outcome> Add(const Request& request) {
  const TuningConfig config = TRY(Parse(request));
  TRY(CheckAllowed(config));
  if (!request.prev_result) return Error(Code::kInvalidArgument, "Required prevResult missing");
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  TRY(netns.Inside([&]() -> Result<> {
    for (const auto& [key, value] : config.sysctls)
      TRY(SetSysctl(TRY(SysctlPath(key, request.ifname)), value));
    return Ok();
  }));
  Outcome out = *request.prev_result;
  if (config.attributes.empty()) return out;
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  const Link link = TRY(pod.Find(request.ifname));
  const Attributes before = Present(link, config.attributes);
  TRY(SaveBackup(config, request, before));
  if (Result<> done = Apply(pod, link.index, config.attributes); !done) {
    (void)Apply(pod, link.index, before);
    return std::move(done.error());
  }
  for (Interface& each : out.interfaces)
    if (each.name == request.ifname && !config.attributes.mac.empty())
      each.mac = FormatMac(config.attributes.mac);
  return out;
}

Result<> Restore(const std::string& text, const Request& request) {
  const Json tree = TRY(oci::ParseJson(text, kInputLimits, "backup"));
  Attributes before;
  TRY(ReadAttributes(JsonReader(tree), before));
  std::optional<PodNetns> netns = TRY(OpenIfThere(request.netns));
  if (!netns) return Ok();
  Links pod = TRY(netns->Inside([] { return Links::Open(); }));
  Result<Link> link = pod.Find(request.ifname);
  return link ? Apply(pod, link->index, before) : Ok();
}

// What cannot be put back goes with the interface: DEL does not fail for it, as the reference's does not.
// Of the configuration only dataDir is needed: where that cannot be read, no ADD has written anything.
Result<> Del(const Request& request) {
  const Json tree = TRY(oci::ParseJson(request.config, kInputLimits, "failed to load netconf"));
  Result<std::string> data_dir = JsonReader(tree).OptionalString("dataDir");
  if (!data_dir) return Ok();
  Result<os::DirFd> dir =
      os::DirFd::OpenTrusted(data_dir->empty() ? std::string(kDataDir) : *data_dir);
  if (!dir) return Ok();
  Result<std::string> text = dir->ReadFile(BackupName(request), kMaxFile);
  if (!text) return Ok();
  (void)Restore(*text, request);
  return dir->RemoveFile(BackupName(request));
}

Error Differs(std::string_view what, std::string_view want, std::string_view got) {
  return Error(Code::kInternal,
               StrCat("Error: Tuning configured ", what, " is ", want, ", current value is ", got));
}

Result<> Check(const Request& request) {
  const TuningConfig config = TRY(Parse(request));
  if (!request.prev_result) return Error(Code::kInvalidArgument, "Required prevResult missing");
  PodNetns netns = TRY(PodNetns::Open(request.netns));
  TRY(netns.Inside([&]() -> Result<> {
    for (const auto& [key, value] : config.sysctls) {
      const std::string now = TRY(GetSysctl(TRY(SysctlPath(key, request.ifname))));
      if (now != value) return Differs(StrCat("value of ", key), value, now);
    }
    return Ok();
  }));
  Links pod = TRY(netns.Inside([] { return Links::Open(); }));
  Result<Link> link = pod.Find(request.ifname);
  if (!link) return Error(Code::kInternal, StrCat("Cannot find container link ", request.ifname));
  const Attributes& want = config.attributes;
  const Attributes now = Present(*link, want);
  if (want.mac != now.mac)
    return Differs(StrCat("Ethernet of ", request.ifname), FormatMac(want.mac), FormatMac(now.mac));
  if (want.promiscuous.value_or(false) != (link->promiscuity != 0))
    return Differs("promiscuous mode", want.promiscuous ? "on" : "off",
                   link->promiscuity != 0 ? "on" : "off");
  if (want.mtu != now.mtu)
    return Differs(StrCat("MTU of ", request.ifname), StrCat(want.mtu), StrCat(now.mtu));
  if (want.all_multicast != now.all_multicast)
    return Differs("all-multicast mode", "another", "not that");
  if (want.queue_length != now.queue_length)
    return Differs("Transmit Queue Length", StrCat(*want.queue_length), StrCat(*now.queue_length));
  return Ok();
}

// GC: a backup's name does not say its network, so those of other networks' pods are not to be told apart; all are left.
Result<> Nothing(const Request&) { return Ok(); }

}  // namespace

const Plugin kTuning{"tuning", Add, Del, Check, Nothing, Nothing};

}  // namespace berth::cni

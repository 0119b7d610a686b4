// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_args.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/strings.h"

namespace berth::runtime {

namespace {

// The limits that the kubelet itself puts on the bandwidth annotations (1k to 1P bits per second).
constexpr uint64_t kMinBandwidth = 1'000;
constexpr uint64_t kMaxBandwidth = 1'000'000'000'000'000;
// tc wants a bucket; what does not fit in 32 bits of bytes is refused by it, and this is what other
// runtimes give.
constexpr uint64_t kBurst = std::numeric_limits<uint32_t>::max();

__extension__ using Wide = unsigned __int128;
constexpr Wide kMaxValue = std::numeric_limits<int64_t>::max();

struct Scale {
  Wide multiply = 1;
  Wide divide = 1;
};

Wide Power(Wide base, int exponent) {
  Wide out = 1;
  for (; exponent > 0; --exponent) out *= base;
  return out;
}

std::optional<Scale> ScaleOf(std::string_view suffix) {
  constexpr std::string_view kBinary = "KMGTPE";
  constexpr std::string_view kDecimal = "kMGTPE";
  if (suffix.empty()) return Scale{};
  if (suffix == "n") return Scale{1, Power(10, 9)};
  if (suffix == "u") return Scale{1, Power(10, 6)};
  if (suffix == "m") return Scale{1, Power(10, 3)};
  if (suffix.size() == 2 && suffix[1] == 'i') {
    const size_t at = kBinary.find(suffix[0]);
    if (at == std::string_view::npos) return std::nullopt;
    return Scale{Power(1024, static_cast<int>(at) + 1), 1};
  }
  if (suffix.size() == 1) {
    const size_t at = kDecimal.find(suffix[0]);
    if (at != std::string_view::npos) return Scale{Power(1000, static_cast<int>(at) + 1), 1};
  }
  if (suffix[0] != 'e' && suffix[0] != 'E') return std::nullopt;
  std::string_view exponent = suffix.substr(1);
  if (exponent.starts_with('+')) exponent.remove_prefix(1);
  if (exponent.starts_with('+')) return std::nullopt;
  Result<int64_t> value = ParseInt(exponent, -18, 18, "exponent");
  if (!value) return std::nullopt;
  if (*value < 0) return Scale{1, Power(10, static_cast<int>(-*value))};
  return Scale{Power(10, static_cast<int>(*value)), 1};
}

struct Digits {
  Wide value = 0;
  Wide divide = 1;
};

// "12", "1.5", ".5", "5."; at most 18 digits, so that no product below leaves 128 bits.
std::optional<Digits> ParseDigits(std::string_view text) {
  Digits out;
  bool point = false;
  int count = 0;
  for (char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9' || ++count > 18) return std::nullopt;
    out.value = out.value * 10 + static_cast<Wide>(c - '0');
    if (point) out.divide *= 10;
  }
  if (count == 0) return std::nullopt;
  return out;
}

Result<> CheckArg(std::string_view name, std::string_view value) {
  const bool bad = std::ranges::any_of(value, [](char c) {
    return c == ';' || c == '=' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (bad)
    return Error(Code::kInvalidArgument, StrCat("cni argument ", name, " ", Quote(value),
                                                ": may not hold ';', '=' or "
                                                "control characters"));
  return Ok();
}

Result<oci::PortMapping> ToMapping(const PortMapping& from) {
  const std::string what = StrCat("port mapping ", from.host_port, ":", from.container_port);
  oci::PortMapping to;
  if (from.host_port < 0 || from.host_port > 65535 || from.container_port < 1 ||
      from.container_port > 65535)
    return Error(Code::kInvalidArgument, StrCat(what, ": a port is out of range"));
  to.host_port = static_cast<uint16_t>(from.host_port);
  to.container_port = static_cast<uint16_t>(from.container_port);
  to.protocol = from.protocol.empty() ? "tcp" : ToLower(from.protocol);
  if (to.protocol != "tcp" && to.protocol != "udp" && to.protocol != "sctp")
    return Error(Code::kInvalidArgument, StrCat(what, ": unknown protocol ", Quote(from.protocol)));
  to.host_ip = from.host_ip;
  return to;
}

Result<std::optional<uint64_t>> Rate(const PodNetwork& pod, const std::string& annotation) {
  auto found = pod.annotations.find(annotation);
  if (found == pod.annotations.end()) return std::optional<uint64_t>();
  const uint64_t value = TRY(ParseQuantity(found->second, StrCat("annotation ", annotation)));
  if (value < kMinBandwidth || value > kMaxBandwidth)
    return Error(Code::kInvalidArgument, StrCat("annotation ", annotation, ": ",
                                                Quote(found->second), " is not within 1k and 1P"));
  return std::optional<uint64_t>(value);
}

Result<std::optional<oci::Bandwidth>> BuildBandwidth(const PodNetwork& pod) {
  // Of the pod: what comes in to it is the plugin's ingress.
  const std::optional<uint64_t> in = TRY(Rate(pod, "kubernetes.io/ingress-bandwidth"));
  const std::optional<uint64_t> out = TRY(Rate(pod, "kubernetes.io/egress-bandwidth"));
  if (!in && !out) return std::optional<oci::Bandwidth>();
  oci::Bandwidth bandwidth;
  if (in) bandwidth.ingress_rate = *in, bandwidth.ingress_burst = kBurst;
  if (out) bandwidth.egress_rate = *out, bandwidth.egress_burst = kBurst;
  return std::optional<oci::Bandwidth>(bandwidth);
}

}  // namespace

Result<uint64_t> ParseQuantity(std::string_view text, std::string_view what) {
  auto bad = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, StrCat(what, ": ", Quote(text), " ", why));
  };
  std::string_view rest = text;
  if (rest.starts_with('+')) rest.remove_prefix(1);
  const size_t end = std::min(rest.find_first_not_of("0123456789."), rest.size());
  const std::optional<Digits> digits = ParseDigits(rest.substr(0, end));
  const std::optional<Scale> scale = ScaleOf(rest.substr(end));
  if (!digits || !scale) return bad("is not a quantity");
  // Below 10^18 * 10^18 resp. 2^60, which 128 bits hold.
  const Wide product = digits->value * scale->multiply;
  const Wide divide = digits->divide * scale->divide;
  const Wide value = product / divide + (product % divide != 0 ? 1 : 0);
  if (value > kMaxValue) return bad("is too large");
  return static_cast<uint64_t>(value);
}

Result<std::string> BuildCniArgs(const PodNetwork& pod) {
  const std::array<std::pair<std::string_view, std::string_view>, 4> values{{
      {"K8S_POD_NAMESPACE", pod.pod_namespace},
      {"K8S_POD_NAME", pod.pod_name},
      {"K8S_POD_INFRA_CONTAINER_ID", pod.sandbox_id},
      {"K8S_POD_UID", pod.pod_uid},
  }};
  std::string args = "IgnoreUnknown=1";
  for (const auto& [name, value] : values) {
    TRY(CheckArg(name, value));
    args += StrCat(";", name, "=", value);
  }
  return args;
}

Result<oci::RuntimeConfig> BuildRuntimeConfig(const PodNetwork& pod) {
  oci::RuntimeConfig config;
  for (const PortMapping& port : pod.port_mappings) {
    if (port.host_port == 0) continue;
    config.port_mappings.push_back(TRY(ToMapping(port)));
  }
  config.bandwidth = TRY(BuildBandwidth(pod));
  if (!pod.dns_servers.empty() || !pod.dns_searches.empty() || !pod.dns_options.empty()) {
    oci::CniDns dns;
    dns.nameservers = pod.dns_servers;
    dns.search = pod.dns_searches;
    dns.options = pod.dns_options;
    config.dns = std::move(dns);
  }
  config.cgroup_path = pod.cgroup_parent;
  config.pod_annotations = pod.annotations;
  return config;
}

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox_files.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/strings.h"

namespace berth::runtime {

namespace {

constexpr size_t kFileLimit = 1U << 20;
constexpr mode_t kFileMode = 0644;

// Symlinks are followed: /etc/resolv.conf usually is one, and the operator's.
Result<std::string> ReadHostFile(const std::string& path) {
  Result<os::DirFd> dir = os::DirFd::OpenTrusted(path.substr(0, path.rfind('/')));
  if (!dir) return std::move(dir.error());
  char target[4096];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n > 0 && static_cast<size_t>(n) < sizeof target) {
    const std::string_view link(target, static_cast<size_t>(n));
    const std::string real = link.starts_with('/')
                                 ? std::string(link)
                                 : StrCat(path.substr(0, path.rfind('/') + 1), link);
    const size_t slash = real.rfind('/');
    dir = os::DirFd::OpenTrusted(slash == 0 ? "/" : real.substr(0, slash));
    if (!dir) return std::move(dir.error());
    return dir->ReadFile(real.substr(slash + 1), kFileLimit);
  }
  return dir->ReadFile(path.substr(path.rfind('/') + 1), kFileLimit);
}

Result<std::string> HostFile(const std::string& host_etc, const char* name) {
  Result<std::string> text = ReadHostFile(StrCat(host_etc, "/", name));
  if (!text && text.error().code() == Code::kNotFound) return std::string();
  return text;
}

// The kubelet mounts its own hosts file over this one; other clients get the names that every node
// has.
std::string PodHosts(const std::string& hostname) {
  return StrCat(
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-"
      "allrouters\n",
      hostname.empty() ? "" : StrCat("127.0.1.1\t", hostname, "\n"));
}

}  // namespace

Result<> WriteSandboxFiles(const os::DirFd& pod, const SandboxSpec& spec,
                           const std::string& host_etc) {
  const std::string resolv =
      spec.resolv_conf ? *spec.resolv_conf : TRY(HostFile(host_etc, "resolv.conf"), "resolv.conf");
  if (resolv.size() > kFileLimit)
    return Error(Code::kInvalidArgument, "resolv.conf: larger than 1 MiB");
  const bool own = spec.new_uts_namespace;
  const std::string hosts =
      own ? PodHosts(spec.hostname) : TRY(HostFile(host_etc, "hosts"), "hosts");
  const std::string hostname =
      own ? StrCat(spec.hostname, "\n") : TRY(HostFile(host_etc, "hostname"), "hostname");
  TRY(pod.WriteFile(kResolvConf, resolv, kFileMode));
  TRY(pod.WriteFile(kHosts, hosts, kFileMode));
  TRY(pod.WriteFile(kHostname, hostname, kFileMode));
  if (spec.root_id == 0) return Ok();
  for (const char* name : {kResolvConf, kHosts, kHostname}) {
    if (::fchownat(pod.get(), name, spec.root_id, spec.root_id, AT_SYMLINK_NOFOLLOW) < 0)
      return ErrnoError(StrCat(name, ": set owner"));
  }
  return Ok();
}

}  // namespace berth::runtime

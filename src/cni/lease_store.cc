// SPDX-License-Identifier: Apache-2.0
#include "cni/lease_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/strings.h"

namespace berth::cni {

namespace {

constexpr size_t kMaxLeaseBytes = 4096;
constexpr std::string_view kLastPrefix = "last_reserved_ip.";

std::string Content(const Attachment& owner) {
  return StrCat(TrimSpace(owner.container_id), "\r\n", owner.ifname);
}

}  // namespace

Result<LeaseStore> LeaseStore::Lock(os::DirFd dir) {
  os::Fd lock = TRY(dir.Open("lock", O_RDONLY | O_CREAT, 0644));
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoError("lock");
  }
  return LeaseStore(std::move(dir), std::move(lock));
}

Result<LeaseStore> LeaseStore::Open(const std::string& data_dir, const std::string& network) {
  os::DirFd dir = TRY(os::DirFd::MakeTrusted(StrCat(data_dir, "/", network), 0755), "leases");
  return Lock(std::move(dir));
}

Result<std::optional<LeaseStore>> LeaseStore::OpenIfThere(const std::string& data_dir,
                                                          const std::string& network) {
  Result<os::DirFd> dir = os::DirFd::OpenTrusted(StrCat(data_dir, "/", network));
  if (!dir && dir.error().code() == Code::kNotFound) return std::optional<LeaseStore>();
  if (!dir) return std::move(dir.error()).Wrap("leases");
  LeaseStore store = TRY(Lock(std::move(*dir)));
  return std::optional<LeaseStore>(std::move(store));
}

// Made without a name and then linked: a process that dies in between leaves nothing.
Result<bool> LeaseStore::WriteNew(const std::string& name, const std::string& content) const {
  os::Fd file(::openat(dir_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (file.valid()) {
    TRY(os::WriteAll(file.get(), content), name);
    const std::string from = StrCat("/proc/self/fd/", file.get());
    if (::linkat(AT_FDCWD, from.c_str(), dir_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0)
      return true;
    if (errno == EEXIST) return false;
    return ErrnoError(StrCat("lease ", name));
  }
  // A file system without O_TMPFILE.
  Result<os::Fd> plain = dir_.Open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!plain && plain.error().code() == Code::kAlreadyExists) return false;
  if (!plain) return std::move(plain.error());
  if (Result<> written = os::WriteAll(plain->get(), content); !written) {
    (void)dir_.RemoveFile(name);
    return std::move(written.error()).Wrap(name);
  }
  return true;
}

Result<bool> LeaseStore::Reserve(const Attachment& owner, const IpAddress& address,
                                 size_t range_set) {
  const std::string name = Format(address);
  if (!TRY(WriteNew(name, Content(owner)), "reserve")) return false;
  const std::string last = StrCat(kLastPrefix, range_set);
  // Not renamed into place: the reference reads and writes this very file, and it is only a hint.
  auto note = [&]() -> Result<> {
    os::Fd file = TRY(dir_.Open(last, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    return os::WriteAll(file.get(), name);
  };
  if (Result<> noted = note(); !noted) {
    (void)dir_.RemoveFile(name);
    return std::move(noted.error()).Wrap(last);
  }
  return true;
}

std::optional<IpAddress> LeaseStore::LastReserved(size_t range_set) const {
  Result<std::string> text = dir_.ReadFile(StrCat(kLastPrefix, range_set), kMaxLeaseBytes);
  if (!text) return std::nullopt;
  // Damaged: only the order of addresses begins anew.
  Result<IpAddress> address = ParseIp(*text);
  return address ? std::optional<IpAddress>(*address) : std::nullopt;
}

Result<std::vector<LeaseStore::Lease>> LeaseStore::Read() const {
  std::vector<Lease> leases;
  for (std::string& name : TRY(dir_.List(), "leases")) {
    if (name == "lock" || name.starts_with(kLastPrefix)) continue;
    // Opened as it is: a lease is a small file below a directory of root's own.
    os::Fd file(::openat(dir_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.valid()) continue;
    Result<std::string> content = os::ReadAll(file.get(), kMaxLeaseBytes);
    Lease lease;  // of nobody if it is too large
    if (Result<IpAddress> address = ParseIp(name)) lease.address = *address;
    lease.name = std::move(name);
    if (content) lease.content = TrimSpace(*content);
    leases.push_back(std::move(lease));
  }
  return leases;
}

Result<std::vector<IpAddress>> LeaseStore::Find(const Attachment& owner) const {
  const std::string content = Content(owner);
  std::vector<IpAddress> found;
  for (const Lease& lease : TRY(Read())) {
    if (lease.address && (lease.content == content || lease.content == owner.container_id))
      found.push_back(*lease.address);
  }
  return found;
}

Result<> LeaseStore::Release(const Attachment& owner) {
  const std::string content = Content(owner);
  const std::vector<Lease> leases = TRY(Read());
  auto release = [&](std::string_view match) -> Result<bool> {
    bool found = false;
    for (const Lease& lease : leases) {
      if (lease.content != match) continue;
      TRY(dir_.RemoveFile(lease.name), "release");
      found = true;
    }
    return found;
  };
  // Files of an old plugin only when there are none of the new form.
  if (!TRY(release(content))) TRY(release(TrimSpace(owner.container_id)));
  return Ok();
}

Result<> LeaseStore::ReleaseAllBut(const std::set<Attachment>& valid) {
  std::set<std::string> keep;
  for (const Attachment& each : valid) {
    keep.insert(Content(each));
    keep.insert(each.container_id);
  }
  Result<> done = Ok();
  for (const Lease& lease : TRY(Read())) {
    if (!lease.address || keep.contains(lease.content)) continue;
    Result<> removed = dir_.RemoveFile(lease.name);
    if (!removed && done) done = std::move(removed.error()).Wrap("release");
  }
  return done;
}

}  // namespace berth::cni

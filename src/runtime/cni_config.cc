// SPDX-License-Identifier: Apache-2.0
#include "runtime/cni_config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <tuple>

#include "base/strings.h"
#include "os/dir_fd.h"

namespace berth::runtime {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kMaxFiles = 4096;

int64_t Nanos(const timespec& t) { return t.tv_sec * kSecond + t.tv_nsec; }

bool IsConfigName(std::string_view name) {
  if (name.starts_with('.')) return false;
  return name.ends_with(".conflist") || name.ends_with(".conf") || name.ends_with(".json");
}

}  // namespace

CniConfigSource::Stamp CniConfigSource::StampOf(const std::string& path) {
  struct stat st{};
  if (path.empty() || ::stat(path.c_str(), &st) != 0) return {};
  return {st.st_ino, st.st_size, Nanos(st.st_mtim), Nanos(st.st_ctim)};
}

std::vector<CniConfigSource::Stamp> CniConfigSource::Stamps(const std::string& file) const {
  std::vector<Stamp> stamps;
  stamps.reserve(dirs_.size() + 1);
  for (const std::string& dir : dirs_) stamps.push_back(StampOf(dir));
  stamps.push_back(StampOf(file));
  return stamps;
}

Result<std::shared_ptr<const CniConfig>> CniConfigSource::Read(std::string& file) const {
  for (const std::string& path : dirs_) {
    Result<os::DirFd> dir = os::DirFd::OpenTrusted(path);
    if (!dir && dir.error().code() == Code::kNotFound) continue;
    if (!dir) return std::move(dir.error()).Wrap("cni configuration directory");
    std::vector<std::string> names = TRY(dir->List(kMaxFiles), path);
    std::erase_if(names, [](const std::string& name) { return !IsConfigName(name); });
    if (names.empty()) continue;
    const std::string& name = *std::min_element(names.begin(), names.end());
    file = StrCat(path, "/", name);
    const std::string context = StrCat("cni configuration ", file);
    // The operator may link to a file elsewhere: it is his directory, and it is read from as it
    // stands.
    os::Fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!opened.valid()) return ErrnoError(context).WithCode(Code::kFailedPrecondition);
    struct stat st{};
    if (::fstat(opened.get(), &st) != 0) return ErrnoError(context);
    if (!S_ISREG(st.st_mode))
      return Error(Code::kFailedPrecondition, StrCat(context, ": not a regular file"));
    const std::string text = TRY(os::ReadAll(opened.get(), oci::kMaxCniConfigBytes), context);
    auto config = std::make_shared<CniConfig>();
    config->file = file;
    Result<oci::NetworkConfigList> list = oci::ParseNetworkConfig(text);
    // The node is not set up right; the caller's arguments are.
    if (!list) return std::move(list.error()).Wrap(context).WithCode(Code::kFailedPrecondition);
    config->list = std::move(*list);
    return std::shared_ptr<const CniConfig>(std::move(config));
  }
  return std::shared_ptr<const CniConfig>();
}

Result<std::shared_ptr<const CniConfig>> CniConfigSource::Load() {
  auto [valid, stamps, file] = [&] {
    auto loaded = loaded_.Lock();
    return std::tuple(loaded->valid, loaded->stamps, loaded->file);
  }();
  if (valid && stamps == Stamps(file)) {
    auto loaded = loaded_.Lock();
    if (loaded->error) return loaded->error->Clone();
    return loaded->config;
  }
  Loaded fresh;
  // Stamped by directory before the read: a change during it shows as a difference next time.
  std::vector<Stamp> before = Stamps("");
  Result<std::shared_ptr<const CniConfig>> read = Read(fresh.file);
  fresh.stamps = std::move(before);
  fresh.stamps.back() = StampOf(fresh.file);
  if (read) {
    fresh.config = *read;
  } else {
    fresh.error = read.error().Clone();
  }
  // A file time is only as fine as the kernel's tick: what changed within the last two seconds is
  // read again next time, lest a second change in the same tick be missed.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  fresh.valid = std::ranges::all_of(fresh.stamps, [&](const Stamp& stamp) {
    return std::max(stamp.modified, stamp.changed) < Nanos(now) - 2 * kSecond;
  });
  *loaded_.Lock() = std::move(fresh);
  return read;
}

}  // namespace berth::runtime

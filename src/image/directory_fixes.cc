// SPDX-License-Identifier: Apache-2.0
#include "image/directory_fixes.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/strings.h"

namespace berth::image {

namespace {

enum class Seen {
  kNothing,    // look further down
  kCovered,    // what is below is hidden
  kDirectory,  // and what is below shows through
  kLast,       // a directory that hides what is below
};
struct Look {
  Seen seen = Seen::kNothing;
  struct stat st{};
};

bool IsOpaque(const os::DirFd& dir) {
  char value = 0;
  return ::fgetxattr(dir.get(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

// What one layer has at `path`, walking down from its root.
Result<Look> LookInto(const LayerView& layer, const std::string& path) {
  Look look;
  bool hides = layer.record.opaque_root;
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end == 0 ? 0 : end + 1);
    const std::string prefix = path.substr(0, end);
    Result<struct stat> st = layer.fs.Stat(prefix);
    if (!st && st.error().code() == Code::kNotFound) {
      look.seen = hides ? Seen::kCovered : Seen::kNothing;
      return look;
    }
    if (!st) return std::move(st.error());
    if (!S_ISDIR(st->st_mode)) {
      look.seen = Seen::kCovered;
      return look;
    }
    hides = hides || IsOpaque(TRY(layer.fs.OpenDir(prefix)));
    look.st = *st;
  }
  look.seen = hides ? Seen::kLast : Seen::kDirectory;
  return look;
}

bool Implied(const LayerView& layer, const std::string& path) {
  const std::vector<std::string>& dirs = layer.record.implied_dirs;
  return std::find(dirs.begin(), dirs.end(), path) != dirs.end();
}

struct Decision {
  bool needed = false;  // the topmost directory is not the one that describes it
  std::optional<struct stat> st;
};

Result<Decision> Decide(const std::vector<LayerView>& layers, const std::string& path) {
  Decision decision;
  bool above = false;  // a layer that only implies it
  for (const LayerView& layer : layers) {
    const Look look = TRY(LookInto(layer, path));
    if (look.seen == Seen::kCovered) break;
    if (look.seen == Seen::kNothing) continue;
    if (!Implied(layer, path)) {
      decision.needed = above;
      decision.st = look.st;
      break;
    }
    above = true;
    if (look.seen == Seen::kLast) break;
  }
  return decision;
}

struct stat DefaultDirectory() {
  struct stat st{};
  st.st_mode = S_IFDIR | 0755;
  return st;
}

}  // namespace

Result<std::vector<DirectoryFix>> PlanDirectoryFixes(const std::vector<LayerView>& layers) {
  std::set<std::string> candidates;
  // Below the lowest layer there is nothing that could describe it better.
  for (size_t i = 0; i + 1 < layers.size(); ++i)
    candidates.insert(layers[i].record.implied_dirs.begin(), layers[i].record.implied_dirs.end());
  std::map<std::string, struct stat> fixes;  // in order: parents sort before their children
  for (const std::string& path : candidates) {
    const Decision decision = TRY(Decide(layers, path), Quote(path, 128));
    if (!decision.needed) continue;
    fixes[path] = *decision.st;
    // The upper directory needs the way there too.
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (fixes.contains(parent)) continue;
      fixes[parent] =
          TRY(Decide(layers, parent), Quote(parent, 128)).st.value_or(DefaultDirectory());
    }
  }
  std::vector<DirectoryFix> plan;
  plan.reserve(fixes.size());
  for (auto& [path, st] : fixes) plan.push_back({path, st});
  return plan;
}

Result<struct stat> RootDirectory(const std::vector<LayerView>& layers) {
  for (const LayerView& layer : layers) {
    if (layer.record.described_root) {
      struct stat st{};
      if (::fstat(layer.fs.get(), &st) != 0) return ErrnoError("stat layer");
      return st;
    }
  }
  return DefaultDirectory();
}

void ShiftOwners(const IdShift& shift, struct stat& root, std::vector<DirectoryFix>& fixes) {
  auto shifted = [&](uint32_t id) { return id < shift.count ? id + shift.host_id : 0; };
  auto change = [&](struct stat& st) {
    st.st_uid = shifted(st.st_uid);
    st.st_gid = shifted(st.st_gid);
  };
  change(root);
  for (DirectoryFix& fix : fixes) change(fix.st);
}

Result<> SetDirectory(const os::DirFd& dir, const struct stat& st) {
  if (::fchown(dir.get(), st.st_uid, st.st_gid) != 0) return ErrnoError("set owner");
  if (::fchmod(dir.get(), st.st_mode & 07777) != 0) return ErrnoError("set mode");
  return Ok();
}

Result<> ApplyDirectoryFixes(const os::DirFd& upper, const std::vector<DirectoryFix>& fixes) {
  for (const DirectoryFix& fix : fixes)
    TRY(SetDirectory(TRY(upper.MakeDir(fix.path, 0700)), fix.st), Quote(fix.path, 128));
  return Ok();
}

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// Which CDI devices are meant, and what they change.
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "oci/build_spec_parts.h"
#include "oci/cdi.h"

namespace berth::oci {

namespace {

struct Loaded {
  const CdiFile* file;
  CdiSpec spec;
};

struct Index {
  std::vector<Loaded> specs;
  std::vector<std::string> broken;  // "file: why"
};

Index Load(const std::vector<CdiFile>& files) {
  Index out;
  for (const CdiFile& file : files) {
    if (!file.problem.empty()) {
      out.broken.push_back(StrCat(file.path, ": ", file.problem));
      continue;
    }
    Result<CdiSpec> spec = ParseCdiSpec(file.text, !file.path.ends_with(".json"));
    if (spec) {
      out.specs.push_back({&file, std::move(*spec)});
    } else {
      out.broken.push_back(StrCat(file.path, ": ", spec.error().message()));
    }
  }
  return out;
}

Result<const Loaded*> Find(const Index& index, const std::string& name) {
  CdiName wanted = TRY(ParseCdiName(name));
  const Loaded* best = nullptr;
  const Loaded* rival = nullptr;
  for (const Loaded& loaded : index.specs) {
    if (loaded.spec.kind != wanted.kind || !loaded.spec.devices.contains(wanted.device)) continue;
    if (best == nullptr || loaded.file->priority > best->file->priority) {
      best = &loaded;
      rival = nullptr;
    } else if (loaded.file->priority == best->file->priority) {
      rival = &loaded;
    }
  }
  const std::string who = StrCat("CDI device ", Quote(name));
  if (rival != nullptr) {
    return Error(Code::kInvalidArgument,
                 StrCat(who, ": is in both ", best->file->path, " and ", rival->file->path));
  }
  if (best != nullptr) return best;
  std::string why = StrCat(who, ": no such device");
  if (!index.broken.empty()) why += StrCat("; unreadable: ", Join(index.broken, "; "));
  return Error(Code::kInvalidArgument, why.substr(0, 2000));
}

void SetEnv(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  std::string entry = StrCat(name, "=", value);
  for (std::string& existing : env) {
    if (!existing.starts_with(name) || existing.size() <= name.size() ||
        existing[name.size()] != '=') {
      continue;
    }
    existing = std::move(entry);
    return;
  }
  env.push_back(std::move(entry));
}

Result<> AddNode(const CdiDeviceNode& edit, Spec* spec) {
  SpecDevice node = edit.node;
  node.path = TRY(CleanContainerPath(node.path), "CDI device node");
  if (node.path == "/" || node.path == "/dev") {
    return Error(Code::kInvalidArgument,
                 StrCat("CDI device node ", node.path, ": not a place for a device"));
  }
  // Whoever asks for a device as an ordinary user is meant to use it.
  if (!node.uid && spec->process.user.uid != 0) node.uid = spec->process.user.uid;
  if (!node.gid && spec->process.user.gid != 0) node.gid = spec->process.user.gid;
  if (node.type != 'p') {
    DeviceRule rule;
    rule.allow = true;
    rule.type = node.type == 'b' ? 'b' : 'c';
    rule.major = node.major;
    rule.minor = node.minor;
    rule.access = edit.access.empty() ? "rwm" : edit.access;
    spec->linux.resources.devices.push_back(std::move(rule));
  }
  std::erase_if(spec->linux.devices, [&](const SpecDevice& d) { return d.path == node.path; });
  spec->linux.devices.push_back(std::move(node));
  return Ok();
}

Result<> AddMount(SpecMount mount, Spec* spec) {
  mount.destination = TRY(CleanContainerPath(mount.destination), "CDI mount");
  if (mount.destination == "/") {
    return Error(Code::kInvalidArgument, "CDI mount: over the root file system");
  }
  std::erase_if(spec->mounts,
                [&](const SpecMount& m) { return m.destination == mount.destination; });
  spec->mounts.push_back(std::move(mount));
  return Ok();
}

}  // namespace

Result<std::vector<CdiEdits>> SelectCdiDevices(const std::vector<CdiFile>& files,
                                               const std::vector<std::string>& names) {
  Index index = Load(files);
  std::vector<CdiEdits> out;
  std::set<const Loaded*> used;
  std::set<std::string> done;
  for (const std::string& name : names) {
    if (!done.insert(name).second) continue;
    const Loaded* loaded = TRY(Find(index, name));
    if (used.insert(loaded).second) out.push_back(loaded->spec.edits);
    out.push_back(loaded->spec.devices.at(name.substr(name.find('=') + 1)));
  }
  return out;
}

Result<> ApplyCdiEdits(const CdiEdits& edits, Spec* spec) {
  for (const auto& [name, value] : edits.env) SetEnv(spec->process.env, name, value);
  for (const CdiDeviceNode& node : edits.device_nodes) TRY(AddNode(node, spec));
  for (const SpecMount& mount : edits.mounts) TRY(AddMount(mount, spec));
  for (const auto& [name, hooks] : edits.hooks) {
    std::vector<SpecHook>& all = spec->hooks[name];
    all.insert(all.end(), hooks.begin(), hooks.end());
  }
  if (edits.intel_rdt) spec->linux.intel_rdt = edits.intel_rdt;
  for (uint32_t gid : edits.additional_gids) {
    std::vector<uint32_t>& gids = spec->process.user.additional_gids;
    if (gid != 0 && std::find(gids.begin(), gids.end(), gid) == gids.end()) gids.push_back(gid);
  }
  return Ok();
}

}  // namespace berth::oci

// SPDX-License-Identifier: Apache-2.0
#include "image/layer_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "os/userns.h"

namespace berth::image {

namespace {

constexpr mode_t kPrivate = 0700;

std::string LayerPath(const std::string& diff_id) { return StrCat("layers/", diff_id); }

// A start must need no block and no inode: there may be none (EDQUOT, ENOSPC).
Result<> Empty(const os::DirFd& dir) {
  for (const std::string& name : TRY(dir.List())) TRY(dir.RemoveTree(name));
  return Ok();
}

// Something else of that name (an init layer from another version) is replaced.
Result<> MakeLink(const os::DirFd& dir, const char* target, const char* name) {
  std::array<char, 64> there{};
  const ssize_t length = ::readlinkat(dir.get(), name, there.data(), there.size());
  if (length > 0 && std::string_view(there.data(), static_cast<size_t>(length)) == target)
    return Ok();
  TRY(dir.RemoveFile(name));
  if (::symlinkat(target, dir.get(), name) != 0) return ErrnoError(StrCat("make link ", name));
  return Ok();
}

Result<> SetMode(const os::DirFd& dir, mode_t mode) {
  // Not left to the umask.
  if (::fchmod(dir.get(), mode) != 0) return ErrnoError("set mode");
  return Ok();
}

}  // namespace

Result<LayerStore> LayerStore::Open(os::DirFd root) {
  os::DirFd images = TRY(root.MakeOrOpenDir("images", kPrivate));
  os::DirFd containers = TRY(root.MakeOrOpenDir("containers", kPrivate));
  TRY(images.MakeOrOpenDir("layers", kPrivate));
  TRY(Empty(TRY(images.MakeOrOpenDir("tmp", kPrivate))), "clear what an earlier run left");
  LayerStore store(std::move(root), std::move(images), std::move(containers));
  TRY(store.MakeInitLayer(), "init layer");
  return store;
}

LayerStore::Staged::~Staged() {
  if (name_.empty()) return;
  Result<> removed = tmp_.RemoveTree(name_);
  // The next start tries again.
  if (!removed) LogWarn(StrCat("remove unfinished layer: ", removed.error().message()));
}

Result<std::shared_ptr<LayerStore::Staged>> LayerStore::Stage() const {
  os::DirFd tmp = TRY(images_.OpenDir("tmp"));
  std::string name = TRY(NewId());
  os::DirFd dir = TRY(FAIL_STEP("layer.stage", tmp.MakeDir(name, kPrivate)), "stage layer");
  os::DirFd fs = TRY(dir.MakeDir("fs", 0755), "stage layer");
  TRY(SetMode(fs, 0755), "stage layer");
  return std::shared_ptr<Staged>(new Staged(std::move(tmp), std::move(name), std::move(fs)));
}

Result<> LayerStore::Publish(const std::vector<std::shared_ptr<Staged>>& layers) const {
  if (layers.empty()) return Ok();
  TRY(Sync());
  for (const std::shared_ptr<Staged>& layer : layers) {
    if (layer->name_.empty()) continue;
    const std::string target = LayerPath(layer->result.diff_id);
    // Without a record it is not used: a crash came between the rename and the record.
    TRY(RemoveAside(target), "remove stale layer");
    TRY(FAIL_STEP("layer.publish", images_.Rename(StrCat("tmp/", layer->name_), target, false)),
        "publish layer");
    layer->name_.clear();
  }
  return TRY(images_.OpenDir("layers")).Sync();
}

Result<> LayerStore::Sync() const {
  TRY(FAIL_POINT("layer.sync.before"));
  if (::syncfs(images_.get()) != 0) return ErrnoError("sync layers");
  TRY(FAIL_POINT("layer.sync.after"));
  return Ok();
}

Result<> LayerStore::Exchange(Staged& staged) const {
  if (staged.name_.empty()) return Ok();
  const std::string& diff_id = staged.result.diff_id;
  const os::DirFd layers = TRY(images_.OpenDir("layers"));
  if (::renameat2(staged.tmp_.get(), staged.name_.c_str(), layers.get(), diff_id.c_str(),
                  RENAME_EXCHANGE) != 0) {
    if (errno != ENOENT) return ErrnoError("exchange layer");
    TRY(images_.Rename(StrCat("tmp/", staged.name_), LayerPath(diff_id), false), "publish layer");
    staged.name_.clear();
  }
  return layers.Sync();
}

Result<LayerStore::Images> LayerStore::OpenImages(const std::optional<IdShift>& shift) const {
  Images images;
  if (!shift) {
    images.dir = TRY(images_.Duplicate());
    return images;
  }
  images.mount = TRY(os::Mount::CloneTree(images_.get(), false), "image store");
  TRY(os::ShiftIds(images.mount, shift->user_ns), "image store");
  images.dir = TRY(images.mount.OpenRoot(), "image store");
  return images;
}

Result<os::DirFd> LayerStore::OpenLayer(const Images& images, const std::string& diff_id) {
  return images.dir.OpenDir(StrCat(LayerPath(diff_id), "/fs"));
}

Result<os::DirFd> LayerStore::OpenLayer(const std::string& diff_id) const {
  return images_.OpenDir(StrCat(LayerPath(diff_id), "/fs"));
}

Result<> LayerStore::RemoveAside(const std::string& from) const {
  const std::string aside = StrCat("tmp/", TRY(NewId()));
  Result<> moved = images_.Rename(from, aside, false);
  if (!moved && moved.error().code() == Code::kNotFound) return Ok();
  if (!moved) return moved;
  return FAIL_STEP("layer.remove", images_.RemoveTree(aside));
}

Result<> LayerStore::Remove(const std::string& diff_id) const {
  TRY(RemoveAside(LayerPath(diff_id)), StrCat("remove layer ", diff_id));
  return Ok();
}

Result<std::vector<std::string>> LayerStore::Present() const {
  return TRY(images_.OpenDir("layers")).List();
}

Result<> LayerStore::RemoveContainer(const std::string& container_id) const {
  const std::string aside = StrCat("images/tmp/", TRY(NewId()));
  Result<> moved = root_.Rename(StrCat("containers/", container_id), aside, false);
  if (!moved && moved.error().code() == Code::kNotFound) {
    if (!TRY(containers_.Exists(container_id))) return Ok();
    return std::move(moved.error()).WithCode(Code::kInternal);  // not where it should go
  }
  if (!moved) return moved;
  return FAIL_STEP("rootfs.remove", root_.RemoveTree(aside));
}

Result<> LayerStore::MakeInitLayer() const {
  const os::DirFd layer = TRY(images_.MakeOrOpenDir("init-layer", 0755));
  TRY(SetMode(layer, 0755));
  for (const char* name : {"dev", "proc", "sys", "etc"})
    TRY(SetMode(TRY(layer.MakeOrOpenDir(name, 0755)), 0755));
  const os::DirFd etc = TRY(layer.OpenDir("etc"));
  for (const char* name : {"hosts", "hostname", "resolv.conf"})
    TRY(etc.Open(name, O_WRONLY | O_CREAT, 0644));
  return MakeLink(etc, "/proc/mounts", "mtab");
}

Result<os::DirFd> LayerStore::InitLayer(const Images& images) {
  return images.dir.OpenDir("init-layer");
}

}  // namespace berth::image

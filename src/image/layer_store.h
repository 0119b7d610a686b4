// SPDX-License-Identifier: Apache-2.0
// The layers' directories: unpacked under a temporary name, made visible all at once, taken away.
// Owned by ImageStore; any thread; what is done to one layer at a time is the callers' affair.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/images.h"
#include "image/unpack_protocol.h"
#include "os/dir_fd.h"

namespace berth::image {

//   <root>/images/layers/<diff_id hex>/fs/   one layer in overlay form; there only when complete and on disk
//   <root>/images/tmp/<random>/fs/           being unpacked or being removed; emptied at start
//   <root>/images/init-layer/                topmost lower directory of every container, see InitLayer
//   <root>/containers/<container id>/{diff,work}
//   <root>/containers/<container id>/volume-<n>  topmost directory of an image volume
// All are 0700 for root: nobody else may reach a setuid file in a layer (CVE-2021-41091).
class LayerStore {
 public:
  // `root` is the store's directory. Removes what an earlier run left in tmp.
  static Result<LayerStore> Open(os::DirFd root);

  // A layer while it is not visible. Removes itself unless Publish took it.
  class Staged {
   public:
    ~Staged();
    Staged(const Staged&) = delete;
    Staged& operator=(const Staged&) = delete;
    const os::DirFd& fs() const { return fs_; }
    LayerResult result;  // set by whoever unpacked it

   private:
    friend class LayerStore;
    Staged(os::DirFd tmp, std::string name, os::DirFd fs)
        : tmp_(std::move(tmp)), name_(std::move(name)), fs_(std::move(fs)) {}
    os::DirFd tmp_;
    std::string name_;  // "" once published
    os::DirFd fs_;
  };
  Result<std::shared_ptr<Staged>> Stage() const;

  // Waits until the file system has written everything (syncfs(2), once for all of them: a thousand
  // times cheaper than a sync per file), then renames each to its diff_id. Those published before
  // are skipped.
  Result<> Publish(const std::vector<std::shared_ptr<Staged>>& layers) const;

  // Waits until the file system has written everything.
  Result<> Sync() const;
  // After Sync: puts the layer where the one of its diff_id is, if there is one, in one step. What was
  // there is removed with `staged`; until then a second call takes it back.
  Result<> Exchange(Staged& staged) const;

  // The layers with the ids that they have on disk, or shifted into a user namespace: through a
  // mount that must live until an overlay of them is made.
  struct Images {
    os::Mount mount;
    os::DirFd dir;
  };
  Result<Images> OpenImages(const std::optional<IdShift>& shift) const;
  static Result<os::DirFd> OpenLayer(const Images& images, const std::string& diff_id);
  Result<os::DirFd> OpenLayer(const std::string& diff_id) const;
  // Not there: success. Gone from its place at once, even if deleting the files takes long or
  // fails.
  Result<> Remove(const std::string& diff_id) const;
  Result<std::vector<std::string>> Present() const;

  // Real directories /dev /proc /sys /etc and files that the OCI runtime mounts on: an image cannot
  // lead it elsewhere with a symlink of that name.
  static Result<os::DirFd> InitLayer(const Images& images);
  // <root>/images, <root>/containers
  const os::DirFd& images() const { return images_; }
  const os::DirFd& containers() const { return containers_; }
  // Renames the container's directory away and deletes it; not there: success.
  Result<> RemoveContainer(const std::string& container_id) const;

 private:
  LayerStore(os::DirFd root, os::DirFd images, os::DirFd containers)
      : root_(std::move(root)), images_(std::move(images)), containers_(std::move(containers)) {}
  Result<> RemoveAside(const std::string& from) const;
  Result<> MakeInitLayer() const;

  os::DirFd root_;
  os::DirFd images_;
  os::DirFd containers_;
};

}  // namespace berth::image

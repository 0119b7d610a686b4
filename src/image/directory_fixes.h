// SPDX-License-Identifier: Apache-2.0
// Owner and mode of directories that an upper layer has without describing them. Layers are
// unpacked without looking at each other, so such a directory is made with default values there,
// and overlayfs would show those. Pure but for reading; any thread.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "image/image_records.h"
#include "image/images.h"
#include "os/dir_fd.h"

namespace berth::image {

// A directory as the merged tree must show it.
struct DirectoryFix {
  std::string path;
  struct stat st{};  // mode, owner and mtime count
};

// One layer of an image, topmost first.
struct LayerView {
  os::DirFd fs;
  LayerResult record;
};

// The directories to make in the upper directory, parents first. The topmost layer that describes a
// directory decides; below a whiteout, another kind of file or an opaque directory nothing counts.
// Nothing for layers that list their directories, as nearly all do.
Result<std::vector<DirectoryFix>> PlanDirectoryFixes(const std::vector<LayerView>& layers);
// The image's root directory: the topmost that is described, else 0755 of root.
Result<struct stat> RootDirectory(const std::vector<LayerView>& layers);
// Their owners as the host must see them; one that has no id in the pod becomes the host's root,
// which has none there either.
void ShiftOwners(const IdShift& shift, struct stat& root, std::vector<DirectoryFix>& fixes);
// Makes them below `upper`, which is empty.
Result<> ApplyDirectoryFixes(const os::DirFd& upper, const std::vector<DirectoryFix>& fixes);
Result<> SetDirectory(const os::DirFd& dir, const struct stat& st);

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// ImageStore's volumes: an image's files, read-only, for a container of another image.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <utility>

#include "base/strings.h"
#include "image/image_store.h"

namespace berth::image {

namespace {

constexpr os::MountAttributes kAttributes =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

Result<> CheckSubPath(const std::string& path) {
  auto invalid = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, StrCat("sub path ", Quote(path), ": ", why));
  };
  if (path.starts_with('/')) return invalid("not relative");
  if (path.size() >= PATH_MAX) return invalid("too long");
  if (path.find('\0') != std::string::npos) return invalid("contains a zero byte");
  for (std::string_view part : Split(path, '/'))
    if (part == "..") return invalid("contains \"..\"");
  return Ok();
}

// Where `found` is below the root of `mount`: the kernel's own words, so no link is left in them.
// Nothing can change there afterwards.
Result<std::string> PathBelow(const os::DirFd& root, const os::Fd& found) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = StrCat("/proc/self/fd/", found.get());
  const ssize_t n = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (n < 0) return ErrnoError("read link");
  std::string path(buffer.data(), static_cast<size_t>(n));
  path.erase(0, path.find_first_not_of('/'));
  if (path.empty()) return path;
  struct stat seen{}, wanted{};
  const os::Fd again = TRY(root.Open(path, O_PATH | O_NOFOLLOW));
  if (::fstat(again.get(), &seen) != 0 || ::fstat(found.get(), &wanted) != 0)
    return ErrnoError("stat");
  if (seen.st_dev != wanted.st_dev || seen.st_ino != wanted.st_ino)
    return Error(Code::kInternal, StrCat(Quote(path), " is another file"));
  return path;
}

Result<> FindSubPath(const std::string& sub_path, ImageVolume& volume) {
  const std::string what = StrCat("sub path ", Quote(sub_path));
  const os::DirFd root = TRY(volume.mount.OpenRoot(), what);
  const os::Fd found = TRY(root.Open(sub_path, O_PATH, 0, os::Resolve::kInRoot), what);
  struct stat st{};
  if (::fstat(found.get(), &st) != 0) return ErrnoError(what);
  volume.directory = S_ISDIR(st.st_mode);
  if (!volume.directory && !S_ISREG(st.st_mode))
    return Error(Code::kFailedPrecondition, StrCat(what, ": neither a directory nor a file"));
  volume.path = TRY(PathBelow(root, found), what);
  return Ok();
}

}  // namespace

Result<ImageVolume> ImageStore::PrepareVolume(const VolumeRequest& request) {
  const std::string what = StrCat("volume of image ", Quote(request.image_id, 128));
  if (!IsValidId(request.container_id))
    return Error(Code::kInvalidArgument, StrCat(what, ": container id is not valid"));
  TRY(CheckSubPath(request.sub_path), what);
  const ImageRecord image = TRY(ImageFor(request.image_id), what);
  if (image.layers.empty())
    return Error(Code::kFailedPrecondition, StrCat(what, ": the image has no files"));
  {
    auto state = state_.Lock();
    // Once more under this lock: from the row on, no removal of the image takes the layers.
    if (!TRY(state->records.Get(image.id)))
      return Error(Code::kNotFound, StrCat(what, ": no image ", image.id));
    if (!TRY(state->records.RootfsLayers(request.container_id)))
      return Error(Code::kFailedPrecondition, StrCat(what, ": the container has no rootfs"));
    TRY(CheckPolicy(*state, image), what);
    TRY(state->records.AddVolume(request.container_id, request.index, image), what);
  }
  const std::vector<LayerRecord> layers = TRY(LayerRecords(image.layers), what);
  const os::DirFd dir = TRY(layers_.containers().OpenDir(request.container_id), what);
  TRY(NoteUse(dir, StrCat("volume ", request.index, " ", image.id)), what);
  os::OverlayOptions options;
  os::DirFd top =
      TRY(PrepareTop(dir, StrCat("volume-", request.index), layers, request.shift), what);
  const LayerStore::Images images = TRY(layers_.OpenImages(request.shift), what);
  options.lower = TRY(Lowers(images, std::move(top), layers), what);
  ImageVolume volume;
  volume.mount = TRY(os::Mount::Overlay(options, kAttributes), what);
  if (!request.sub_path.empty()) TRY(FindSubPath(request.sub_path, volume), what);
  return volume;
}

}  // namespace berth::image

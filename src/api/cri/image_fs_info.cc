// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

BERTH_CRI_HANDLER(ImageFsInfo) {
  (void)call, (void)request;
  image::Usage usage = TRY(services.images.FsInfo());
  for (auto* list :
       {response->mutable_image_filesystems(), response->mutable_container_filesystems()}) {
    v1::FilesystemUsage* entry = list->Add();
    entry->set_timestamp(services.clock.WallNanos());
    entry->mutable_fs_id()->set_mountpoint(usage.mountpoint);
    entry->mutable_used_bytes()->set_value(usage.used_bytes);
    entry->mutable_inodes_used()->set_value(usage.inodes);
  }
  return Ok();
}

}  // namespace berth::api

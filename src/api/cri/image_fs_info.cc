// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

namespace {

void ToProto(const image::Usage& in, int64_t timestamp, v1::FilesystemUsage* out) {
  out->set_timestamp(timestamp);
  out->mutable_fs_id()->set_mountpoint(in.mountpoint);
  out->mutable_used_bytes()->set_value(in.used_bytes);
  out->mutable_inodes_used()->set_value(in.inodes);
}

}  // namespace

BERTH_CRI_HANDLER(ImageFsInfo) {
  (void)call, (void)request;
  const image::StoreUsage usage = TRY(services.images.FsInfo());
  ToProto(usage.images, usage.timestamp, response->add_image_filesystems());
  ToProto(usage.containers, usage.timestamp, response->add_container_filesystems());
  return Ok();
}

}  // namespace berth::api

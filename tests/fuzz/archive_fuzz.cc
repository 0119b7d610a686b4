// SPDX-License-Identifier: Apache-2.0
// An OCI or docker archive as `berth image import` gets it.
#include "image/fetch/files.h"
#include "image/fetch/local.h"
#include "os/process.h"
#include "os/socket.h"
#include "tests/fuzz/fuzz.h"

namespace fetch = berth::image::fetch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto fd = berth::os::MakeMemFile("archive", berth::fuzz::Text(data, size));
  if (!fd) return 0;
  auto files = fetch::TarFiles::Open(std::move(*fd));
  if (!files) return 0;
  auto images = fetch::OpenLocal(std::move(*files), "", {"linux", "amd64", "", ""});
  if (!images) return 0;
  for (const fetch::LocalImage& image : images->images) {
    berth::fuzz::Require(image.image.manifest.layers.size() == image.image.config.diff_ids.size());
    for (const auto& layer : image.image.manifest.layers)
      (void)images->content->StreamBlob(layer.descriptor,
                                        [](std::string_view) { return berth::Ok(); });
  }
  return 0;
}

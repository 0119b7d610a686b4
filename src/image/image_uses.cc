// SPDX-License-Identifier: Apache-2.0
// containers/<id>/uses: one line for the container's root file system and each of its image volumes,
//   rootfs <image id>
//   volume <index> <image id>
// Read only when images.db was lost and its copy does not know the newest containers: their layers must stay.
#include "base/log.h"
#include "base/strings.h"
#include "image/image_store.h"

namespace berth::image {

namespace {

constexpr const char* kUses = "uses";
constexpr size_t kMaxUses = 64U << 10;

Result<std::string> ReadUses(const os::DirFd& container) {
  Result<std::string> text = container.ReadFile(kUses, kMaxUses);
  if (!text && text.error().code() == Code::kNotFound) return std::string();
  return text;
}

Result<> Restore(ImageRecords& records, const std::string& container, std::string_view line) {
  const std::vector<std::string_view> words = Split(line, ' ');
  const bool rootfs = words.size() == 2 && words[0] == "rootfs";
  if (!rootfs && !(words.size() == 3 && words[0] == "volume"))
    return Error(Code::kDataLoss, StrCat("malformed line ", Quote(line)));
  const std::string id(words.back());
  const std::optional<ImageRecord> image = TRY(records.Get(id));
  if (!image) return Error(Code::kDataLoss, StrCat("no image ", id));
  if (rootfs) return records.AddRootfs(container, *image);
  const int64_t index = TRY(ParseInt(words[1], 0, 1'000'000, "volume"));
  return records.AddVolume(container, static_cast<uint32_t>(index), *image);
}

}  // namespace

Result<> ImageStore::NoteUse(const os::DirFd& container, const std::string& use) {
  std::string text = TRY(ReadUses(container));
  const std::string line = StrCat(use, "\n");
  if (text.find(line) != std::string::npos) return Ok();
  return container.WriteFile(kUses, text + line, 0600);
}

Result<> ImageStore::RestoreUses(State& state) {
  for (const std::string& id : TRY(layers_.containers().List())) {
    auto restore = [&]() -> Result<> {
      const std::string text = TRY(ReadUses(TRY(layers_.containers().OpenDir(id))));
      for (std::string_view line : Split(text, '\n'))
        if (!line.empty()) TRY(Restore(state.records, id, line));
      return Ok();
    };
    if (Result<> done = restore(); !done)
      LogError(StrCat("images of container ", id, ": ", done.error().message()));
  }
  return Ok();
}

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// An image store in memory, for tests of what uses Images: images are added by hand, any call can
// be made to fail. Owned by the test; any thread. A Rootfs holds a memory file instead of a mount.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "image/images.h"

namespace berth::image {

class FakeImages final : public Images {
 public:
  // Called before each method with its name and what it was called with (reference, image id or
  // container id; PrepareRootfs, PrepareVolume and RemoveRootfs: container id; List, FsInfo, ListRootfs: ""). An
  // error is returned to the caller, nothing is done.
  using Hook = std::function<Result<>(std::string_view call, std::string_view id)>;
  void SetHook(Hook hook);

  // An image that Pull, Find and PrepareRootfs know. Same id: replaced.
  void AddImage(FoundImage image);
  // What ResolveUser answers for every image; without it: a small built-in rule, see ResolveUser.
  using UserRule = std::function<Result<ResolvedUser>(const UserQuery& query)>;
  void SetUserRule(UserRule rule);

  // "Pull busybox", "PrepareRootfs <id>", ... in the order of the calls.
  std::vector<std::string> calls() const;
  void ClearCalls();
  // container id -> image id of the root file systems that exist.
  std::map<std::string, std::string> rootfs() const;
  // Puts one there that no call made, as a crash leaves it behind.
  void AddRootfs(const std::string& container_id, const std::string& image_id);

  // NotFound unless an added image has that name.
  Result<std::string> Pull(const PullRequest& request) override;
  // Names match literally: the id, an id prefix, "docker.io/library/x:latest" as written in `tags`
  // or `digests`, and "x" for it.
  Result<std::optional<FoundImage>> Find(const std::string& reference) override;
  Result<std::vector<ImageInfo>> List() override;
  Result<> Remove(const std::string& reference) override;
  Result<StoreUsage> FsInfo() override;
  // Unimplemented.
  Result<std::vector<std::string>> Import(os::Fd source, const std::string& name) override;
  // Numeric users as they are; "root" is 0; any other name is NotFound. Honours uid, username, gid
  // and the groups.
  Result<ResolvedUser> ResolveUser(const std::string& image_id, const UserQuery& query) override;
  // NotFound for an unknown image; the same container again: success.
  Result<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id,
                               const std::optional<IdShift>& shift) override;
  Result<> TryIdShift(int) override { return Ok(); }
  // What a root file system was last made with.
  std::optional<IdShift> last_shift() const;
  // NotFound for an unknown image and for the sub path "missing"; "file" is a file.
  Result<ImageVolume> PrepareVolume(const VolumeRequest& request) override;
  Result<> RemoveRootfs(const std::string& container_id) override;
  // 4096 bytes and 1 inode each, of the root file systems that exist.
  Result<std::map<std::string, RootfsUsage>> RootfsUsages(
      const std::vector<std::string>& container_ids) override;
  Result<std::vector<std::string>> ListRootfs() override;

 private:
  struct State {
    Hook hook;
    UserRule user_rule;
    std::map<std::string, FoundImage> images;  // by id
    std::map<std::string, std::string> rootfs;
    std::vector<std::string> calls;
    std::optional<IdShift> last_shift;
  };
  Result<> Enter(std::string_view call, std::string_view id);
  static const FoundImage* Lookup(const State& state, const std::string& reference);
  mutable Guarded<State> state_;
};

}  // namespace berth::image

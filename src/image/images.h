// SPDX-License-Identifier: Apache-2.0
// From a reference to a mountable rootfs: pull, list, remove, root file systems, users. Implemented
// by ImageStore and FakeImages (testing/). Owned by the daemon; calls block; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "os/mount.h"

namespace berth::image {

// CRI AuthConfig; held only as long as the pull runs.
struct Credentials {
  std::string username, password;
  std::string auth;  // base64 "user:password"
  std::string server_address;
  std::string identity_token;
  std::string registry_token;
};

struct PullRequest {
  std::string reference;  // as the user wrote it
  Credentials credentials;
  std::string runtime_handler;
  std::stop_token cancel;
};

// The id of an image is its config digest everywhere: "sha256:<hex>".
struct ImageInfo {
  std::string id;
  std::vector<std::string> tags;     // canonical "docker.io/library/busybox:1"
  std::vector<std::string> digests;  // canonical "docker.io/library/busybox@sha256:..."
  uint64_t size_bytes = 0;           // unpacked size of its layers; never 0
  std::string user;                  // config.User, verbatim
  bool pinned = false;
  std::map<std::string, std::string> labels;
};

// The parts of an image's config that make a process (OCI image-spec config.md). All values are untrusted.
struct ImageProcess {
  std::string user;
  std::vector<std::string> env, entrypoint, cmd;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;
};

struct FoundImage {
  ImageInfo info;
  ImageProcess process;
  std::string config_json;  // raw, for verbose status
};

struct Usage {
  std::string mountpoint;
  uint64_t used_bytes = 0;
  uint64_t inodes = 0;
};

// What a container's own files take, and on which file system.
struct RootfsUsage {
  int64_t timestamp = 0;  // wall nanoseconds of the measurement
  std::string mountpoint;
  uint64_t used_bytes = 0;
  uint64_t inodes = 0;
};
// Of the file system that containers write to.
struct StoreCapacity {
  uint64_t bytes = 0, inodes = 0, free_inodes = 0;
  uint32_t device_major = 0, device_minor = 0;
};
struct StoreUsage {
  int64_t timestamp = 0;
  Usage images;
  // The same as `images` unless containers lie on a file system of their own; then all that is used of it.
  Usage containers;
  StoreCapacity capacity;
};

// Who a container runs as, resolved in the image's own /etc/passwd and /etc/group by the sandboxed helper.
struct UserQuery {
  std::string user;  // "", "1000", "1000:1000", "name", "name:group" (config.User grammar)
  std::optional<int64_t> uid;           // CRI run_as_user wins over `user`
  std::optional<std::string> username;  // CRI run_as_username: must exist
  std::optional<int64_t> gid;           // CRI run_as_group
  std::vector<int64_t> supplemental_groups;
  // SupplementalGroupsPolicy Strict: the image's memberships do not count.
  bool strict_groups = false;
};
struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;  // the primary gid included (CVE-2022-36109)
  std::string username;                   // "" if the image has no name for it
  std::string home = "/";
};

struct Rootfs {
  os::Mount mount;  // detached overlay
};

// For a pod with a user namespace: files keep the image's ids on disk and have others on the host,
// `host_id` higher, which are the image's again in the pod. Ids from `count` on have none there.
struct IdShift {
  int user_ns = -1;  // borrowed; maps 0 to host_id
  uint32_t host_id = 0;
  uint32_t count = 0;
};

// The files of an image as a volume of a container (CRI Mount.image).
struct VolumeRequest {
  std::string container_id;  // that PrepareRootfs was called for
  uint32_t index = 0;        // one number a volume of the container
  std::string image_id;
  std::optional<IdShift> shift;
  std::string sub_path;  // seen from the image's root, links in it too; "": all of the image
};
struct ImageVolume {
  os::Mount mount;        // detached, read-only, nosuid, nodev: the whole image
  std::string path;       // what was asked for, relative to its root, without links; "": the root
  bool directory = true;  // else a regular file
};

class Images {
 public:
  virtual ~Images() = default;

  // Contacts the registry each time. Joins a pull of the same image by the same credentials.
  // Returns the image id. Cancelled when `cancel` was asked and nobody else waits; Unavailable,
  // Unauthenticated/PermissionDenied, NotFound, DataLoss (wrong digest or corrupt layer) as the
  // registry's answer was.
  virtual Result<std::string> Pull(const PullRequest& request) = 0;
  // By id, id prefix, tag or digest. No value: there is no such image.
  virtual Result<std::optional<FoundImage>> Find(const std::string& reference) = 0;
  virtual Result<std::vector<ImageInfo>> List() = 0;
  // All names of the image that `reference` names; not there: success. Layers no container needs go too.
  virtual Result<> Remove(const std::string& reference) = 0;
  // From what is recorded and statvfs(3): cheap, no tree is walked.
  virtual Result<StoreUsage> FsInfo() = 0;
  // Loads an OCI layout (a directory's fd), an OCI archive or a docker archive (a regular file's
  // fd); `name` overrides the names in it. Returns image ids.
  virtual Result<std::vector<std::string>> Import(os::Fd source, const std::string& name) = 0;

  // The user, as the image defines it (cached per image). NotFound for an unknown name,
  // InvalidArgument out of range.
  virtual Result<ResolvedUser> ResolveUser(const std::string& image_id, const UserQuery& query) = 0;
  // A writable root file system for a container: upper and work directories made below the store,
  // overlay detached. Calling it again for the same container reassembles the same one. Its undo is
  // RemoveRootfs.
  virtual Result<Rootfs> PrepareRootfs(const std::string& container_id, const std::string& image_id,
                                       const std::optional<IdShift>& shift = std::nullopt) = 0;
  // Do the kernel and the store's file system shift ids? FailedPrecondition with the reason.
  virtual Result<> TryIdShift(int user_ns) = 0;
  // Until RemoveRootfs of the container the image's layers stay, whatever becomes of the image.
  // NotFound for an unknown image and for a sub path that the image does not have; InvalidArgument
  // for one that is absolute or has "..".
  virtual Result<ImageVolume> PrepareVolume(const VolumeRequest& request) = 0;
  // Its volumes go too; not there: success.
  virtual Result<> RemoveRootfs(const std::string& container_id) = 0;
  // By container id. Measured by the calling thread, at most for a moment, and kept for a while: a container whose
  // turn has not come yet, or that has no root file system, is left out.
  virtual Result<std::map<std::string, RootfsUsage>> RootfsUsages(
      const std::vector<std::string>& container_ids) = 0;
  virtual Result<std::vector<std::string>> ListRootfs() = 0;  // container ids, for reconcile
};

}  // namespace berth::image

// SPDX-License-Identifier: Apache-2.0
// The layer's directory tree as the root of the world: every name is resolved by openat2(2) below
// one fd, so that no link leads out. Owned by one unpacking, which alone writes to the tree; one
// thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/unpack/limits.h"
#include "os/fd.h"

namespace berth::image::unpack {

// A place for a new entry: an open directory and a name in it.
struct Place {
  int parent = -1;  // owned by the Tree, valid until its next call
  std::string name;
};

class Tree {
 public:
  // Called for each inode that is about to be made; an error stops it.
  using Charge = std::function<Result<>()>;
  Tree(os::Fd root, Charge charge) : root_(std::move(root)), charge_(std::move(charge)) {}

  int root() const { return root_.get(); }
  // The directory that holds clean path `path`. Missing directories are made (0755, root) and
  // remembered as implied. A symlink on the way is followed inside the tree, as containerd and
  // Docker do.
  Result<Place> PlaceFor(const std::string& path);
  // The same without making anything: NotFound. For the target of a hard link.
  Result<os::Fd> ParentOf(const std::string& path, std::string& name) const;
  // Reopens an entry that was a directory; NotFound when it is none any more.
  Result<os::Fd> OpenDir(const std::string& path) const;

  // Takes away whatever is at the place, a directory with all that is in it.
  Result<> Remove(const Place& place);
  // What is at the place; NotFound.
  static Result<struct stat> Stat(int parent, const std::string& name);
  static bool IsWhiteout(const struct stat& st);

  // The layer describes this directory after all.
  void Described(const std::string& path) { implied_.erase(path); }
  // Directories that were made only because something is in them; real paths, without symlinks.
  const std::set<std::string>& implied() const { return implied_; }

 private:
  // `steps` are left for this path; each directory and each symlink on the way takes one.
  Result<os::Fd> OpenOrMake(const std::string& dir, int& steps);
  Result<> RemoveChildren(int dir, int depth);

  os::Fd root_;
  Charge charge_;
  // The last directory used; archives list a directory's entries one after the other. It cannot go
  // stale (CVE-2025-47290): to replace it, or a directory above it, by something else takes a
  // PlaceFor that puts another one here.
  std::string cached_path_;
  os::Fd cached_;
  std::set<std::string> implied_;
};

}  // namespace berth::image::unpack

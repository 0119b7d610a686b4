// SPDX-License-Identifier: Apache-2.0
// The CNI configuration in force: the first *.conflist, *.conf or *.json of the directories, in
// lexical order. Owned by CniNetwork; any thread. Reads the disk again only when a directory or the
// chosen file has changed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/result.h"
#include "oci/cni.h"

namespace berth::runtime {

struct CniConfig {
  std::string file;  // where it was read; "" for the embedded default
  oci::NetworkConfigList list;
};

class CniConfigSource {
 public:
  explicit CniConfigSource(std::vector<std::string> dirs) : dirs_(std::move(dirs)) {}

  // Null when no directory holds a configuration. A file that cannot be read or parsed is an error
  // that names it; the files after it are not tried, as a half-written configuration must not
  // change a node's network.
  Result<std::shared_ptr<const CniConfig>> Load();

 private:
  // What stat(2) says of a directory or file; a change of any member means "read again".
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t modified = 0;  // nanoseconds
    int64_t changed = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Loaded {
    bool valid = false;
    std::vector<Stamp> stamps;  // of dirs_, then of the file
    std::shared_ptr<const CniConfig> config;
    std::optional<Error> error;
    std::string file;
  };
  static Stamp StampOf(const std::string& path);
  std::vector<Stamp> Stamps(const std::string& file) const;
  Result<std::shared_ptr<const CniConfig>> Read(std::string& file) const;

  std::vector<std::string> dirs_;
  Guarded<Loaded> loaded_;
};

}  // namespace berth::runtime

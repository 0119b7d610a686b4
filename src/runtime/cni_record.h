// SPDX-License-Identifier: Apache-2.0
// What is kept of each attachment, so that CNI DEL can be run with what ADD was given, whatever has
// happened since. CniRecords belongs to CniNetwork, which lets one thread at a time touch one pod's
// record.
//
//   <root>/network/
//     <sandbox id>          the intent: written and fsynced before the first ADD, removed after the last DEL
//     <sandbox id>.partial  the last result of an ADD that is going on, replaced after each plugin
//     <sandbox id>.result   the same file when the whole chain is done; JSON of the CNI spec
//     <sandbox id>.bad      an intent that could not be read, set aside for the operator
//
// Results are renamed into place but not fsynced: a daemon that dies loses nothing, and a power cut
// ends every interface anyhow; DEL then runs without prevResult, as the spec allows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/dir_fd.h"
#include "runtime/network.h"

namespace berth::runtime {

struct CniRecord {
  PodNetwork pod;
  std::string netns;  // path given to ADD
  std::string ifname;
  std::string config;       // bytes of the network configuration in force
  std::string config_file;  // where it came from, for messages
  bool is_default = false;  // the embedded network, which is cleaned up after its last pod
  std::vector<std::string> programs =
      {};  // that served ADD, one for each plugin (cni_plugins.h); they serve DEL
};

// magic, version, fields (base/wire.h). Decode: DataLoss when anything is wrong.
std::string EncodeCniRecord(const CniRecord& record);
Result<CniRecord> DecodeCniRecord(std::string_view bytes);

class CniRecords {
 public:
  explicit CniRecords(os::DirFd dir) : dir_(std::move(dir)) {}

  Result<> SaveIntent(const CniRecord& record);
  Result<> SavePartial(const std::string& sandbox_id, const std::string& result_json);
  // The chain is done: what SavePartial was given last is the result.
  Result<> Complete(const std::string& sandbox_id);
  // NotFound when nothing is attached; DataLoss naming the file when it cannot be understood.
  Result<CniRecord> Load(const std::string& sandbox_id) const;
  Result<bool> Exists(const std::string& sandbox_id) const;
  // The complete result; with `or_partial`, else that of a chain that was cut short. No value when
  // there is none, or the file is unusable.
  Result<std::optional<std::string>> LoadResult(const std::string& sandbox_id,
                                                bool or_partial) const;
  Result<> Remove(const std::string& sandbox_id);
  // Renames the intent to <id>.bad, in place of an older one.
  Result<> SetAside(const std::string& sandbox_id);
  Result<std::vector<std::string>> List() const;
  // What a write that was cut short (DirFd::WriteFile) has left. At the start, before any write.
  Result<> RemoveTemporaries() const;

 private:
  Result<> RemoveResults(const std::string& sandbox_id) const;

  os::DirFd dir_;
};

}  // namespace berth::runtime

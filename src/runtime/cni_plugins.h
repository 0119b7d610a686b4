// SPDX-License-Identifier: Apache-2.0
// Finds CNI plugin executables and runs one of them once (CNI spec, section "Execution protocol").
// CniPlugins is an immutable value of CniNetwork; calls block; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/cni.h"

namespace berth::runtime {

// What a plugin is told by environment variables; empty values are set to "" where the spec names
// them for the command.
struct CniCall {
  std::string_view command;  // "ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"
  std::string container_id;
  std::string netns;  // path; "" when it is gone (DEL only)
  std::string ifname;
  std::string args;  // CNI_ARGS
};

class CniPlugins {
 public:
  struct Options {
    // Absolute, searched in order; CNI_PATH for the plugins' own use.
    std::vector<std::string> bin_dirs;
    // Of one plugin; its process group is killed after.
    std::chrono::nanoseconds timeout = std::chrono::seconds(60);
    size_t output_limit = oci::kMaxCniResultBytes;
    bool require_root_owner = true;  // tests without root may leave it out
  };
  explicit CniPlugins(Options options) : options_(std::move(options)) {}

  // The executable for a type: a plain name, found in a bin directory with
  // openat2(RESOLVE_BENEATH), a regular executable file that belongs to root and that not everybody
  // may write. FailedPrecondition naming plugin and reason.
  Result<std::string> Find(std::string_view type) const;
  // Every plugin and IPAM plugin of the list can be found.
  Result<> FindAll(const oci::NetworkConfigList& list) const;

  // Runs the plugin and returns what it printed. Its own error (JSON), else its exit code and
  // stderr, is the error. DeadlineExceeded after the time, ResourceExhausted when it prints too
  // much.
  Result<std::string> Run(std::string_view type, const CniCall& call,
                          const std::string& input) const;

 private:
  Options options_;
};

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// Finds CNI plugin executables and runs one of them once (CNI spec, section "Execution protocol"). A program is an absolute
// path, or kNativeProgram for Berth's own plugins (src/cni), which are one executable under many names.
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

inline constexpr std::string_view kNativeProgram = "native";

class CniPlugins {
 public:
  struct Options {
    // Absolute, searched in order; CNI_PATH for the plugins' own use.
    std::vector<std::string> bin_dirs;
    // Of one plugin; its process group is killed after.
    std::chrono::nanoseconds timeout = std::chrono::seconds(60);
    size_t output_limit = oci::kMaxCniResultBytes;
    bool require_root_owner = true;  // tests without root may leave it out
    std::string native_program;      // absolute path of berth-cni; "": there is none
    bool use_native = true;          // false: it only ends what it began
  };
  explicit CniPlugins(Options options) : options_(std::move(options)) {}

  // The program for a type: Berth's own if it has it, else a plain name found in a bin directory with
  // openat2(RESOLVE_BENEATH), a regular executable file that belongs to root and that not everybody
  // may write. FailedPrecondition naming plugin and reason.
  Result<std::string> Find(std::string_view type) const;
  // The programs of the list's plugins, in order; every IPAM plugin can be found too.
  Result<std::vector<std::string>> FindAll(const oci::NetworkConfigList& list) const;
  // Those that were written down at ADD, so that DEL is done by what did ADD. One that is not there any more, or was
  // not written down, is looked for anew.
  Result<std::vector<std::string>> FindAgain(const oci::NetworkConfigList& list,
                                             const std::vector<std::string>& recorded) const;
  // Berth has a plugin of that name.
  static bool IsNative(std::string_view type);

  // Runs the plugin and returns what it printed. Its own error (JSON), else its exit code and
  // stderr, is the error. DeadlineExceeded after the time, ResourceExhausted when it prints too
  // much.
  Result<std::string> Run(std::string_view type, const std::string& program, const CniCall& call,
                          const std::string& input) const;

 private:
  Result<std::string> FindInDirs(std::string_view type) const;
  Options options_;
};

}  // namespace berth::runtime

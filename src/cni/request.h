// SPDX-License-Identifier: Apache-2.0
// One call of a plugin: environment and standard input (CNI spec, section 2, "Execution protocol"), checked as far as every
// plugin wants it. Values; pure functions; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cni/result.h"

namespace berth::cni {

// Error codes of the spec, and the reference plugins' code for everything else.
enum class CniCode : unsigned {
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,
  kInvalidEnvironment = 4,
  kIoFailure = 5,
  kDecodingFailure = 6,
  kInvalidConfig = 7,
  kInvalidNetns = 8,
  kTryAgainLater = 11,
  kInternal = 999,
};

struct Failure {
  CniCode code = CniCode::kInternal;
  std::string msg = {};
  std::string details = {};
};
// Unimplemented is code 2, Unavailable 11, the rest 999.
Failure ToFailure(const Error& error);
// {"cniVersion":...,"code":...,"msg":...,"details":...}
std::string FormatFailure(const Failure& failure, std::string_view cni_version);

struct Attachment {
  std::string container_id;
  std::string ifname;
  auto operator<=>(const Attachment&) const = default;
};

struct Request {
  std::string command;
  std::string container_id;
  std::string netns;  // "": gone (DEL)
  std::string ifname;
  std::string args;               // CNI_ARGS, raw
  std::vector<std::string> path;  // CNI_PATH
  bool netns_override = false;    // CNI_NETNS_OVERRIDE: the plugin's own namespace is allowed
  bool own_ipam =
      false;  // host-local is done in this process, whatever CNI_PATH has under that name

  std::string config;   // standard input
  std::string network;  // "name"
  std::string cni_version;
  std::string ipam_type;  // "": none
  std::optional<Outcome> prev_result;
  std::optional<std::vector<Attachment>> valid_attachments;  // of GC
};

// `env` gives a variable's value or "". The plugin's own keys of `input` are not looked at here. A failure is in `failure`
// and nothing is returned.
std::optional<Request> ReadRequest(const std::function<std::string(const char*)>& env,
                                   std::string input, Failure& failure);

// The value of `name` in CNI_ARGS ("A=1;B=2"), "" when it is not there. InvalidArgument when the text is malformed, or has
// another name and no IgnoreUnknown=1.
Result<std::string> CniArg(std::string_view args, std::string_view name);

std::string FormatVersions();  // answer to VERSION

}  // namespace berth::cni

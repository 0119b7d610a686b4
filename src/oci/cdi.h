// SPDX-License-Identifier: Apache-2.0
// Container Device Interface: spec files of device vendors (https://github.com/cncf-tags/container-device-interface,
// SPEC.md, 0.3.0 to 1.1.0), the devices in them by name, and what they change in a container's spec. The
// files are root's and trusted to name any path of the host, but not to be well formed. Pure; any thread.
// Errors: InvalidArgument naming file and place.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace berth::oci {

inline constexpr size_t kMaxCdiFileBytes = 4u << 20;
inline constexpr size_t kMaxCdiEntries = 4096;  // devices of a file, and members of any list

struct CdiDeviceNode {
  SpecDevice node;  // path is the container's; numbers are the host's once the caller has looked
  std::string host_path;  // empty: the same
  bool has_type = false;  // type and, unless it is 'p', major and minor were given
  std::string access;     // of "rwm"; empty: all
};
struct CdiEdits {
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<CdiDeviceNode> device_nodes;
  std::vector<SpecMount> mounts;
  SpecHooks hooks;
  std::optional<IntelRdt> intel_rdt;
  std::vector<uint32_t> additional_gids;
};
struct CdiSpec {
  std::string kind;  // "vendor.com/class"
  CdiEdits edits;    // of every container that has any of the devices
  std::map<std::string, CdiEdits> devices;
};

// JSON, or YAML for a file that is not named *.json. Unknown members are refused, as are members that came
// with a later version than the file says it is.
Result<CdiSpec> ParseCdiSpec(std::string_view text, bool yaml);

// "vendor.com/class=name".
struct CdiName {
  std::string kind, device;
};
Result<CdiName> ParseCdiName(std::string_view name);
// The names in annotations "cdi.k8s.io/<plugin>": "name,name". In the order of the keys.
Result<std::vector<std::string>> CdiNamesOf(const std::map<std::string, std::string>& annotations);

struct CdiFile {
  std::string path;
  int priority = 0;  // of its directory; the higher one's device hides the other's
  std::string text;
  std::string problem;  // why it could not be read; empty: text is its content
};
// What these devices change together: once what their specs change for all, then each device's. A device
// that is in no file, or in two of the same directory, is InvalidArgument; so is a bad file, but only for who
// asks for a device that is in no good one.
Result<std::vector<CdiEdits>> SelectCdiDevices(const std::vector<CdiFile>& files,
                                               const std::vector<std::string>& names);

// Changes the spec. Every device node must have its type and numbers.
Result<> ApplyCdiEdits(const CdiEdits& edits, Spec* spec);

}  // namespace berth::oci

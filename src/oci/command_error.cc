// SPDX-License-Identifier: Apache-2.0
#include "oci/command_error.h"

namespace berth::oci {

bool IsCommandError(std::string_view message) {
  auto has = [&](std::string_view part) { return message.find(part) != std::string_view::npos; };
  bool not_found = has("executable") && has("not found");                      // crun, runc, youki
  bool not_executable = has("open executable: ");                              // crun
  return not_found || not_executable || has("container process: exec: \"") ||  // runc
         has("finding executable");                                            // runsc
}

}  // namespace berth::oci

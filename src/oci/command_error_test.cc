// SPDX-License-Identifier: Apache-2.0
#include "oci/command_error.h"

#include <gtest/gtest.h>

namespace berth::oci {
namespace {

TEST(CommandError, OfCrunAndRunc) {
  for (const char* words :
       {"crun create: executable file `/no/such` not found in $PATH: No such file or directory",
        "crun create: open executable: Permission denied",
        "runc create failed: unable to start container process: exec: \"/no/such\": stat /no/such: "
        "no such file",
        "runc create failed: unable to start container process: exec: \"x\": executable file not "
        "found in $PATH",
        "runc create failed: unable to start container process: exec: \"/plain\": permission "
        "denied"}) {
    EXPECT_TRUE(IsCommandError(words)) << words;
  }
}

TEST(CommandError, NothingElseIs) {
  for (const char* words :
       {"", "crun create: mount `proc` to `proc`: Operation not permitted",
        "crun create: writing file `cpuset.cpus`: Numerical result out of range",
        "runc create failed: unable to start container process: error during container init: error "
        "mounting",
        "monitor: connection ended", "crun create: took too long and was killed"}) {
    EXPECT_FALSE(IsCommandError(words)) << words;
  }
}

}  // namespace
}  // namespace berth::oci

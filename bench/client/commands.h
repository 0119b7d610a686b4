// SPDX-License-Identifier: Apache-2.0
// The commands of berth-bench that are not about starting and removing pods; what each does is said in bench_main.cc.
// Called by main, one thread; times go to `samples`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/client.h"
#include "pods.h"
#include "samples.h"

namespace berth::bench {

using Arguments = std::vector<std::string>;

// InvalidArgument: not there, or not from 1 to a million.
Result<int> Count(const Arguments& arguments, size_t index);
// IMAGE CGROUP LOGS pod|host NAME
Result<PodOptions> Options(const Arguments& arguments);
Result<runtime::v1::ListContainersResponse> Running(cli::Client& client);

Result<> Exec(cli::Client& client, const Arguments& arguments, Samples& samples);
Result<> Lists(cli::Client& client, const Arguments& arguments, Samples& samples);
Result<> Statuses(cli::Client& client, const Arguments& arguments, Samples& samples);
Result<> Poll(cli::Client& client, const Arguments& arguments, Samples& samples);
Result<> Log(cli::Client& client, const Arguments& arguments, Samples& samples);

}  // namespace berth::bench

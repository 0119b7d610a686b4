// SPDX-License-Identifier: Apache-2.0
// The verbs of `berth`: each does one thing with the daemon and prints it to stdout. Called by
// main; one thread. Errors are the daemon's own.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/client.h"

namespace berth::cli {

struct RunOptions {
  std::string image;
  std::string name = "demo";
  std::string log_directory = "/tmp/berth-logs";
  bool host_network = false;
  std::vector<std::string> command;
};

// Is it ready, and which pulls are going on.
Result<> ShowStatus(Client& client, const std::string& state_dir);
Result<> PullImage(Client& client, const std::string& reference);
Result<> ListImages(Client& client);
Result<> RemoveImage(Client& client, const std::string& reference);
// Through the admin socket of the state directory.
Result<> ImportImage(const std::string& state_dir, const std::string& path,
                     const std::string& name);
// Pulls that are going on, one line each, after `before`; through the admin socket as well.
Result<> ListPulls(const std::string& state_dir, const char* before = "");
// The daemon's own figures, in Prometheus' text format.
Result<> ShowMetrics(const std::string& state_dir);
// Layers of one image or (empty) of all, one line each; the exit code is 1 when one of them is bad.
Result<int> VerifyImages(const std::string& state_dir, const std::string& reference, bool heal);
// A pod with one container: prints the pod's id, its address and the container's id.
Result<> RunPod(Client& client, const RunOptions& options);
Result<> ListPods(Client& client);
Result<> ShowLog(Client& client, const std::string& container);
// Prints both streams; the command's exit code becomes berth's.
Result<int> ExecSync(Client& client, const std::string& container,
                     const std::vector<std::string>& command);
// What each step of the start of a pod and its containers, or of one container, took.
Result<> ShowTrace(Client& client, const std::string& id);
Result<> RemovePods(Client& client, const std::vector<std::string>& pods, bool all);

}  // namespace berth::cli

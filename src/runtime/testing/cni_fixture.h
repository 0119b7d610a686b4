// SPDX-License-Identifier: Apache-2.0
// For tests of CNI: fake plugins as shell scripts that log what they are given, and a network of
// the test's own. Owned by one test; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "os/dir_fd.h"
#include "runtime/cni_network.h"

namespace berth::runtime {

// Runs `work` in mount and network namespaces of its own, with lo up and a tmpfs on /run. Empty
// when it ran; otherwise why it could not: GTEST_SKIP() << that.
std::string InOwnNetwork(const std::function<void()>& work);

// Output of `sh -c command` (stdout, then stderr); a failure is in the text as "exit code N".
std::string Shell(const std::string& command);

// A directory with conf/, bin/, state/ and log/. Each call of a fake plugin appends to log/calls
// one line
// "<COMMAND> <type>" and leaves log/<n>.<COMMAND>.<type>.{env,in}, n counting from 1.
class CniFixture {
 public:
  CniFixture();
  const std::string& path() const { return temp_.path(); }
  CniNetworkOptions Options() const;
  std::unique_ptr<CniNetwork> Open() const;

  void WriteConf(const std::string& name, const std::string& text) const;
  // `body` is shell, run after logging; $CNI_COMMAND, $CNI_CONTAINERID are there, $IN is what stdin
  // held. Its default answers every command well, with an address of its own for each container.
  void WritePlugin(const std::string& type, const std::string& body = "") const;
  // The lines of log/calls.
  std::string Calls() const;
  std::string Logged(const std::string& name) const;  // a file of log/
  void ClearLog() const;
  // Names in state/, sorted, joined by spaces; the default network's own files left out.
  std::string StateFiles() const;

 private:
  os::TempDir temp_;
};

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// What cAdvisor asks a CRI-O for, said of Berth's pods (docs/decisions/0015-cadvisor.md): JSON
// documents by path. Owned by nobody; any thread.
// Names of the members: github.com/google/cadvisor, container/crio/client.go.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"
#include "pod/engine.h"

namespace berth::sessions {

inline constexpr const char* kCadvisorSocket = "/run/crio/crio.sock";

struct NodeViewOptions {
  // berthd's: containers/<id>/diff is what a container has written, pod/diff is empty.
  std::string root;
  // The kernel tells cAdvisor of a new group before the call that makes it has ended. What is still being made has no
  // image and no process yet, and cAdvisor keeps what it is told first: so long the end is waited for. An unknown id
  // is not: cAdvisor asks about every group of that name on the machine, one after the other.
  std::chrono::milliseconds patience{0};
};

// GET `path`: /info, or /containers/<id> of a container or of a pod, which stands for the pod's
// network. NotFound for others.
Result<std::string> NodeView(pod::Engine& engine, const NodeViewOptions& options,
                             std::string_view path);

// The listening socket, with mode 0600, in place of one at which nobody listens.
// FailedPrecondition: somebody does.
Result<os::Fd> ListenForCadvisor(const std::string& socket_path);

}  // namespace berth::sessions

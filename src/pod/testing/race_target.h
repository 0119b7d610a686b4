// SPDX-License-Identifier: Apache-2.0
// What the race driver drives: the engine over fakes, or a real berthd. Owned by the test; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "pod/types.h"

namespace berth::pod {

class RaceTarget {
 public:
  using Patience = std::chrono::microseconds;  // after which the client gives up; zero: it waits

  virtual ~RaceTarget() = default;
  // Pods and containers of one name always have the same configuration.
  virtual Result<std::string> Run(const std::string& pod_name, Patience patience) = 0;
  virtual Result<> StopPod(const std::string& id, Patience patience) = 0;
  virtual Result<> RemovePod(const std::string& id, Patience patience) = 0;
  virtual Result<std::string> Create(const std::string& pod_id, const std::string& name,
                                     Patience patience) = 0;
  virtual Result<> Start(const std::string& id, Patience patience) = 0;
  virtual Result<> Stop(const std::string& id, std::chrono::seconds grace, Patience patience) = 0;
  virtual Result<> Remove(const std::string& id, Patience patience) = 0;
  virtual Result<> Exec(const std::string& id, Patience patience) = 0;
  virtual Result<> Update(const std::string& id, Patience patience) = 0;
  virtual Result<SandboxState> PodState(const std::string& id) = 0;
  virtual Result<ContainerState> StateOf(const std::string& id) = 0;
  struct Listed {
    std::string id, name;
    bool ready = false;
  };
  virtual std::vector<Listed> ListPods() = 0;
  virtual std::vector<ContainerStatus> ListContainers(const std::string& pod_id) = 0;
  // The container's process ends by itself, soon.
  virtual void Exit(const std::string& id) = 0;
  // The pod's monitor dies; false: this target cannot do that.
  virtual bool LoseMonitor(const std::string& pod_id) = 0;
};

}  // namespace berth::pod

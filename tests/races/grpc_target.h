// SPDX-License-Identifier: Apache-2.0
// A real berthd over its socket as what the race driver drives. A client that gives up sets the call's deadline; what it
// has asked for goes on. Owned by main; any thread.
#pragma once

#include <string>

#include "cli/client.h"
#include "pod/testing/race_target.h"

namespace berth {

class GrpcTarget final : public pod::RaceTarget {
 public:
  GrpcTarget(const std::string& endpoint, std::string image, std::string log_directory)
      : client_(endpoint), image_(std::move(image)), log_directory_(std::move(log_directory)) {}

  Result<std::string> Run(const std::string& pod_name, Patience patience) override;
  Result<> StopPod(const std::string& id, Patience patience) override;
  Result<> RemovePod(const std::string& id, Patience patience) override;
  Result<std::string> Create(const std::string& pod_id, const std::string& name,
                             Patience patience) override;
  Result<> Start(const std::string& id, Patience patience) override;
  Result<> Stop(const std::string& id, std::chrono::seconds grace, Patience patience) override;
  Result<> Remove(const std::string& id, Patience patience) override;
  Result<> Exec(const std::string& id, Patience patience) override;
  Result<> Update(const std::string& id, Patience patience) override;
  Result<pod::SandboxState> PodState(const std::string& id) override;
  Result<pod::ContainerState> StateOf(const std::string& id) override;
  std::vector<Listed> ListPods() override;
  std::vector<pod::ContainerStatus> ListContainers(const std::string& pod_id) override;
  void Exit(const std::string& id) override;
  bool LoseMonitor(const std::string&) override { return false; }

  // Exec of `true` must end with 0; for the soak.
  Result<> ExecTrue(const std::string& id);
  Result<> List();  // all four lists, once each

 private:
  template <class Request, class Response>
  Result<Response> Call(Patience patience,
                        grpc::Status (runtime::v1::RuntimeService::Stub::*method)(
                            grpc::ClientContext*, const Request&, Response*),
                        const Request& request);

  cli::Client client_;
  const std::string image_, log_directory_;
};

}  // namespace berth

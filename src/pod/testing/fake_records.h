// SPDX-License-Identifier: Apache-2.0
// Records in memory: a test looks at what is stored, makes any step fail, or damages a row.
// Owned by the test; outlives the engine, so that a second engine finds what the first left. Any
// thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "pod/records.h"

namespace berth::pod {

class FakeRecords final : public Records {
 public:
  // Called without a lock before each method, with its name ("PutSandbox", "PutContainer",
  // "RemoveSandbox", ...) and the id; an error is returned by the method, which then has done
  // nothing.
  using Hook = std::function<Result<>(std::string_view call, std::string_view id)>;
  void SetHook(Hook hook);
  // The row is still there, but loading it gives loaded = false.
  void Damage(const std::string& id);

  std::map<std::string, SandboxRecord> Sandboxes() const;
  std::map<std::string, ContainerRecord> Containers() const;
  bool Empty() const;

  Result<> Put(const SandboxRecord& record) override;
  Result<> Put(const ContainerRecord& record) override;
  Result<> RemoveSandbox(const std::string& id) override;
  Result<> RemoveContainer(const std::string& id) override;
  Result<> RestoreSandbox(const std::string& id, const std::string& body) override;
  Result<> RestoreContainer(const std::string& id, const std::string& body,
                            const std::string& spec_json) override;
  Result<std::vector<SandboxRecord>> LoadSandboxes() override;
  Result<std::vector<ContainerRecord>> LoadContainers() override;

 private:
  struct State {
    Hook hook;
    std::map<std::string, SandboxRecord> sandboxes;
    std::map<std::string, ContainerRecord> containers;
    std::set<std::string> damaged;
  };
  Result<> Enter(std::string_view call, std::string_view id) const;
  mutable Guarded<State> state_;
};

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// A Network in memory: tests look at what exists, and make any step fail or wait through `hook`.
// Owned by the test; any thread. Keeps the promises of testing/network_contract.h.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "runtime/network.h"

namespace berth::runtime {

class FakeNetwork final : public Network {
 public:
  // Called before each method does anything, with the method's name and the sandbox id ("" if it
  // has none); an error is returned by the method, which then has done nothing. Set it before other
  // threads use the object.
  using Hook = std::function<Result<>(std::string_view call, std::string_view id)>;
  void SetHook(Hook hook) { hook_ = std::move(hook); }
  // Called when Prepare, Attach or Detach has done its work: an error is returned although the work is done.
  void SetAfterHook(Hook hook) { after_hook_ = std::move(hook); }
  // What Ready says; empty: OK.
  void SetNotReady(std::string reason);

  // --- what exists ---
  std::vector<std::string> Namespaces() const;
  std::map<std::string, std::string> Sysctls(const std::string& sandbox_id) const;
  std::vector<std::string> Attachments() const;
  std::vector<std::string> Prepared() const;  // and not attached yet
  std::optional<PodNetwork> Attached(const std::string& sandbox_id) const;
  // "CreateNs <id>", in the order of the calls; Cached, NsPath, NsExists and ConfigJson are not
  // counted.
  std::vector<std::string> Calls() const;
  bool Empty() const;
  // What a reboot does: every namespace is gone, the attachments on disk are not.
  void Reboot();

  // --- Network ---
  Result<> Ready() override;
  std::string ConfigJson() override;
  Result<> PinNs(const std::string& sandbox_id, const os::Fd& made,
                 const std::map<std::string, std::string>& sysctls) override;
  Result<> CreateNs(const std::string& sandbox_id,
                    const std::map<std::string, std::string>& sysctls) override;
  Result<> RemoveNs(const std::string& sandbox_id) override;
  std::string NsPath(const std::string& sandbox_id) const override;
  bool NsExists(const std::string& sandbox_id) const override;
  // A file in memory that holds the sandbox's id.
  Result<os::Fd> OpenNs(const std::string& sandbox_id) const override;
  Result<> Prepare(const PodNetwork& pod) override;
  Result<NetworkStatus> Attach(const PodNetwork& pod) override;
  Result<> Detach(const std::string& sandbox_id) override;
  Result<NetworkStatus> Cached(const std::string& sandbox_id) override;
  Result<> CollectGarbage(const std::vector<std::string>& known) override;
  Result<std::vector<std::string>> ListNs() const override;

 private:
  struct Attachment {
    PodNetwork pod;
    NetworkStatus status;
  };
  struct State {
    std::string not_ready;
    std::map<std::string, std::map<std::string, std::string>> namespaces;
    std::map<std::string, Attachment> attachments;
    std::map<std::string, PodNetwork> prepared;
    std::vector<std::string> calls;
    int next_ip = 2;
  };
  Result<> Enter(std::string_view call, std::string_view id) const;
  Result<> Leave(std::string_view call, std::string_view id) const;

  Hook hook_;
  Hook after_hook_;
  mutable Guarded<State> state_;
};

}  // namespace berth::runtime

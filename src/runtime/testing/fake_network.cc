// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/fake_network.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::runtime {

Result<> FakeNetwork::Enter(std::string_view call, std::string_view id) const {
  state_.Lock()->calls.push_back(id.empty() ? std::string(call) : StrCat(call, " ", id));
  return hook_ ? hook_(call, id) : Ok();
}

Result<> FakeNetwork::Leave(std::string_view call, std::string_view id) const {
  return after_hook_ ? after_hook_(call, id) : Ok();
}

void FakeNetwork::SetNotReady(std::string reason) { state_.Lock()->not_ready = std::move(reason); }

std::vector<std::string> FakeNetwork::Namespaces() const {
  auto state = state_.Lock();
  std::vector<std::string> out;
  for (const auto& [id, sysctls] : state->namespaces) out.push_back(id);
  return out;
}

std::map<std::string, std::string> FakeNetwork::Sysctls(const std::string& sandbox_id) const {
  auto state = state_.Lock();
  auto found = state->namespaces.find(sandbox_id);
  if (found == state->namespaces.end()) return {};
  return found->second;
}

std::vector<std::string> FakeNetwork::Attachments() const {
  auto state = state_.Lock();
  std::vector<std::string> out;
  for (const auto& [id, attachment] : state->attachments) out.push_back(id);
  return out;
}

std::vector<std::string> FakeNetwork::Prepared() const {
  auto state = state_.Lock();
  std::vector<std::string> out;
  for (const auto& [id, pod] : state->prepared) out.push_back(id);
  return out;
}

std::optional<PodNetwork> FakeNetwork::Attached(const std::string& sandbox_id) const {
  auto state = state_.Lock();
  auto found = state->attachments.find(sandbox_id);
  if (found == state->attachments.end()) return std::nullopt;
  return found->second.pod;
}

std::vector<std::string> FakeNetwork::Calls() const { return state_.Lock()->calls; }

bool FakeNetwork::Empty() const {
  auto state = state_.Lock();
  return state->namespaces.empty() && state->attachments.empty() && state->prepared.empty();
}

void FakeNetwork::Reboot() { state_.Lock()->namespaces.clear(); }

Result<> FakeNetwork::Ready() {
  TRY(Enter("Ready", ""));
  auto state = state_.Lock();
  if (!state->not_ready.empty()) return Error(Code::kUnavailable, state->not_ready);
  return Ok();
}

std::string FakeNetwork::ConfigJson() { return R"({"name":"fake","cniVersion":"1.0.0"})"; }

Result<> FakeNetwork::CreateNs(const std::string& sandbox_id,
                               const std::map<std::string, std::string>& sysctls) {
  TRY(Enter("CreateNs", sandbox_id));
  auto state = state_.Lock();
  if (!state->namespaces.emplace(sandbox_id, sysctls).second)
    return Error(Code::kAlreadyExists, StrCat("network namespace ", sandbox_id, ": exists"));
  return Ok();
}

Result<> FakeNetwork::PinNs(const std::string& sandbox_id, const os::Fd&,
                            const std::map<std::string, std::string>& sysctls) {
  TRY(Enter("PinNs", sandbox_id));
  auto state = state_.Lock();
  if (!state->namespaces.emplace(sandbox_id, sysctls).second)
    return Error(Code::kAlreadyExists, StrCat("network namespace ", sandbox_id, ": exists"));
  return Ok();
}

Result<> FakeNetwork::RemoveNs(const std::string& sandbox_id) {
  TRY(Enter("RemoveNs", sandbox_id));
  state_.Lock()->namespaces.erase(sandbox_id);
  return Ok();
}

std::string FakeNetwork::NsPath(const std::string& sandbox_id) const {
  return StrCat("/run/netns/fake-", sandbox_id);
}

bool FakeNetwork::NsExists(const std::string& sandbox_id) const {
  return state_.Lock()->namespaces.contains(sandbox_id);
}

Result<os::Fd> FakeNetwork::OpenNs(const std::string& sandbox_id) const {
  if (NsExists(sandbox_id)) return os::MakeMemFile("netns", sandbox_id);
  return Error(Code::kNotFound, StrCat("network namespace of ", sandbox_id, ": not there"));
}

Result<> FakeNetwork::Prepare(const PodNetwork& pod) {
  TRY(Enter("Prepare", pod.sandbox_id));
  {
    auto state = state_.Lock();
    state->attachments.erase(pod.sandbox_id);
    state->prepared.insert_or_assign(pod.sandbox_id, pod);
  }
  return Leave("Prepare", pod.sandbox_id);
}

Result<NetworkStatus> FakeNetwork::Attach(const PodNetwork& given) {
  PodNetwork pod = given;
  TRY(Enter("Attach", pod.sandbox_id));
  NetworkStatus status;
  {
    auto state = state_.Lock();
    if (!state->namespaces.contains(pod.sandbox_id))
      return Error(Code::kFailedPrecondition,
                   StrCat("attach pod ", pod.sandbox_id, ": it has no network namespace"));
    if (auto prepared = state->prepared.extract(pod.sandbox_id)) pod = std::move(prepared.mapped());
    std::string ip = StrCat("10.88.", state->next_ip / 250, ".", state->next_ip % 250);
    ++state->next_ip;
    status.ips = {ip};
    status.result_json =
        StrCat(R"({"cniVersion":"1.0.0","ips":[{"address":")", ip, R"(/16"}],"dns":{}})");
    state->attachments.insert_or_assign(pod.sandbox_id, Attachment{pod, status});
  }
  TRY(Leave("Attach", pod.sandbox_id));
  return status;
}

Result<> FakeNetwork::Detach(const std::string& sandbox_id) {
  TRY(Enter("Detach", sandbox_id));
  {
    auto state = state_.Lock();
    state->attachments.erase(sandbox_id);
    state->prepared.erase(sandbox_id);
  }
  return Leave("Detach", sandbox_id);
}

Result<NetworkStatus> FakeNetwork::Cached(const std::string& sandbox_id) {
  if (hook_) TRY(hook_("Cached", sandbox_id));
  auto state = state_.Lock();
  auto found = state->attachments.find(sandbox_id);
  if (found == state->attachments.end())
    return Error(Code::kNotFound, StrCat("pod ", sandbox_id, ": nothing is attached"));
  return found->second.status;
}

Result<> FakeNetwork::CollectGarbage(const std::vector<std::string>& known) {
  TRY(Enter("CollectGarbage", ""));
  auto state = state_.Lock();
  const auto unknown = [&](const auto& entry) {
    return std::find(known.begin(), known.end(), entry.first) == known.end();
  };
  std::erase_if(state->attachments, unknown);
  std::erase_if(state->prepared, unknown);
  return Ok();
}

Result<std::vector<std::string>> FakeNetwork::ListNs() const {
  TRY(Enter("ListNs", ""));
  return Namespaces();
}

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
#include "pod/testing/fake_records.h"

#include "pod/record_codec.h"

namespace berth::pod {

Result<> FakeRecords::Enter(std::string_view call, std::string_view id) const {
  Hook hook = state_.Lock()->hook;
  return hook ? hook(call, id) : Ok();
}

void FakeRecords::SetHook(Hook hook) { state_.Lock()->hook = std::move(hook); }
void FakeRecords::Damage(const std::string& id) { state_.Lock()->damaged.insert(id); }
std::map<std::string, SandboxRecord> FakeRecords::Sandboxes() const {
  return state_.Lock()->sandboxes;
}
std::map<std::string, ContainerRecord> FakeRecords::Containers() const {
  return state_.Lock()->containers;
}
bool FakeRecords::Empty() const {
  auto state = state_.Lock();
  return state->sandboxes.empty() && state->containers.empty();
}

Result<> FakeRecords::Put(const SandboxRecord& record) {
  TRY(Enter("PutSandbox", record.id));
  state_.Lock()->sandboxes.insert_or_assign(record.id, record);
  return Ok();
}

Result<> FakeRecords::Put(const ContainerRecord& record) {
  TRY(Enter("PutContainer", record.id));
  state_.Lock()->containers.insert_or_assign(record.id, record);
  return Ok();
}

Result<> FakeRecords::RemoveSandbox(const std::string& id) {
  TRY(Enter("RemoveSandbox", id));
  state_.Lock()->sandboxes.erase(id);
  return Ok();
}

Result<> FakeRecords::RemoveContainer(const std::string& id) {
  TRY(Enter("RemoveContainer", id));
  state_.Lock()->containers.erase(id);
  return Ok();
}

Result<> FakeRecords::RestoreSandbox(const std::string& id, const std::string& body) {
  TRY(Enter("RestoreSandbox", id));
  Result<SandboxRecord> record = DecodeSandbox(body);
  auto state = state_.Lock();
  if (!record) state->damaged.insert(id);
  state->sandboxes.emplace(id, record ? std::move(*record) : SandboxRecord());
  return Ok();
}

Result<> FakeRecords::RestoreContainer(const std::string& id, const std::string& body,
                                       const std::string& spec_json) {
  TRY(Enter("RestoreContainer", id));
  Result<ContainerRecord> record = DecodeContainer(body);
  if (record) record->spec_json = spec_json;
  auto state = state_.Lock();
  if (!record) state->damaged.insert(id);
  state->containers.emplace(id, record ? std::move(*record) : ContainerRecord());
  return Ok();
}

namespace {
template <class T>
std::vector<T> LoadAll(const std::map<std::string, T>& rows, const std::set<std::string>& damaged) {
  std::vector<T> out;
  for (const auto& [id, row] : rows) {
    T record;
    record.id = id;
    record.loaded = false;
    out.push_back(damaged.contains(id) ? record : row);
  }
  return out;
}
}  // namespace

Result<std::vector<SandboxRecord>> FakeRecords::LoadSandboxes() {
  TRY(Enter("LoadSandboxes", ""));
  auto state = state_.Lock();
  return LoadAll(state->sandboxes, state->damaged);
}

Result<std::vector<ContainerRecord>> FakeRecords::LoadContainers() {
  TRY(Enter("LoadContainers", ""));
  auto state = state_.Lock();
  return LoadAll(state->containers, state->damaged);
}

}  // namespace berth::pod

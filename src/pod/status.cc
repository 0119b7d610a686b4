// SPDX-License-Identifier: Apache-2.0
#include "pod/status.h"

#include <algorithm>

#include "base/strings.h"

namespace berth::pod {

SandboxState StateOf(const SandboxRecord& record) {
  return record.phase == SandboxPhase::kReady ? SandboxState::kReady : SandboxState::kNotReady;
}

ContainerState StateOf(const ContainerRecord& record) {
  if (!record.loaded) return ContainerState::kUnknown;
  switch (record.phase) {
    case ContainerPhase::kIntent:
    case ContainerPhase::kCreated:
      return ContainerState::kCreated;
    case ContainerPhase::kRunning:
      return ContainerState::kRunning;
    case ContainerPhase::kUnknown:
      return ContainerState::kUnknown;
    case ContainerPhase::kExited:
    case ContainerPhase::kRemoving:
      break;
  }
  return ContainerState::kExited;
}

namespace {

bool HasLabels(const StringMap& wanted, const StringMap& labels) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

std::string LogPath(const ContainerRecord& record) {
  if (record.log_directory.empty() || record.config.log_path.empty()) return {};
  return StrCat(record.log_directory, "/", record.config.log_path);
}

}  // namespace

SandboxStatus StatusOf(const SandboxRecord& record) {
  SandboxStatus status;
  status.id = record.id;
  status.metadata = record.config.metadata;
  status.state = StateOf(record);
  // The kubelet refuses a status whose creation time is not positive; an unreadable record has
  // none.
  status.created_at = std::max<int64_t>(record.created_at, 1);
  // With the host's network there is no address of the pod's own; after a stop it belongs to
  // another.
  if (!UsesHostNetwork(record.config) && !record.stopped && !record.ips.empty()) {
    status.ip = record.ips.front();
    status.additional_ips.assign(record.ips.begin() + 1, record.ips.end());
  }
  status.namespaces = record.config.security.namespaces;
  status.labels = record.config.labels;
  status.annotations = record.config.annotations;
  status.runtime_handler = record.handler;
  return status;
}

ContainerStatus StatusOf(const ContainerRecord& record) {
  ContainerStatus status;
  status.id = record.id;
  status.sandbox_id = record.sandbox_id;
  status.metadata = record.config.metadata;
  status.state = StateOf(record);
  status.created_at = std::max<int64_t>(record.created_at, 1);
  status.started_at = record.started_at;
  status.finished_at = record.finished_at;
  status.exit_code = record.exit_code;
  status.image = record.config.image;
  status.image.image = record.image_name;
  status.image_ref = record.image_ref;
  status.image_id = record.image_id;
  status.reason = record.reason;
  status.message = record.message;
  status.labels = record.config.labels;
  status.annotations = record.config.annotations;
  status.mounts = record.config.mounts;
  for (MountConfig& mount : status.mounts) {
    auto ref = record.mount_image_refs.find(mount.container_path);
    if (ref != record.mount_image_refs.end()) mount.image_ref = ref->second;
  }
  status.log_path = LogPath(record);
  status.resources = record.resources ? record.resources : record.config.resources;
  status.user = record.user;
  status.stop_signal = record.stop_signal;
  bool has_process =
      status.state == ContainerState::kCreated || status.state == ContainerState::kRunning;
  status.pid = has_process ? record.pid : 0;
  if (!record.loaded) {
    // Empty names make the kubelet refuse the whole status.
    status.image.image = status.image_ref = status.image_id = "unknown";
    status.reason = "Unknown";
    status.message = "the stored record of this container cannot be read";
  }
  return status;
}

bool Matches(const SandboxFilter& filter, const SandboxRecord& record) {
  if (filter.state && *filter.state != StateOf(record)) return false;
  return HasLabels(filter.labels, record.config.labels);
}

bool Matches(const ContainerFilter& filter, const ContainerRecord& record) {
  if (filter.state && *filter.state != StateOf(record)) return false;
  return HasLabels(filter.labels, record.config.labels);
}

void ApplyExit(ContainerRecord& record, const runtime::ExitRecord& exit, int64_t now) {
  record.phase = ContainerPhase::kExited;
  record.exit_code = exit.exit_code;
  // A clock that was set back must not make a container end before it started.
  record.finished_at = std::max(exit.finished_at > 0 ? exit.finished_at : now, record.started_at);
  record.reason = exit.oom_killed ? "OOMKilled" : exit.exit_code == 0 ? "Completed" : "Error";
  record.message.clear();
}

void ApplyUnknownExit(ContainerRecord& record, int64_t now, std::string message) {
  record.phase = ContainerPhase::kExited;
  record.exit_code = 255;
  record.finished_at = std::max(now, record.started_at);
  record.reason = "Unknown";
  record.message = std::move(message);
}

void ApplyStartError(ContainerRecord& record, int64_t started_at, int64_t now,
                     std::string message) {
  ApplyExit(record, {.exit_code = 128, .finished_at = now}, started_at);
  record.reason = kStartError;
  record.message = std::move(message);
}

bool IsNeverMade(const ContainerRecord& record) {
  return record.phase == ContainerPhase::kCreated && record.pid == 0 &&
         record.reason == kStartError;
}

std::string NameKey(const PodMetadata& metadata) {
  // The parts have no control characters (ValidateSandboxConfig), so the key is unambiguous.
  return StrCat(metadata.ns, "\n", metadata.name, "\n", metadata.uid, "\n", metadata.attempt);
}

std::string NameKey(std::string_view sandbox_id, const ContainerMetadata& metadata) {
  return StrCat(sandbox_id, "\n", metadata.name, "\n", metadata.attempt);
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// What is told of a pod or container, from its record; and which of them a filter lets through.
// Pure; any thread.
#pragma once

#include <string_view>

#include "pod/records.h"
#include "pod/types.h"
#include "runtime/runtime.h"

namespace berth::pod {

SandboxStatus StatusOf(const SandboxRecord& record);
ContainerStatus StatusOf(const ContainerRecord& record);

// Every part must hold. The id is looked up by the caller: only it knows whether a prefix
// is unique.
bool Matches(const SandboxFilter& filter, const SandboxRecord& record);
bool Matches(const ContainerFilter& filter, const ContainerRecord& record);

SandboxState StateOf(const SandboxRecord& record);
ContainerState StateOf(const ContainerRecord& record);

inline constexpr char kStartError[] = "StartError";

inline bool UsesHostNetwork(const SandboxConfig& config) {
  return config.security.namespaces.network == NamespaceMode::kNode;
}

// Marks the record as exited: code, time and reason.
void ApplyExit(ContainerRecord& record, const runtime::ExitRecord& exit, int64_t now);
// Exited without anybody knowing how: 255, Unknown.
void ApplyUnknownExit(ContainerRecord& record, int64_t now, std::string message);

// A failed StartContainer: exited, 128, StartError.
void ApplyStartError(ContainerRecord& record, int64_t started_at, int64_t now, std::string message);
// Created, but the OCI runtime found no program to run, which StartContainer will say (its words are the
// record's message). It has no process and no monitor knows it.
bool IsNeverMade(const ContainerRecord& record);

// The name that keeps a retry from making a second one.
std::string NameKey(const PodMetadata& metadata);
std::string NameKey(std::string_view sandbox_id, const ContainerMetadata& metadata);

}  // namespace berth::pod

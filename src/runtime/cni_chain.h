// SPDX-License-Identifier: Apache-2.0
// The order in which a configuration's plugins run and what each is given (CNI spec, sections 3 and
// 4). No state. Borrowed by CniNetwork for one call; calls block; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/trace.h"
#include "oci/cni.h"
#include "runtime/cni_plugins.h"

namespace berth::runtime {

// One pod's attachment, in the terms of the spec.
struct CniTarget {
  std::string container_id;
  std::string netns;  // "" for DEL when it is gone
  std::string ifname;
  std::string args;  // CNI_ARGS
  oci::RuntimeConfig runtime;
  Trace* trace = nullptr;  // of ADD
};

class CniChain {
 public:
  // `programs` as CniPlugins::FindAll gives them.
  CniChain(const CniPlugins& plugins, const oci::NetworkConfigList& list,
           std::vector<std::string> programs)
      : plugins_(plugins), list_(list), programs_(std::move(programs)) {}

  // In order, each with its predecessor's result. `step` is called with each result before the next
  // plugin runs; its error ends the chain. Nothing is undone here.
  using Step = std::function<Result<>(const std::string& result_json)>;
  Result<oci::CniResult> Add(const CniTarget& target, const Step& step) const;
  // In reverse order; ends at the first error, since what is left depends on it (a port mapping
  // must be gone before its address may be used again). `cached` is the last result of ADD; given
  // to plugins from 0.4.0 on.
  Result<> Del(const CniTarget& target, const std::optional<std::string>& cached) const;
  // From 0.4.0; OK without a call when the configuration disables it. Unimplemented for older
  // versions.
  Result<> Check(const CniTarget& target, const std::string& cached) const;
  // From 1.1.0; OK for older versions.
  Result<> Status() const;
  // From 1.1.0 unless disabled; every plugin is asked, the first error is returned.
  Result<> Gc(const std::vector<oci::CniAttachment>& valid) const;
  // FailedPrecondition when a plugin says that it does not know the list's version. One that gives
  // no usable answer to VERSION is not held against it.
  Result<> CheckVersions() const;

 private:
  Result<std::string> Run(size_t plugin, const char* command, const CniTarget* target,
                          const oci::PluginInput& input) const;
  oci::PluginInput Input() const;
  bool AtLeast(std::string_view version) const;

  const CniPlugins& plugins_;
  const oci::NetworkConfigList& list_;
  const std::vector<std::string> programs_;
};

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
#include "api/cri/handlers.h"

namespace berth::api {

namespace {
void AddCondition(v1::RuntimeStatus* status, const char* type, const Result<>& ready,
                  const char* reason, const char* prefix) {
  v1::RuntimeCondition* condition = status->add_conditions();
  condition->set_type(type);
  condition->set_status(ready.has_value());
  if (!ready) {
    condition->set_reason(reason);
    condition->set_message(prefix + ready.error().message());
  }
}

void AddHandler(const std::string& name, v1::StatusResponse* response) {
  v1::RuntimeHandler* handler = response->add_runtime_handlers();
  handler->set_name(name);
  // Not offered yet: both stay false until the spec builder does them.
  handler->mutable_features()->set_recursive_read_only_mounts(false);
  handler->mutable_features()->set_user_namespaces(false);
}
}  // namespace

// Both condition types exactly, handlers with unique names, the default also as
// "".
BERTH_CRI_HANDLER(Status) {
  (void)call;
  AddCondition(response->mutable_status(), "RuntimeReady", Ok(), "", "");
  AddCondition(response->mutable_status(), "NetworkReady", services.network.Ready(),
               "NetworkPluginNotReady", "Network plugin returns error: ");
  if (Result<> streaming = services.sessions.Ready(); !streaming)
    AddCondition(response->mutable_status(), "StreamingReady", streaming, "StreamingServerNotReady",
                 "");
  for (const auto& handler : services.runtime.Handlers()) {
    AddHandler(handler.name, response);
    if (handler.is_default) AddHandler("", response);
    if (!handler.warning.empty()) {
      v1::RuntimeCondition* condition = response->mutable_status()->add_conditions();
      condition->set_type("RuntimeVersionSafe/" + handler.name);
      condition->set_status(false);
      condition->set_reason("RuntimeTooOld");
      condition->set_message(handler.warning);
    }
  }
  response->mutable_features()->set_supplemental_groups_policy(true);
  if (request.verbose()) {
    (*response->mutable_info())["config"] = services.config_json;
    (*response->mutable_info())["cniconfig"] = services.network.ConfigJson();
  }
  return Ok();
}

}  // namespace berth::api

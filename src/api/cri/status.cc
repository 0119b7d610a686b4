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

void AddHandler(const std::string& name, const runtime::HandlerInfo& info,
                v1::StatusResponse* response) {
  v1::RuntimeHandler* handler = response->add_runtime_handlers();
  handler->set_name(name);
  handler->mutable_features()->set_recursive_read_only_mounts(info.recursive_read_only);
  handler->mutable_features()->set_user_namespaces(info.user_namespaces);
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
  bool user_namespaces = false;
  for (const auto& handler : services.runtime.Handlers()) {
    AddHandler(handler.name, handler, response);
    user_namespaces = user_namespaces || handler.user_namespaces;
    if (handler.is_default) AddHandler("", handler, response);
    if (!handler.warning.empty()) {
      v1::RuntimeCondition* condition = response->mutable_status()->add_conditions();
      condition->set_type("RuntimeVersionSafe/" + handler.name);
      condition->set_status(false);
      condition->set_reason("RuntimeTooOld");
      condition->set_message(handler.warning);
    }
  }
  response->mutable_features()->set_supplemental_groups_policy(true);
  response->mutable_features()->set_mount_options(true);
  response->mutable_features()->set_user_namespaces_host_network(user_namespaces);
  if (request.verbose()) {
    (*response->mutable_info())["config"] = services.config_json;
    (*response->mutable_info())["cniconfig"] = services.network.ConfigJson();
  }
  return Ok();
}

}  // namespace berth::api

// SPDX-License-Identifier: Apache-2.0
// RunPodSandbox: validate, join or reserve, plan, intent record, then the steps, each with its
// undo.
#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "pod/engine_impl.h"
#include "pod/record_codec.h"
#include "pod/validate.h"

namespace berth::pod {

Result<std::string> Engine::Impl::RunPodSandbox(const Call& call, const SandboxConfig& request,
                                                const std::string& handler) {
  TRY(ValidateSandboxConfig(request), "run pod sandbox");
  SandboxRecord record;
  record.handler =
      TRY(d.runtime.ResolveHandler(handler.empty() ? config.default_runtime_handler : handler),
          "run pod sandbox");
  if (HasUserNamespace(request.security.namespaces) && !HandlerOf(record.handler).user_namespaces) {
    return Error(Code::kFailedPrecondition,
                 StrCat("run pod sandbox: user namespaces are not supported by runtime handler ",
                        Quote(record.handler), " on this node"));
  }
  record.id = TRY(NewId());
  record.config = request;
  record.created_at = d.clock.WallNanos();
  record.boot_id = d.host.Facts().boot_id;
  SandboxPtr sandbox = std::make_shared<SandboxObject>(record);
  sandbox->state.Lock()->running = true;
  SandboxPtr existing;
  {
    auto locked = table.Lock();
    auto [name, fresh] = locked->sandbox_names.emplace(NameKey(request.metadata), record.id);
    if (fresh) {
      locked->sandboxes.emplace(record.id, sandbox);
    } else {
      existing = locked->sandboxes.at(name->second);
    }
  }
  if (existing) return JoinRun(call, *existing, request, record.handler);
  TRY(RunNew(sandbox), StrCat("run pod sandbox ", request.metadata.ns, "/", request.metadata.name));
  return record.id;
}

// The same request again gets the same pod: the kubelet repeats a call whose deadline has passed.
Result<std::string> Engine::Impl::JoinRun(const Call& call, SandboxObject& sandbox,
                                          const SandboxConfig& request,
                                          const std::string& handler) {
  const std::string wanted = Encode(request);
  SandboxRecord record = sandbox.state.Lock()->record;
  auto conflict = [&](std::string_view why) {
    return Error(Code::kAlreadyExists,
                 StrCat("pod ", request.metadata.ns, "/", request.metadata.name, " attempt ",
                        request.metadata.attempt, " exists as ", sandbox.id, " ", why));
  };
  if (record.handler != handler || Encode(record.config) != wanted) {
    return conflict("with another configuration");
  }
  auto state = sandbox.state.Lock();
  bool joins = state->running;
  TRY(Await(call, d.clock, sandbox.state, state, [](const auto& s) { return !s.running; }),
      StrCat("run pod sandbox: wait for ", sandbox.id));
  if ((joins || state->gone) && state->run_error) return state->run_error->Clone();
  if (state->gone) {
    return Error(Code::kUnavailable, StrCat("pod ", sandbox.id, " was removed meanwhile"));
  }
  if (state->record.phase == SandboxPhase::kReady) return sandbox.id;
  return conflict("and is not ready");
}

Result<> Engine::Impl::RunNew(const SandboxPtr& sandbox) {
  SandboxRecord record = sandbox->state.Lock()->record;
  Trace& trace = sandbox->run_trace;
  trace.Begin();
  Result<SandboxPlan> plan = Traced(&trace, "plan", [&] {
    return PlanSandbox(record.id, record.config, record.handler, d.host.Facts(), config);
  });
  if (!plan) {
    AbandonRun(sandbox, record, plan.error(), true);
    return std::move(plan.error());
  }
  record.owns_cgroup = plan->owns_cgroup;
  record.cgroup_path = plan->cgroup_path;
  Result<> intent = FAIL_STEP(
      "pod.intent", Traced(&trace, "intent record", [&] { return d.records.Put(record); }));
  if (!intent) {
    AbandonRun(sandbox, record, intent.error(), true);
    return std::move(intent.error());
  }
  Rollback undo;
  Result<> made = MakeSandbox(*plan, record, undo, trace);
  trace.End();
  if (!made) {
    std::vector<Rollback::Failure> failures = undo.Run();
    for (const auto& f : failures) {
      LogWarn(StrCat("pod ", record.id, ": undo ", f.step, ": ", f.error.message()));
    }
    AbandonRun(sandbox, record, made.error(), failures.empty());
    return made;
  }
  undo.Commit();
  bool lost = false;
  {
    auto state = sandbox->state.Lock();
    state->record = record;
    state->running = false;
    lost = state->lost;
    Emit(LifecycleEvent::Type::kCreated, sandbox);
    Emit(LifecycleEvent::Type::kStarted, sandbox);
  }
  sandbox->state.NotifyAll();
  if (lost) queue->Push(runtime::MonitorLost{record.id});
  return Ok();
}

Result<> Engine::Impl::MakeSandbox(const SandboxPlan& plan, SandboxRecord& record, Rollback& undo,
                                   Trace& trace) {
  runtime::SandboxSpec spec = plan.spec;
  spec.trace = &trace;
  // Held by us only as long as it takes: afterwards by the monitor and by the pin.
  if (plan.user_range) {
    spec.user_ns = std::make_shared<const os::UserNs>(TRY(FAIL_STEP(
        "pod.user-ns",
        Traced(&trace, "user namespace", [&] { return d.runtime.MakeUserNs(*plan.user_range); }))));
  }
  // Should our database be lost.
  SandboxRecord kept = record;
  kept.phase = SandboxPhase::kReady;
  kept.network_attached = !plan.host_network;
  spec.record = Encode(kept);
  TRY(StartParts(plan, spec, record, undo));
  record.phase = SandboxPhase::kReady;
  return TRY(FAIL_STEP("pod.ready",
                       Traced(&trace, "ready record", [&] { return d.records.Put(record); }))),
         Ok();
}

Result<> Engine::Impl::MakeCgroups(const SandboxPlan& plan, const std::string& id, Rollback& undo,
                                   Trace* trace) {
  if (plan.owns_cgroup) {
    undo.Add("control group",
             [this, path = plan.cgroup_path] { return d.host.RemoveCgroup(path); });
    TRY(FAIL_STEP("pod.cgroup", Traced(trace, "control group",
                                       [&] { return d.host.CreateCgroup(plan.cgroup_path); })));
  }
  if (!config.cgroups_for_cadvisor || plan.host_network) return Ok();
  const std::string path = NetworkCgroup(plan.cgroup_path, id, config.systemd_cgroup);
  undo.Add("control group of the network",
           [this, path] { return d.host.RemoveCgroup(path, runtime::Host::Parent::kOfOthers); });
  return Traced(trace, "control group of the network", [&] { return d.host.CreateCgroup(path); });
}

Result<> Engine::Impl::MakeNetworkNs(const SandboxPlan& plan, const runtime::SandboxSpec& spec) {
  const std::string& id = plan.spec.sandbox_id;
  return FAIL_STEP("pod.netns", Traced(spec.trace, "network namespace", [&] {
                     return spec.user_ns
                                ? d.network.PinNs(id, spec.user_ns->network, plan.net_sysctls)
                                : d.network.CreateNs(id, plan.net_sysctls);
                   }));
}

// Two chains side by side, which have both ended before anything is undone. An ADD needs its intent
// on disk and the namespace:
//   namespace -> control groups -> monitor
//         \_______
//   intent -> ADD
Result<> Engine::Impl::StartParts(const SandboxPlan& plan, const runtime::SandboxSpec& spec,
                                  SandboxRecord& record, Rollback& undo) {
  const std::string id = record.id;
  std::optional<Result<runtime::SandboxHandle>> started;
  auto start = [&] {
    Result<> groups = MakeCgroups(plan, id, undo, spec.trace);
    if (!groups) return void(started = std::move(groups.error()));
    started = FAIL_STEP("pod.monitor", d.runtime.StartSandbox(spec));
  };
  if (plan.host_network) {
    undo.Add("monitor", [this, id] { return d.runtime.StopSandbox(id); });
    start();
    record.handle = TRY(std::move(*started), "start the monitor");
    return Ok();
  }
  undo.Add("network namespace", [this, id] { return d.network.RemoveNs(id); });
  undo.Add("monitor", [this, id] { return d.runtime.StopSandbox(id); });
  undo.Add("network", [this, id] { return d.network.Detach(id); });
  Result<> made = Ok();
  Guarded<std::optional<bool>> pinned;  // the namespace is there, or will not be
  std::optional<Result<runtime::NetworkStatus>> attached;
  runtime::PodNetwork traced = plan.network;
  traced.trace = spec.trace;
  auto attach = [&] {
    Result<> prepared = FAIL_STEP("pod.prepare-network", d.network.Prepare(traced));
    if (!prepared) return void(attached = std::move(prepared.error()));
    const bool there = [&] {
      auto known = pinned.Lock();
      pinned.Wait(known, [](const auto& value) { return value.has_value(); });
      return **known;
    }();
    if (there) attached = FAIL_STEP("pod.attach", d.network.Attach(traced));
  };
  RunBoth(
      [&] {
        made = MakeNetworkNs(plan, spec);
        *pinned.Lock() = made.has_value();
        pinned.NotifyAll();
        if (made) start();
      },
      attach);
  record.network_attached = true;
  TRY(std::move(made), "network namespace");
  runtime::NetworkStatus network = TRY(std::move(*attached), "set up the network");
  record.handle = TRY(std::move(*started), "start the monitor");
  record.ips = std::move(network.ips);
  return Ok();
}

// Nothing is left: the pod never was, and its name is free. Something could not be undone: it stays
// as NotReady, so that the kubelet's StopPodSandbox and RemovePodSandbox try again.
void Engine::Impl::AbandonRun(const SandboxPtr& sandbox, SandboxRecord record, const Error& error,
                              bool clean) {
  if (clean) {
    Result<> removed = FAIL_STEP("pod.undone", d.records.RemoveSandbox(record.id));
    if (!removed) {
      LogWarn(StrCat("pod ", record.id, ": undo record: ", removed.error().message()));
      clean = false;
    }
  }
  if (clean) {
    // Its name is free before the call is over: in between, the same request would find a pod that is neither.
    sandbox->state.Lock()->run_error = error.Clone();
    Forget(sandbox);
    sandbox->state.Lock()->running = false;
    sandbox->state.NotifyAll();
    return;
  }
  {
    auto state = sandbox->state.Lock();
    state->run_error = error.Clone();
    state->running = false;
    record.phase = SandboxPhase::kNotReady;
    state->record = record;
  }
  sandbox->state.NotifyAll();
  PersistOrLog(*sandbox);
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// CreateContainer: enter the pod, join or reserve the name, intent record, root file system, user,
// spec, OCI create.
#include "base/fail_point.h"
#include "base/log.h"
#include "base/strings.h"
#include "oci/command_error.h"
#include "pod/cgroup_path.h"
#include "pod/engine_impl.h"
#include "pod/record_codec.h"
#include "pod/validate.h"

namespace berth::pod {

Result<std::string> Engine::Impl::CreateContainer(const Call& call, const std::string& sandbox_id,
                                                  const ContainerConfig& request) {
  SandboxPtr sandbox = TRY(NeedSandbox(sandbox_id), "create container");
  SandboxRecord record = TRY(EnterCreate(*sandbox), "create container");
  Result<std::string> id = CreateInSandbox(call, record, request);
  LeaveCreate(*sandbox);
  return TRY(std::move(id),
             StrCat("create container ", Quote(request.metadata.name), " in pod ", sandbox->id));
}

// Rule 18. From here until LeaveCreate the pod is not taken apart.
Result<SandboxRecord> Engine::Impl::EnterCreate(SandboxObject& sandbox) {
  auto state = sandbox.state.Lock();
  if (state->gone || state->record.phase != SandboxPhase::kReady) {
    return Error(Code::kFailedPrecondition, StrCat("pod sandbox ", sandbox.id, " is not ready"));
  }
  ++state->creating;
  return state->record;
}

void Engine::Impl::LeaveCreate(SandboxObject& sandbox) {
  --sandbox.state.Lock()->creating;
  sandbox.state.NotifyAll();
}

Result<std::string> Engine::Impl::CreateInSandbox(const Call& call, const SandboxRecord& sandbox,
                                                  const ContainerConfig& request) {
  TRY(ValidateContainerConfig(request, sandbox.config));
  ContainerRecord record;
  record.id = TRY(NewId());
  record.sandbox_id = sandbox.id;
  record.config = request;
  record.created_at = d.clock.WallNanos();
  record.log_directory = sandbox.config.log_directory;
  ContainerPtr container = std::make_shared<ContainerObject>(record);
  container->state.Lock()->op = ContainerObject::Op::kCreating;
  ContainerPtr existing;
  {
    auto locked = table.Lock();
    auto [name, fresh] =
        locked->container_names.emplace(NameKey(sandbox.id, request.metadata), record.id);
    if (fresh) {
      locked->containers.emplace(record.id, container);
    } else {
      existing = locked->containers.at(name->second);
    }
  }
  if (existing) return JoinCreate(call, *existing, request);
  TRY(CreateNew(sandbox, container));
  return record.id;
}

Result<std::string> Engine::Impl::JoinCreate(const Call& call, ContainerObject& container,
                                             const ContainerConfig& request) {
  ContainerRecord record = container.state.Lock()->record;
  auto conflict = [&](std::string_view why) {
    return Error(Code::kAlreadyExists, StrCat("attempt ", request.metadata.attempt,
                                              " exists as container ", container.id, " ", why));
  };
  if (Encode(record.config) != Encode(request)) return conflict("with another configuration");
  auto state = container.state.Lock();
  bool joins = state->op == ContainerObject::Op::kCreating;
  TRY(Await(call, d.clock, container.state, state,
            [](const auto& s) { return s.op != ContainerObject::Op::kCreating; }),
      StrCat("wait for ", container.id));
  if ((joins || state->gone) && state->create_error) return state->create_error->Clone();
  if (state->gone) {
    return Error(Code::kUnavailable, StrCat("container ", container.id, " was removed meanwhile"));
  }
  if (state->record.phase == ContainerPhase::kCreated) return container.id;
  return conflict("and is past its creation");
}

Result<image::FoundImage> Engine::Impl::FindImage(const ContainerConfig& request) {
  const std::string& reference = request.image.image;
  if (!request.image.runtime_handler.empty()) {
    TRY(d.runtime.ResolveHandler(request.image.runtime_handler), "image runtime_handler");
  }
  std::optional<image::FoundImage> found = TRY(d.images.Find(reference), "find the image");
  if (found) return std::move(*found);
  return Error(Code::kNotFound, StrCat("image ", Quote(reference), " not found; pull it first"));
}

Result<> Engine::Impl::CreateNew(const SandboxRecord& sandbox, const ContainerPtr& container) {
  ContainerRecord record = container->state.Lock()->record;
  Rollback undo;
  Trace& trace = container->create_trace;
  trace.Begin();
  bool intent_written = false;
  auto make = [&]() -> Result<> {
    image::FoundImage image =
        TRY(Traced(&trace, "find the image", [&] { return FindImage(record.config); }));
    record.image_id = image.info.id;
    // Rule 8: neither is ever empty, and both outlive the image.
    const std::string& asked = record.config.image.user_specified_image;
    const auto& tags = image.info.tags;
    record.image_ref = ImageRefOf(image);
    record.image_name = !asked.empty() ? asked : tags.empty() ? record.image_ref : tags.front();
    record.stop_signal = TRY(StopSignalOf(record.config, image));
    TRY(FAIL_STEP("container.intent",
                  Traced(&trace, "intent record", [&] { return d.records.Put(record); })));
    intent_written = true;
    return MakeContainer(sandbox, image, record, undo, trace);
  };
  Result<> made = make();
  trace.End();
  if (!made) {
    std::vector<Rollback::Failure> failures = undo.Run();
    for (const auto& f : failures) {
      LogWarn(StrCat("container ", record.id, ": undo ", f.step, ": ", f.error.message()));
    }
    if (intent_written && failures.empty()) {
      // The record goes last: it is what finds the rest after a crash.
      Result<> removed = FAIL_STEP("container.undone", d.records.RemoveContainer(record.id));
      if (!removed) failures.push_back({"record", std::move(removed.error())});
    }
    AbandonCreate(container, record, made.error(), failures.empty());
    return made;
  }
  undo.Commit();
  const SandboxPtr home = HomeOf(*container);
  std::optional<runtime::ExitRecord> exit;
  bool lost = false;
  {
    auto state = container->state.Lock();
    state->record = record;
    state->op = ContainerObject::Op::kNone;
    exit = std::exchange(state->pending_exit, std::nullopt);
    lost = state->pending_lost;
    Emit(LifecycleEvent::Type::kCreated, home, *container);
  }
  container->state.NotifyAll();
  if (exit) queue->Push(runtime::ContainerExited{record.sandbox_id, record.id, *exit});
  if (lost) queue->Push(runtime::MonitorLost{record.sandbox_id});
  return Ok();
}

Result<> Engine::Impl::MakeContainer(const SandboxRecord& sandbox, const image::FoundImage& image,
                                     ContainerRecord& record, Rollback& undo, Trace& trace) {
  const std::string id = record.id;
  PodShift shift = TRY(ShiftOf(sandbox));
  undo.Add("root file system", [this, id] { return d.images.RemoveRootfs(id); });
  image::Rootfs rootfs =
      TRY(FAIL_STEP("container.rootfs",
                    Traced(&trace, "root file system",
                           [&] { return d.images.PrepareRootfs(id, record.image_id, shift.ids); })),
          "root file system");
  image::ResolvedUser user =
      TRY(FAIL_STEP("container.user", Traced(&trace, "user",
                                             [&] {
                                               return d.images.ResolveUser(
                                                   record.image_id,
                                                   MakeUserQuery(record.config, image));
                                             })),
          "user");
  record.user = {user.uid, user.gid, user.additional_gids};
  record.cgroups_path = ContainerCgroupsPath(sandbox.cgroup_path, id, NamesOf(config));
  MountSources sources =
      TRY(Traced(&trace, "mounts", [&] { return ResolveMounts(shift, record); }));
  record.spec_json = TRY(Traced(
      &trace, "spec", [&] { return MakeSpec(sandbox, image, user, sources.mounts, record); }));

  runtime::CreateRequest request;
  request.volumes = std::move(sources.volumes);
  request.sandbox_id = sandbox.id;
  request.container_id = id;
  request.trace = &trace;
  request.spec_json = record.spec_json;
  request.rootfs = std::move(rootfs.mount);
  // Should our database be lost.
  ContainerRecord kept = record;
  kept.phase = ContainerPhase::kCreated;
  request.record = Encode(kept);
  request.terminal = record.config.tty;
  request.stdin_open = record.config.stdin_open;
  request.stdin_once = record.config.stdin_once;
  // Rule 26: without both, the output is discarded.
  if (!record.log_directory.empty() && !record.config.log_path.empty()) {
    request.log_directory = record.log_directory;
    request.log_path = record.config.log_path;
  }
  // crun leaves it when it could not set a limit, and its delete does not know the container then.
  undo.Add("control group",
           [this, path = CgroupOf(record.cgroups_path, config.systemd_cgroup)]() -> Result<> {
             Result<> removed = d.host.RemoveCgroup(path, runtime::Host::Parent::kOfOthers);
             if (!removed)
               LogDebug(StrCat("control group ", path, ": ", removed.error().message()));
             return Ok();
           });
  undo.Add("container", [this, id, pod = sandbox.id] { return d.runtime.Delete(pod, id); });
  Result<int> pid = FAIL_STEP("container.create", d.runtime.Create(std::move(request)));
  if (!pid && oci::IsCommandError(pid.error().message())) {
    // docs/decisions/0010-missing-command.md
    record.reason = kStartError;
    record.message = pid.error().message();
  } else {
    record.pid = TRY(std::move(pid));
  }
  record.phase = ContainerPhase::kCreated;
  return TRY(FAIL_STEP("container.created",
                       Traced(&trace, "created record", [&] { return d.records.Put(record); }))),
         Ok();
}

// As AbandonRun: gone without a trace, or left as exited so that RemoveContainer tries the undo
// again.
void Engine::Impl::AbandonCreate(const ContainerPtr& container, ContainerRecord record,
                                 const Error& error, bool clean) {
  if (clean) {
    // As there: first its name, then the end of the call.
    container->state.Lock()->create_error = error.Clone();
    Forget(container);
    container->state.Lock()->op = ContainerObject::Op::kNone;
    container->state.NotifyAll();
    return;
  }
  {
    auto state = container->state.Lock();
    state->create_error = error.Clone();
    state->op = ContainerObject::Op::kNone;
    ApplyExit(record, {.exit_code = 128, .finished_at = d.clock.WallNanos()}, d.clock.WallNanos());
    record.reason = "CreateError";
    record.message = error.message();
    state->record = record;
  }
  container->state.NotifyAll();
  PersistOrLog(*container);
}

}  // namespace berth::pod

// SPDX-License-Identifier: Apache-2.0
// berth: the operator's command. Parses arguments, calls one verb, prints one error. One thread.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/commands.h"

namespace {

using berth::Result;
using berth::cli::Client;

struct Arguments {
  std::string endpoint = "unix:///run/berth/berth.sock";
  std::string state = "/run/berth";
  std::string reference;
  std::string path;
  std::string name;
  std::string container;
  std::vector<std::string> command;
  std::vector<std::string> pods;
  bool all = false;
  bool heal = false;
  berth::cli::RunOptions run;
  // The verb that was chosen; its value is the exit code.
  std::function<Result<int>(Client&)> action;
};

template <class F>
std::function<void()> Choose(Arguments& a, F verb) {
  return [&a, verb] {
    a.action = [verb](Client& client) -> Result<int> {
      TRY(verb(client));
      return 0;
    };
  };
}

void AddImageVerbs(CLI::App& app, Arguments& a) {
  auto* image = app.add_subcommand("image", "images of the node");
  image->require_subcommand(1);
  auto* pull = image->add_subcommand("pull", "pull an image from its registry");
  pull->add_option("reference", a.reference)->required();
  pull->callback(Choose(a, [&a](Client& c) { return berth::cli::PullImage(c, a.reference); }));
  auto* list = image->add_subcommand("ls", "list images");
  list->callback(Choose(a, [](Client& c) { return berth::cli::ListImages(c); }));
  auto* remove = image->add_subcommand("rm", "remove an image with all its names");
  remove->add_option("reference", a.reference)->required();
  remove->callback(Choose(a, [&a](Client& c) { return berth::cli::RemoveImage(c, a.reference); }));
  auto* import =
      image->add_subcommand("import", "load an OCI layout, an OCI archive or a docker archive");
  import->add_option("path", a.path)->required();
  import->add_option("--name", a.name, "name it so, whatever the archive says");
  import->callback(
      Choose(a, [&a](Client&) { return berth::cli::ImportImage(a.state, a.path, a.name); }));
  auto* pulls = image->add_subcommand("pulls", "pulls that are going on, and how far they are");
  pulls->callback(Choose(a, [&a](Client&) { return berth::cli::ListPulls(a.state); }));
  auto* verify = image->add_subcommand("verify", "compare layers on disk with what was unpacked");
  verify->add_option("reference", a.reference, "one image; without: all of them");
  verify->add_flag("--heal", a.heal, "fetch bad layers again, and nothing else");
  verify->callback([&a] {
    a.action = [&a](Client&) { return berth::cli::VerifyImages(a.state, a.reference, a.heal); };
  });
}

void AddPodVerbs(CLI::App& app, Arguments& a) {
  auto* status = app.add_subcommand("status", "is the runtime ready, and what it pulls");
  status->callback(Choose(a, [&a](Client& c) { return berth::cli::ShowStatus(c, a.state); }));
  auto* metrics = app.add_subcommand("metrics", "the daemon's figures in Prometheus' text format");
  metrics->callback(Choose(a, [&a](Client&) { return berth::cli::ShowMetrics(a.state); }));
  auto* run = app.add_subcommand("run", "run a pod of one container");
  run->add_option("image", a.run.image)->required();
  run->add_option("command", a.run.command, "instead of the image's");
  run->add_option("--name", a.run.name);
  run->add_option("--log-directory", a.run.log_directory);
  run->add_flag("--host-network", a.run.host_network);
  run->callback(Choose(a, [&a](Client& c) { return berth::cli::RunPod(c, a.run); }));
  auto* ps = app.add_subcommand("ps", "list pods and containers");
  ps->callback(Choose(a, [](Client& c) { return berth::cli::ListPods(c); }));
  auto* logs = app.add_subcommand("logs", "print a container's log");
  logs->add_option("container", a.container)->required();
  logs->callback(Choose(a, [&a](Client& c) { return berth::cli::ShowLog(c, a.container); }));
  auto* exec = app.add_subcommand("exec", "run a command in a container and print what it says");
  exec->add_option("container", a.container)->required();
  exec->add_option("command", a.command)->required();
  exec->callback([&a] {
    a.action = [&a](Client& c) { return berth::cli::ExecSync(c, a.container, a.command); };
  });
  auto* trace = app.add_subcommand("trace", "what each step of a start took");
  trace->add_option("id", a.container, "a pod, with its containers, or a container")->required();
  trace->callback(Choose(a, [&a](Client& c) { return berth::cli::ShowTrace(c, a.container); }));
  auto* remove = app.add_subcommand("rm", "stop and remove pods");
  remove->add_option("pods", a.pods);
  remove->add_flag("--all,-a", a.all, "every pod");
  remove->callback(Choose(a, [&a](Client& c) { return berth::cli::RemovePods(c, a.pods, a.all); }));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Berth, a Kubernetes container runtime: the operator's command");
  Arguments arguments;
  app.add_option("--endpoint", arguments.endpoint, "CRI socket");
  app.add_option("--state", arguments.state, "berthd's state directory: its admin socket is there");
  app.set_version_flag("--version", BERTH_VERSION);
  app.require_subcommand(1);
  AddImageVerbs(app, arguments);
  AddPodVerbs(app, arguments);
  CLI11_PARSE(app, argc, argv);
  Client client(arguments.endpoint);
  Result<int> code = arguments.action(client);
  if (!code) {
    std::fprintf(stderr, "berth: %s\n", code.error().message().c_str());
    return 1;
  }
  return *code;
}

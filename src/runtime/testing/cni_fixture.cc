// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/cni_fixture.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "os/netns.h"
#include "os/process.h"
#include "os/testing/private_mounts.h"

namespace berth::runtime {

namespace {

// The last octet comes from the container's id, so that pods differ.
constexpr std::string_view kGoodAnswer = R"SH(
case $CNI_COMMAND in
ADD)
  n=$(printf %s "$CNI_CONTAINERID" | cksum | cut -d' ' -f1)
  printf '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"%s"}],' "$CNI_NETNS"
  printf '"ips":[{"address":"10.1.%d.%d/16","interface":0}],"dns":{}}' $((n / 250 % 250)) $((n % 250)) ;;
VERSION)
  printf '{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}' ;;
esac
)SH";

void Make(const os::DirFd& dir, std::string_view name) {
  EXPECT_TRUE(dir.MakeDir(name, 0755)) << name;
}

}  // namespace

std::string InOwnNetwork(const std::function<void()>& work) {
  std::string why;
  std::string skip = os::InPrivateMounts([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      why = StrCat("unshare: ", std::strerror(errno));
      return;
    }
    ASSERT_TRUE(os::BringLoopbackUp());
    ASSERT_EQ(::mount("test", "/run", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
    work();
  });
  return skip.empty() ? why : skip;
}

std::string Shell(const std::string& command) {
  os::RunOptions run;
  run.spawn.path = "/bin/sh";
  run.spawn.args = {"sh", "-c", command};
  run.spawn.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  run.spawn.new_session = true;
  Result<os::RunOutput> output = os::Run(run);
  if (!output) return output.error().message();
  std::string text = output->out + output->err;
  if (!output->status.ok()) text += os::Describe(output->status);
  return text;
}

CniFixture::CniFixture() : temp_(std::move(*os::TempDir::Make())) {
  for (std::string_view name : {"conf", "bin", "log"}) Make(temp_.dir(), name);
}

CniNetworkOptions CniFixture::Options() const {
  CniNetworkOptions options;
  options.conf_dirs = {StrCat(path(), "/conf")};
  options.bin_dirs = {StrCat(path(), "/bin")};
  options.state_dir = StrCat(path(), "/state");
  options.netns_dir = StrCat(path(), "/netns");
  options.default_network.enabled = false;
  return options;
}

std::unique_ptr<CniNetwork> CniFixture::Open() const {
  Result<std::unique_ptr<CniNetwork>> network = CniNetwork::Open(Options());
  if (!network) {
    ADD_FAILURE() << network.error().message();
    return nullptr;
  }
  return std::move(*network);
}

void CniFixture::WriteConf(const std::string& name, const std::string& text) const {
  os::DirFd dir = *temp_.dir().OpenDir("conf");
  ASSERT_TRUE(dir.WriteFile(name, text, 0644));
}

void CniFixture::WritePlugin(const std::string& type, const std::string& body) const {
  const std::string log = StrCat(path(), "/log");
  std::string script = StrCat("#!/bin/sh\nIN=$(cat)\n", "log='", log, "'\n");
  script += R"SH(t=${0##*/}
echo "$CNI_COMMAND $t" >> $log/calls
n=$(wc -l < $log/calls)
printf '%s' "$IN" > $log/$n.$CNI_COMMAND.$t.in
env | grep -v '^PWD=\|^_=\|^SHLVL=\|^OLDPWD=' | LC_ALL=C sort > $log/$n.$CNI_COMMAND.$t.env
)SH";
  script += body.empty() ? std::string(kGoodAnswer) : body;
  os::DirFd dir = *temp_.dir().OpenDir("bin");
  ASSERT_TRUE(dir.WriteFile(type, script, 0755));
}

std::string CniFixture::Calls() const { return Logged("calls"); }

std::string CniFixture::Logged(const std::string& name) const {
  return temp_.dir().OpenDir("log")->ReadFile(name, 4U << 20).value_or("");
}

void CniFixture::ClearLog() const {
  ASSERT_TRUE(temp_.dir().RemoveTree("log"));
  Make(temp_.dir(), "log");
}

std::string CniFixture::StateFiles() const {
  Result<os::DirFd> dir = temp_.dir().OpenDir("state");
  if (!dir) return "";
  std::vector<std::string> names = *dir->List();
  std::erase_if(names, [](const std::string& n) { return n == "ipam" || n == "default-network"; });
  std::sort(names.begin(), names.end());
  return Join(names, " ");
}

}  // namespace berth::runtime

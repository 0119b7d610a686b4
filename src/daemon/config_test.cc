// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "os/dir_fd.h"

namespace berth::daemon {
namespace {

TEST(ConfigTest, DefaultTextParsesToTheDefaults) {
  Config config;
  Result<> read = ReadConfig(DefaultConfigText(), "default", &config);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(ConfigJson(config), ConfigJson(Config()));
}

TEST(ConfigTest, ReadsEveryKindOfKeyAndHandlers) {
  Config config;
  Result<> read = ReadConfig(R"(root = "/r"
[runtime]
cgroup_driver = "systemd"
[runtime.handlers.runsc]
path = "/usr/bin/runsc"
args = ["--platform=systrap"]
[network]
default_network = false
parallel = 3
bin_dirs = ["/a", "/b"]
)",
                             "t.toml", &config);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(config.root, "/r");
  EXPECT_EQ(config.cgroup_driver, "systemd");
  EXPECT_EQ(config.handlers.at("runsc").args.at(0), "--platform=systrap");
  EXPECT_FALSE(config.default_network);
  EXPECT_EQ(config.cni_parallel, 3);
  EXPECT_EQ(config.cni_bin_dirs.size(), 2U);
}

TEST(ConfigTest, EveryMistakeNamesFileLineAndKey) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"root = 1", "config t.toml, line 1: root: must be a text"},
           {"\n[network]\nparallel = 0", "line 3: network.parallel: 0 is not from 1 to 256"},
           {"[network]\nbin_dir = [\"/x\"]",
            "network.bin_dir: unknown key; did you mean network.bin_dirs?"},
           {"zzzzzzzz = 1", "zzzzzzzz: unknown key"},
           {"log_level = \"loud\"", "log_level: \"loud\" is not one of its values"},
           {"[network]\nbin_dirs = [1]", "network.bin_dirs: must be a list of texts"},
           {"[runtime.handlers.x]\nargs = []", "runtime.handlers.x: path is missing"},
           {"[runtime.handlers.x]\nbin = 1", "runtime.handlers.x.bin: unknown key"},
           {"network = 5", "network: "},
           {"root = ", "config t.toml, line 1: "},
           {"[[[", "config t.toml, line 1: "},
           {"[", "config t.toml, line 1: "},
           {"a = [[[", "config t.toml, line 1: "},
           {"rGa\xd2\x99=\nc",
            "config t.toml, line 1: a character that is not ASCII outside of strings"},
           // Where the check sees a string and the parser does not.
           {"ca =1\"/e\xd2\x99Gra9", "config t.toml, line 1: "}}) {
    Config config;
    Result<> read = ReadConfig(c.text, "t.toml", &config);
    ASSERT_FALSE(read) << c.text;
    EXPECT_EQ(read.error().code(), Code::kInvalidArgument);
    EXPECT_NE(read.error().message().find(c.message), std::string::npos) << read.error().message();
  }
}

TEST(ConfigTest, PartsAreReadInOrderAfterTheFile) {
  auto temp = os::TempDir::Make();
  ASSERT_TRUE(temp);
  ASSERT_TRUE(temp->dir().WriteFile("config.toml", "root = \"/one\"\nstate = \"/s\"", 0600));
  auto parts = temp->dir().MakeDir("conf.d", 0700);
  ASSERT_TRUE(parts);
  ASSERT_TRUE(parts->WriteFile("20.toml", "root = \"/three\"", 0600));
  ASSERT_TRUE(parts->WriteFile("10.toml", "root = \"/two\"", 0600));
  ASSERT_TRUE(parts->WriteFile("ignored.txt", "nonsense", 0600));
  Result<Config> config = LoadConfig(temp->path() + "/config.toml", true);
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->root, "/three");
  EXPECT_EQ(config->state, "/s");
  EXPECT_TRUE(config->handlers.contains("crun"));
  EXPECT_TRUE(config->handlers.contains("runc"));
}

TEST(ConfigTest, AMissingFileIsAnErrorOnlyWhenItWasNamed) {
  EXPECT_TRUE(LoadConfig("/nonexistent/config.toml", false));
  Result<Config> named = LoadConfig("/nonexistent/config.toml", true);
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code(), Code::kInvalidArgument);
  EXPECT_NE(named.error().message().find("/nonexistent/config.toml"), std::string::npos);
}

TEST(ConfigTest, DocumentationPageIsCurrent) {
  auto docs = os::DirFd::OpenTrusted(std::string(BERTH_SOURCE_DIR) + "/docs");
  ASSERT_TRUE(docs);
  Result<std::string> page = docs->ReadFile("config.md", 1U << 20);
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ(*page, ConfigDocumentation())
      << "refresh: build/bin/berthd --print-config-doc > docs/config.md";
}

TEST(ConfigTest, JsonHasNoPasswords) {
  Config config;
  config.http_proxy = "http://user:p@ss@proxy.test:3128";
  config.https_proxy = "user:secret@proxy.test:3128";
  const auto image = nlohmann::json::parse(ConfigJson(config))["image"];
  EXPECT_EQ(image["http_proxy"], "http://***@proxy.test:3128");
  EXPECT_EQ(image["https_proxy"], "***@proxy.test:3128");
  config.http_proxy = "http://proxy.test:3128";
  EXPECT_EQ(nlohmann::json::parse(ConfigJson(config))["image"]["http_proxy"], config.http_proxy);
}

TEST(ConfigTest, JsonHasTheStateDirThatCritestReads) {
  Config config;
  config.state = "/x";
  EXPECT_EQ(nlohmann::json::parse(ConfigJson(config))["stateDir"], "/x");
}

}  // namespace
}  // namespace berth::daemon

// SPDX-License-Identifier: Apache-2.0
#include "monitor/protocol.h"

#include <gtest/gtest.h>

#include "monitor/call.h"
#include "monitor/kill.h"
#include "monitor/oom.h"

namespace berth::monitor {
namespace {

template <class T>
Result<> Parse(const std::string& body, T& out) {
  wire::Reader reader(body);
  return Decode(reader, out);
}

template <class T>
std::string Body(const T& message) {
  wire::Writer w;
  Encode(w, message);
  return w.Take();
}

Setup SomeSetup() {
  Setup m;
  m.sandbox_id = "abc";
  m.pod_path = "/run/x";
  m.new_ipc = true;
  m.has_shm = m.has_user_ns = true;
  m.root_id = 65536;
  m.hostname = "host";
  m.sysctls = {{"kernel.shmmax", "1"}};
  m.runtime_path = "/usr/bin/crun";
  m.runtime_root = "/run/r";
  m.runtime_args = {"--systemd-cgroup"};
  m.private_paths = {"/sys/fs/cgroup"};
  m.detach_paths = {"/sys/fs/cgroup/unified"};
  return m;
}

HelloAnswer SomeHello() {
  HelloAnswer m;
  m.pid = 7;
  m.warning = "w";
  m.containers = {{"a", Phase::kRunning, 8, {}}, {"b", Phase::kExited, 9, Exit{137, 9, true, 5}}};
  return m;
}

// Whatever is cut off or changed: an error or a value, never a crash, and never a short packet
// taken for a whole one.
template <class T>
void ExpectRobust(const T& message) {
  const std::string body = Body(message);
  T whole;
  ASSERT_TRUE(Parse(body, whole));
  EXPECT_EQ(Body(whole), body);
  T out;
  for (size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(Parse(body.substr(0, size), out = {}));
  EXPECT_FALSE(Parse(body + "x", out = {}));
  for (size_t i = 0; i < body.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = body;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      (void)Parse(changed, out = {});
    }
  }
}

// Version 3: a peer of version 2 reads what does not say of them.
TEST(Protocol, VolumesAndUserNamespacesComeAtTheEnd) {
  Create create{"c", true, true, false, true, true, "app/0.log", 9, 0};
  const std::string without = Body(create);
  create.volumes = 2;
  EXPECT_EQ(Body(create).substr(0, without.size()), without);
  Create read;
  ASSERT_TRUE(Parse(Body(create), read));
  EXPECT_EQ(read.volumes, 2U);
  EXPECT_FALSE(Parse(Body(create).substr(0, without.size() + 2), read));
  create.volumes = kMaxVolumes + 1;
  EXPECT_EQ(Parse(Body(create), read).error().code(), Code::kInvalidArgument);
  HelloAnswer hello = SomeHello();
  const std::string old = Body(hello);
  hello.user_ns_fd = 9;
  EXPECT_EQ(Body(hello).substr(0, old.size()), old);
  HelloAnswer heard;
  ASSERT_TRUE(Parse(Body(hello), heard));
  EXPECT_EQ(heard.user_ns_fd, 9U);
}

// Version 4: what does not ask for times is as before, and only who asks is told.
TEST(Protocol, TimesComeAtTheEndAndOnlyWhenAskedFor) {
  Create create{"c", true, true, false, true, true, "app/0.log", 9, 0};
  const std::string without = Body(create);
  create.timed = true;
  Create read;
  ASSERT_TRUE(Parse(Body(create), read));
  EXPECT_TRUE(read.timed);
  EXPECT_EQ(read.volumes, 0U);
  ASSERT_TRUE(Parse(without, read = {}));
  EXPECT_FALSE(read.timed);
  EXPECT_FALSE(Parse(Body(create).substr(0, without.size() + 2), read = {}));
  ContainerCall start;
  ASSERT_TRUE(Parse(Body(ContainerCall{"c", 10, true}), start));
  EXPECT_TRUE(start.timed);
  EXPECT_EQ(Body(ContainerCall{"c", 10, true}).size(),
            Body(ContainerCall{"c", 10, false}).size() + 1);
  PidAnswer answer{12, ProgramTime{5, 6, 7}};
  PidAnswer heard;
  ASSERT_TRUE(Parse(Body(answer), heard));
  ASSERT_TRUE(heard.time);
  EXPECT_EQ(heard.time->began_at, 5);
  EXPECT_EQ(heard.time->took_us, 6U);
  EXPECT_EQ(heard.time->cpu_us, 7U);
  EXPECT_FALSE(Parse(Body(answer).substr(0, 8), heard = {}));
  answer.time->began_at = -1;
  EXPECT_EQ(Parse(Body(answer), heard = {}).error().code(), Code::kInvalidArgument);
}

TEST(Protocol, ASealedProgramIsTheEndOfASetup) {
  auto setup = SomeSetup();
  const std::string without = Body(setup);
  setup.has_program = true;
  setup.program = {1, 2, 3, 4};
  decltype(setup) read;
  ASSERT_TRUE(Parse(Body(setup), read));
  EXPECT_TRUE(read.has_program);
  EXPECT_EQ(read.program, setup.program);
  ASSERT_TRUE(Parse(without, read = {}));
  EXPECT_FALSE(read.has_program);
  for (size_t size = without.size() + 1; size < Body(setup).size(); ++size)
    EXPECT_FALSE(Parse(Body(setup).substr(0, size), read = {})) << size;
}

TEST(Protocol, EveryMessageSurvivesTheTripAndCorruption) {
  ExpectRobust(Hello{});
  ExpectRobust(SomeSetup());
  ExpectRobust(Create{"c", true, true, false, true, true, "app/0.log", 9, 0});
  ExpectRobust(ContainerCall{"c", 10});
  ExpectRobust(Signal{"c", 15});
  ExpectRobust(Exec{"c", "e", true, true, 3});
  ExpectRobust(ExecKill{"e"});
  ExpectRobust(Attach{"c", true, false, true});
  ExpectRobust(SetupAnswer{7, 8});
  ExpectRobust(SomeHello());
  ExpectRobust(PidAnswer{12});
  ExpectRobust(TimeAnswer{ProgramTime{1, 2, 3}});
  ExpectRobust(AttachAnswer{true, false, true, true});
  ExpectRobust(ContainerExited{"c", Exit{1, 0, false, 2}});
  ExpectRobust(ExecExited{"e", Exit{0, 0, false, 2}});
}

TEST(Protocol, RefusesNamesThatCouldLeadElsewhere) {
  Create create;
  for (const char* id : {"", "..", "a/b", "A", "a.b"}) {
    Create m{id, false, false, false, true, false, "", 0};
    Result<> parsed = Parse(Body(m), create = {});
    ASSERT_FALSE(parsed) << id;
    EXPECT_EQ(parsed.error().code(), Code::kInvalidArgument);
  }
  for (const char* path : {"", "/abs", "../x", "a/../b", "a//b", "./a"}) {
    Create m{"c", false, false, false, true, true, path, 0};
    EXPECT_FALSE(Parse(Body(m), create = {})) << path;
  }
}

TEST(Protocol, ReplyCarriesTheError) {
  const std::string packet = ErrorReply(5, Error(Code::kNotFound, "container x: not found"));
  wire::Reader r(packet);
  const Header header = *DecodeHeader(r);
  EXPECT_EQ(header.type, Type::kReply);
  EXPECT_EQ(header.id, 5U);
  Result<> status = DecodeReplyStatus(r);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), Code::kNotFound);
  EXPECT_EQ(status.error().message(), "container x: not found");
}

TEST(ExitRecord, IsReadBackAndNothingElseIs) {
  const Exit exit{137, 9, true, 1'700'000'000'000'000'001};
  EXPECT_EQ(ExitToText(exit), "1 137 9 1 1700000000000000001\n");
  const Exit back = *ExitFromText(ExitToText(exit));
  EXPECT_EQ(back.code, 137U);
  EXPECT_TRUE(back.oom_killed);
  for (const char* text : {"", "1 137 9 1 17", "2 0 0 0 1\n", "1 256 0 0 1\n", "1 0 0 2 1\n",
                           "1 0 0 0 -1\n", "1 0 0\n"})
    EXPECT_FALSE(ExitFromText(text)) << text;
}

TEST(LastMessage, TakesTheLastJsonMessageElseTheText) {
  EXPECT_EQ(LastMessage("{\"level\":\"warning\",\"msg\":\"first\"}\n{\"msg\":\"exec "
                        "\\\"x\\\"\\nfailed\",\"level\":\"error\"}\n"),
            "exec \"x\" failed");
  EXPECT_EQ(LastMessage("  plain text\n"), "plain text");
  EXPECT_EQ(LastMessage(""), "");
  EXPECT_EQ(LastMessage("{\"msg\":\"cut \\"), "cut \\");
}

TEST(KillableGroup, IsNeverOneOfTheMonitor) {
  const std::map<std::string, std::string> own{{"pids", "/system/berth"}, {"memory", "/"}};
  EXPECT_EQ(KillableGroup({{"pids", "/pod/c"}}, own), "/pod/c");
  EXPECT_EQ(KillableGroup({{"pids", "/system/berth/c"}}, own), "/system/berth/c");
  EXPECT_EQ(KillableGroup({{"pids", "/system/berth"}}, own), "");
  EXPECT_EQ(KillableGroup({{"pids", "/system"}, {"memory", "/"}}, own), "");
  EXPECT_EQ(KillableGroup({{"", "/../x"}}, own), "");
}

TEST(OomKills, ReadsBothVersionsOfTheFile) {
  EXPECT_EQ(OomKills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"), 2);
  EXPECT_EQ(OomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
  EXPECT_EQ(OomKills("oom_kill_disable 1\nunder_oom 1\n"), 0);
}

}  // namespace
}  // namespace berth::monitor

// SPDX-License-Identifier: Apache-2.0
// What a berth-stream may ask, packet by packet, over the engine's fakes.
#include "api/sessions/desk.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "pod/testing/engine_world.h"

namespace berth::sessions {
namespace {

using stream::Kind;
using stream::Type;

class DeskTest : public testing::Test {
 protected:
  DeskTest() { std::tie(pod_, container_) = world_.Running(); }

  template <class T>
  Desk::Answer Ask(Type type, const T& body) {
    Result<Desk::Answer> answer = desk_.Handle(stream::Packet(type, ++id_, body));
    EXPECT_TRUE(answer) << answer.error().message();
    return answer ? std::move(*answer) : Desk::Answer();
  }
  // The answer's body; the error that it carries.
  template <class T>
  Result<T> Read(const Desk::Answer& answer) {
    wire::Reader reader(answer.packet);
    const stream::Header header = TRY(stream::DecodeHeader(reader));
    EXPECT_EQ(header.type, Type::kReply);
    EXPECT_EQ(header.id, id_);
    TRY(stream::DecodeReplyStatus(reader));
    T body;
    TRY(stream::Decode(reader, body));
    return body;
  }
  Result<stream::Redeemed> Redeem(Session session) {
    const Kind kind = KindOf(session);
    const std::string token = TRY(tokens_.Issue(std::move(session)));
    return Read<stream::Redeemed>(Ask(Type::kRedeem, stream::Redeem{kind, token}));
  }
  pod::ExecOptions Exec() {
    pod::ExecOptions options;
    options.container_id = container_;
    options.command = {"sh"};
    options.std_in = options.std_out = true;
    return options;
  }

  pod::World world_;
  TokenTable tokens_{world_.clock};
  Desk desk_{*world_.engine, tokens_};
  std::string pod_, container_;
  uint64_t id_ = 0;
};

TEST_F(DeskTest, ExecIsRedeemedAndBegunOnce) {
  Result<stream::Redeemed> redeemed = Redeem(Exec());
  ASSERT_TRUE(redeemed) << redeemed.error().message();
  EXPECT_TRUE(redeemed->std_in && redeemed->std_out);
  EXPECT_FALSE(redeemed->std_err || redeemed->terminal);
  EXPECT_EQ(world_.runtime.CountCalls("StartExec"), 0U);
  Desk::Answer answer = Ask(Type::kBegin, stream::SessionCall{redeemed->session});
  Result<stream::Begun> begun = Read<stream::Begun>(answer);
  ASSERT_TRUE(begun) << begun.error().message();
  EXPECT_TRUE(begun->has_stdin && begun->has_stdout && begun->has_result);
  EXPECT_FALSE(begun->has_stderr || begun->has_terminal || begun->has_dialer);
  ASSERT_EQ(answer.fds.size(), 3U);
  auto session = world_.runtime.TakeSession();
  ASSERT_TRUE(session);
  EXPECT_EQ(::write(session->std_out.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(answer.fds[1].get(), &byte, 1), 1);
  Result<stream::Begun> again =
      Read<stream::Begun>(Ask(Type::kBegin, stream::SessionCall{redeemed->session}));
  ASSERT_FALSE(again);
  pod::ExpectError(again.error(), Code::kNotFound, "is not open");
}

TEST_F(DeskTest, TerminalIsTheOnlyStreamOfItsExec) {
  pod::ExecOptions options = Exec();
  options.tty = true;
  Result<stream::Redeemed> redeemed = Redeem(options);
  EXPECT_TRUE(redeemed->terminal);
  Desk::Answer answer = Ask(Type::kBegin, stream::SessionCall{redeemed->session});
  Result<stream::Begun> begun = Read<stream::Begun>(answer);
  ASSERT_TRUE(begun) << begun.error().message();
  EXPECT_TRUE(begun->has_terminal && begun->has_result);
  EXPECT_FALSE(begun->has_stdin || begun->has_stdout || begun->has_stderr);
  EXPECT_EQ(answer.fds.size(), 2U);
}

TEST_F(DeskTest, PortForwardGetsItsPortsAndADialer) {
  Result<stream::Redeemed> redeemed = Redeem(pod::PortForwardOptions{pod_, {80, 443}});
  ASSERT_TRUE(redeemed) << redeemed.error().message();
  EXPECT_EQ(redeemed->ports, (std::vector<uint32_t>{80, 443}));
  Desk::Answer answer = Ask(Type::kBegin, stream::SessionCall{redeemed->session});
  Result<stream::Begun> begun = Read<stream::Begun>(answer);
  ASSERT_TRUE(begun) << begun.error().message();
  EXPECT_TRUE(begun->has_dialer);
  EXPECT_FALSE(begun->has_result);
  EXPECT_EQ(answer.fds.size(), 1U);
}

TEST_F(DeskTest, AttachIsBegun) {
  pod::AttachOptions options;
  options.container_id = container_;
  options.std_out = options.std_err = true;
  Result<stream::Redeemed> redeemed = Redeem(options);
  ASSERT_TRUE(redeemed) << redeemed.error().message();
  Desk::Answer answer = Ask(Type::kBegin, stream::SessionCall{redeemed->session});
  Result<stream::Begun> begun = Read<stream::Begun>(answer);
  ASSERT_TRUE(begun) << begun.error().message();
  EXPECT_TRUE(begun->has_stdout && begun->has_stderr && begun->has_result);
  EXPECT_EQ(answer.fds.size(), 3U);
}

TEST_F(DeskTest, WhatCannotBeginSaysWhyAndIsForgotten) {
  Result<stream::Redeemed> redeemed = Redeem(Exec());
  ASSERT_TRUE(world_.engine->StopContainer({}, container_, std::chrono::seconds(0)));
  Result<stream::Begun> begun =
      Read<stream::Begun>(Ask(Type::kBegin, stream::SessionCall{redeemed->session}));
  ASSERT_FALSE(begun);
  pod::ExpectError(begun.error(), Code::kFailedPrecondition, "is not running");
}

TEST_F(DeskTest, AbandonedSessionDoesNotBegin) {
  Result<stream::Redeemed> redeemed = Redeem(Exec());
  Desk::Answer answer = Ask(Type::kAbandon, stream::SessionCall{redeemed->session});
  EXPECT_EQ(answer.packet, stream::OkReply(id_));
  EXPECT_FALSE(Read<stream::Begun>(Ask(Type::kBegin, stream::SessionCall{redeemed->session})));
  EXPECT_EQ(world_.runtime.CountCalls("StartExec"), 0U);
}

TEST_F(DeskTest, UnknownTokenIsNotFound) {
  Result<stream::Redeemed> redeemed =
      Read<stream::Redeemed>(Ask(Type::kRedeem, stream::Redeem{Kind::kExec, "nosuch"}));
  ASSERT_FALSE(redeemed);
  pod::ExpectError(redeemed.error(), Code::kNotFound, "token is not known");
}

TEST_F(DeskTest, HowManyAreBeingOpenedIsLimited) {
  for (size_t i = 0; i < Desk::kMostRedeemed; ++i) ASSERT_TRUE(Redeem(Exec()));
  Result<stream::Redeemed> more = Redeem(Exec());
  ASSERT_FALSE(more);
  pod::ExpectError(more.error(), Code::kResourceExhausted, "too many sessions");
}

TEST_F(DeskTest, NonsenseIsAnErrorOfTheConnection) {
  for (const std::string& packet :
       {std::string(), std::string("x"), stream::Packet(Type::kRedeem, 7),
        stream::Packet(Type::kBegin, 0, stream::SessionCall{1}),
        stream::Packet(Type::kReady, 7, stream::Ready{80, false}),
        stream::Packet(static_cast<Type>(77), 7)}) {
    Result<Desk::Answer> answer = desk_.Handle(packet);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), Code::kInvalidArgument) << answer.error().message();
  }
}

}  // namespace
}  // namespace berth::sessions

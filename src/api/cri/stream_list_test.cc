// SPDX-License-Identifier: Apache-2.0
// Lists in pieces: how they are cut, and the calls with a real gRPC client over the engine's fakes.
#include "api/cri/stream_list.h"

#include "api/cri/testing/server_fixture.h"

namespace berth::api {
namespace {

TEST(NextPieceTest, CutsBetweenItemsOnlyAndTakesOneAtLeast) {
  v1::StreamContainersResponse list;
  for (int size : {10, 1000, 10, 10}) list.add_containers()->set_id(std::string(size, 'x'));
  const std::string bytes = list.SerializeAsString();
  std::string_view left = bytes;
  std::vector<int> items;
  while (!left.empty()) {
    auto size = NextPiece(left, 100);
    ASSERT_TRUE(size) << size.error().message();
    v1::StreamContainersResponse piece;
    ASSERT_TRUE(piece.ParseFromArray(left.data(), static_cast<int>(*size)));
    items.push_back(piece.containers_size());
    left.remove_prefix(*size);
  }
  EXPECT_EQ(items, (std::vector<int>{1, 1, 2}));
}

TEST(NextPieceTest, WhatIsNoListIsRefused) {
  for (std::string_view bad : {std::string_view("\x0a\x05xx"), std::string_view("\x12\x01x"),
                               std::string_view("\x08\x01"), std::string_view("\x0a\xff")}) {
    auto size = NextPiece(bad, 100);
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().code(), Code::kInternal);
  }
}

// What makes it right to answer one with the other's bytes.
TEST(StreamListMessages, RequestsAndResponsesAreThoseOfTheListOnTheWire) {
  const auto* file = v1::VersionRequest::descriptor()->file();
  const std::vector<std::pair<std::string, std::string>> calls = {
      {"StreamPodSandboxes", "ListPodSandbox"},
      {"StreamContainers", "ListContainers"},
      {"StreamContainerStats", "ListContainerStats"},
      {"StreamPodSandboxStats", "ListPodSandboxStats"},
      {"StreamPodSandboxMetrics", "ListPodSandboxMetrics"},
      {"StreamImages", "ListImages"}};
  for (const auto& [stream, list] : calls) {
    for (const char* side : {"Request", "Response"}) {
      const auto* a = file->FindMessageTypeByName(stream + side);
      const auto* b = file->FindMessageTypeByName(list + side);
      ASSERT_TRUE(a && b) << stream << side;
      ASSERT_EQ(a->field_count(), b->field_count()) << stream << side;
      for (int i = 0; i < a->field_count(); ++i) {
        EXPECT_EQ(a->field(i)->number(), 1);
        EXPECT_EQ(b->field(i)->number(), 1);
        EXPECT_EQ(a->field(i)->message_type(), b->field(i)->message_type());
        EXPECT_EQ(a->field(i)->is_repeated(), b->field(i)->is_repeated());
      }
    }
  }
}

class StreamListTest : public ServerTest {
 protected:
  // All items; every message must have at least one.
  std::vector<v1::Container> Containers(const v1::StreamContainersRequest& request, int* messages) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    auto reader = runtime_->StreamContainers(&context, request);
    v1::StreamContainersResponse piece;
    std::vector<v1::Container> all;
    while (reader->Read(&piece)) {
      ++*messages;
      EXPECT_GT(piece.containers_size(), 0);
      all.insert(all.end(), piece.containers().begin(), piece.containers().end());
    }
    grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return all;
  }
};

TEST_F(StreamListTest, Rule40AStreamHasWhatTheListHasInPieces) {
  std::string pod = RunPod("web");
  pod::ContainerConfig config = pod::MinimalContainerConfig("app");
  config.annotations["large"] = std::string(100 << 10, 'x');
  for (uint32_t i = 0; i < 7; ++i) {
    config.metadata.attempt = i;
    ASSERT_TRUE(world_.engine->CreateContainer({}, pod, config));
  }
  v1::ListContainersResponse list;
  ASSERT_TRUE(Call(*runtime_, &Runtime::ListContainers, v1::ListContainersRequest(), &list).ok());
  int messages = 0;
  std::vector<v1::Container> all = Containers({}, &messages);
  EXPECT_EQ(messages, 4) << "two of 100 KiB fit into 256 KiB";
  ASSERT_EQ(static_cast<int>(all.size()), list.containers_size());
  for (int i = 0; i < list.containers_size(); ++i) {
    EXPECT_EQ(all[static_cast<size_t>(i)].SerializeAsString(),
              list.containers(i).SerializeAsString());
  }
}

TEST_F(StreamListTest, AFilterHoldsForTheStreamToo) {
  std::string a = world_.Create(RunPod("a")).value_or("");
  std::string pod = RunPod("b");
  ASSERT_TRUE(world_.Create(pod));
  v1::StreamContainersRequest request;
  request.mutable_filter()->set_id(a);
  int messages = 0;
  std::vector<v1::Container> found = Containers(request, &messages);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id(), a);
  grpc::ClientContext context;
  v1::StreamPodSandboxesRequest pods;
  pods.mutable_filter()->set_id(pod);
  auto reader = runtime_->StreamPodSandboxes(&context, pods);
  v1::StreamPodSandboxesResponse piece;
  ASSERT_TRUE(reader->Read(&piece));
  ASSERT_EQ(piece.pod_sandboxes_size(), 1);
  EXPECT_EQ(piece.pod_sandboxes(0).id(), pod);
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(StreamListTest, AnEmptyListIsAStreamWithoutAMessage) {
  int messages = 0;
  EXPECT_TRUE(Containers({}, &messages).empty());
  EXPECT_EQ(messages, 0);
}

TEST_F(StreamListTest, ImagesAreStreamedToo) {
  grpc::ClientContext context;
  auto reader = images_->StreamImages(&context, v1::StreamImagesRequest());
  v1::StreamImagesResponse piece;
  ASSERT_TRUE(reader->Read(&piece));
  ASSERT_EQ(piece.images_size(), 1);
  EXPECT_EQ(piece.images(0).id(), pod::kImageId);
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_TRUE(reader->Finish().ok());
}

}  // namespace
}  // namespace berth::api

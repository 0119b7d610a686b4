// SPDX-License-Identifier: Apache-2.0
// A client of the published runtime.v1: each Stream... call must tell what its List... call tells, once each, in messages
// that are not empty, and end after it.   cri_v1 SOCKET [CALL NOT SERVED YET,...]
// Or it measures one call:   cri_v1 SOCKET time CALL TIMES   writes "CALL: p50 ... p99 ... us, ... bytes".
// Or it pulls, with credentials that crictl has no option for:   cri_v1 SOCKET pull IMAGE AUTHCONFIG-AS-JSON   writes the image's id.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func fail(format string, arguments ...any) {
	fmt.Printf("FAILED "+format+"\n", arguments...)
	os.Exit(1)
}

// ids of items, in order.
func ids[Item any](items []Item, id func(Item) string) []string {
	var out []string
	for _, item := range items {
		out = append(out, id(item))
	}
	return out
}

// same compares a list with its stream; each message of the stream is given as its items.
func same[Item, Message any](name string, listed []Item, listError error, stream grpc.ServerStreamingClient[Message],
	streamError error, items func(*Message) []Item, id func(Item) string) {
	if listError != nil || streamError != nil {
		fail("%s: %v, %v", name, listError, streamError)
	}
	var streamed []string
	messages := 0
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			fail("%s: %v", name, err)
		}
		if len(items(message)) == 0 {
			fail("%s: a message without an item", name)
		}
		messages++
		streamed = append(streamed, ids(items(message), id)...)
	}
	want := ids(listed, id)
	slices.Sort(want)
	slices.Sort(streamed)
	if !slices.Equal(want, streamed) {
		fail("%s: listed %v, streamed %v", name, want, streamed)
	}
	fmt.Printf("ok     %s: %d items in %d messages\n", name, len(want), messages)
}

// measure makes a call without arguments again and again, one at a time.
func measure(ctx context.Context, connection *grpc.ClientConn, call string, times int) {
	took := make([]time.Duration, 0, times)
	var size int
	for range times {
		request, response := &emptypb.Empty{}, &emptypb.Empty{} // what the answer holds stays in its unknown fields
		began := time.Now()
		if err := connection.Invoke(ctx, "/runtime.v1.RuntimeService/"+call, request, response); err != nil {
			fail("%s: %v", call, err)
		}
		took = append(took, time.Since(began))
		size = len(response.ProtoReflect().GetUnknown())
	}
	slices.Sort(took)
	fmt.Printf("%s: p50 %d p99 %d us, %d bytes\n", call, took[times/2].Microseconds(), took[times*99/100].Microseconds(), size)
}

func pull(ctx context.Context, images cri.ImageServiceClient, image, credentials string) {
	auth := &cri.AuthConfig{}
	if err := protojson.Unmarshal([]byte(credentials), auth); err != nil {
		fail("credentials: %v", err)
	}
	answer, err := images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}, Auth: auth})
	if err != nil {
		fail("%v", err)
	}
	fmt.Println(answer.GetImageRef())
}

func main() {
	connection, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail("%v", err)
	}
	if len(os.Args) == 5 && os.Args[2] == "time" {
		times, err := strconv.Atoi(os.Args[4])
		if err != nil || times < 1 {
			fail("how often: %q", os.Args[4])
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		measure(ctx, connection, os.Args[3], times)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runtime, images := cri.NewRuntimeServiceClient(connection), cri.NewImageServiceClient(connection)
	if len(os.Args) == 5 && os.Args[2] == "pull" {
		pull(ctx, images, os.Args[3], os.Args[4])
		return
	}

	pods, e1 := runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	podStream, e2 := runtime.StreamPodSandboxes(ctx, &cri.StreamPodSandboxesRequest{})
	same("StreamPodSandboxes", pods.GetItems(), e1, podStream, e2,
		(*cri.StreamPodSandboxesResponse).GetPodSandboxes, (*cri.PodSandbox).String)

	containers, e1 := runtime.ListContainers(ctx, &cri.ListContainersRequest{})
	containerStream, e2 := runtime.StreamContainers(ctx, &cri.StreamContainersRequest{})
	same("StreamContainers", containers.GetContainers(), e1, containerStream, e2,
		(*cri.StreamContainersResponse).GetContainers, (*cri.Container).String)

	found, e1 := images.ListImages(ctx, &cri.ListImagesRequest{})
	imageStream, e2 := images.StreamImages(ctx, &cri.StreamImagesRequest{})
	same("StreamImages", found.GetImages(), e1, imageStream, e2, (*cri.StreamImagesResponse).GetImages, (*cri.Image).String)

	stats, e1 := runtime.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
	statsStream, e2 := runtime.StreamContainerStats(ctx, &cri.StreamContainerStatsRequest{})
	same("StreamContainerStats", stats.GetStats(), e1, statsStream, e2, (*cri.StreamContainerStatsResponse).GetContainerStats,
		func(one *cri.ContainerStats) string { return one.GetAttributes().GetId() })

	podStats, e1 := runtime.ListPodSandboxStats(ctx, &cri.ListPodSandboxStatsRequest{})
	podStatsStream, e2 := runtime.StreamPodSandboxStats(ctx, &cri.StreamPodSandboxStatsRequest{})
	same("StreamPodSandboxStats", podStats.GetStats(), e1, podStatsStream, e2, (*cri.StreamPodSandboxStatsResponse).GetPodSandboxStats,
		func(one *cri.PodSandboxStats) string { return one.GetAttributes().GetId() })

	metrics, e1 := runtime.ListPodSandboxMetrics(ctx, &cri.ListPodSandboxMetricsRequest{})
	metricsStream, e2 := runtime.StreamPodSandboxMetrics(ctx, &cri.StreamPodSandboxMetricsRequest{})
	same("StreamPodSandboxMetrics", metrics.GetPodMetrics(), e1, metricsStream, e2,
		(*cri.StreamPodSandboxMetricsResponse).GetPodSandboxMetrics, (*cri.PodSandboxMetrics).GetPodSandboxId)
}

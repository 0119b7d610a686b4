// SPDX-License-Identifier: Apache-2.0
// A client of runtime.v1alpha2, built from the last module that published it: every call that a kubelet of 1.20 to
// 1.25 makes, checked field by field.   cri_v1alpha2 SOCKET IMAGE LOG_DIRECTORY [METHOD NOT SERVED YET,...]
// Or: calls that must have no name in v1alpha2.   cri_v1alpha2 SOCKET unimplemented SERVICE/METHOD...
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
)

func fail(format string, arguments ...any) {
	fmt.Printf("FAILED "+format+"\n", arguments...)
	os.Exit(1)
}

// must makes one call, which has to succeed.
func must[Request, Response any](name string, method func(context.Context, *Request, ...grpc.CallOption) (*Response, error), request *Request) *Response {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := method(ctx, request)
	if err != nil {
		fail("%s: %v", name, err)
	}
	fmt.Printf("ok     %s\n", name)
	return response
}

func equal[T comparable](what string, got, want T) {
	if got != want {
		fail("%s: got %v, want %v", what, got, want)
	}
}

func images(client cri.ImageServiceClient, image string) {
	spec := &cri.ImageSpec{Image: image}
	pulled := must("PullImage", client.PullImage, &cri.PullImageRequest{Image: spec}).ImageRef
	found := must("ImageStatus", client.ImageStatus, &cri.ImageStatusRequest{Image: spec}).Image
	equal("image id", found.Id, pulled)
	if found.Size_ == 0 {
		fail("the image has no size")
	}
	listed := false
	for _, one := range must("ListImages", client.ListImages, &cri.ListImagesRequest{}).Images {
		listed = listed || one.Id == pulled
	}
	equal("image is listed", listed, true)
	if len(must("ImageFsInfo", client.ImageFsInfo, &cri.ImageFsInfoRequest{}).ImageFilesystems) == 0 {
		fail("no image file system")
	}
}

func streaming(client cri.RuntimeServiceClient, sandbox, container string) {
	{
		answer := must("Exec", client.Exec, &cri.ExecRequest{ContainerId: container, Cmd: []string{"true"}, Stdout: true})
		equal("exec url", strings.HasPrefix(answer.Url, "http"), true)
	}
	{
		answer := must("Attach", client.Attach, &cri.AttachRequest{ContainerId: container, Stdout: true})
		equal("attach url", strings.HasPrefix(answer.Url, "http"), true)
	}
	{
		answer := must("PortForward", client.PortForward, &cri.PortForwardRequest{PodSandboxId: sandbox, Port: []int32{80}})
		equal("port forward url", strings.HasPrefix(answer.Url, "http"), true)
	}
}

func stats(client cri.RuntimeServiceClient, sandbox, container string) {
	{
		answer := must("ContainerStats", client.ContainerStats, &cri.ContainerStatsRequest{ContainerId: container})
		equal("statistics of", answer.Stats.Attributes.Id, container)
	}
	{
		answer := must("ListContainerStats", client.ListContainerStats, &cri.ListContainerStatsRequest{Filter: &cri.ContainerStatsFilter{Id: container}})
		equal("containers with statistics", len(answer.Stats), 1)
	}
	{
		answer := must("PodSandboxStats", client.PodSandboxStats, &cri.PodSandboxStatsRequest{PodSandboxId: sandbox})
		equal("statistics of", answer.Stats.Attributes.Id, sandbox)
	}
	{
		answer := must("ListPodSandboxStats", client.ListPodSandboxStats, &cri.ListPodSandboxStatsRequest{Filter: &cri.PodSandboxStatsFilter{Id: sandbox}})
		equal("pods with statistics", len(answer.Stats), 1)
	}
}

func container(client cri.RuntimeServiceClient, sandbox string, pod *cri.PodSandboxConfig, image, volume string) {
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "main", Attempt: 3}, Image: &cri.ImageSpec{Image: image},
		Command: []string{"sh", "-c", "echo begun; while :; do sleep 0.1; done"}, Envs: []*cri.KeyValue{{Key: "A", Value: "b"}},
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}, LogPath: "main.log",
		Mounts: []*cri.Mount{{HostPath: volume, ContainerPath: "/volume", Propagation: cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER}},
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuShares: 102, MemoryLimitInBytes: 64 << 20, OomScoreAdj: 500},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
				RunAsUser:        &cri.Int64Value{Value: 1000}, RunAsGroup: &cri.Int64Value{Value: 1001},
				NoNewPrivs: true, ReadonlyRootfs: true, SeccompProfilePath: "unconfined",
				Capabilities: &cri.Capability{DropCapabilities: []string{"NET_RAW"}},
			},
		},
	}
	id := must("CreateContainer", client.CreateContainer, &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: config, SandboxConfig: pod}).ContainerId
	must("StartContainer", client.StartContainer, &cri.StartContainerRequest{ContainerId: id})
	now := must("ContainerStatus", client.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
	equal("state", now.Status.State, cri.ContainerState_CONTAINER_RUNNING)
	equal("name", now.Status.Metadata.Name, "main")
	equal("attempt", now.Status.Metadata.Attempt, 3)
	equal("label", now.Status.Labels["l"], "1")
	equal("annotation", now.Status.Annotations["a"], "2")
	equal("mount", now.Status.Mounts[0].HostPath, volume)
	equal("log path", now.Status.LogPath, filepath.Join(pod.LogDirectory, "main.log"))
	equal("verbose has info", len(now.Info) > 0, true)
	ran := must("ExecSync", client.ExecSync, &cri.ExecSyncRequest{ContainerId: id, Timeout: 10,
		Cmd: []string{"sh", "-c", "echo $A $(id -u) $(id -g) $(grep Seccomp: /proc/self/status); echo no >&2; touch /x; exit 4"}})
	equal("exit code", ran.ExitCode, 4)
	equal("stdout", strings.Join(strings.Fields(string(ran.Stdout)), " "), "b 1000 1001 Seccomp: 0")
	equal("stderr", bytes.HasPrefix(ran.Stderr, []byte("no\n")), true)
	list := must("ListContainers", client.ListContainers, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{
		PodSandboxId: sandbox, State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}, LabelSelector: map[string]string{"l": "1"}}}).Containers
	equal("containers", len(list), 1)
	equal("container", list[0].Id, id)
	stats(client, sandbox, id)
	streaming(client, sandbox, id)
	must("UpdateContainerResources", client.UpdateContainerResources, &cri.UpdateContainerResourcesRequest{ContainerId: id,
		Linux: &cri.LinuxContainerResources{CpuShares: 204}})
	must("ReopenContainerLog", client.ReopenContainerLog, &cri.ReopenContainerLogRequest{ContainerId: id})
	must("StopContainer", client.StopContainer, &cri.StopContainerRequest{ContainerId: id, Timeout: 0})
	ended := must("ContainerStatus", client.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: id}).Status
	equal("state", ended.State, cri.ContainerState_CONTAINER_EXITED)
	equal("exit code", ended.ExitCode, 137)
	must("RemoveContainer", client.RemoveContainer, &cri.RemoveContainerRequest{ContainerId: id})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	equal("code of an unknown container", status.Code(err), codes.NotFound)
}

func unimplemented(connection *grpc.ClientConn, methods []string) {
	for _, method := range methods {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := connection.Invoke(ctx, "/runtime.v1alpha2."+method, &cri.VersionRequest{}, &cri.VersionResponse{})
		cancel()
		equal("code of "+method, status.Code(err), codes.Unimplemented)
	}
}

func main() {
	connection, err := grpc.Dial("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail("dial: %v", err)
	}
	image, logs := os.Args[2], os.Args[3]
	if image == "unimplemented" {
		unimplemented(connection, os.Args[3:])
		return
	}
	client := cri.NewRuntimeServiceClient(connection)
	version := must("Version", client.Version, &cri.VersionRequest{})
	equal("API version", version.RuntimeApiVersion, "v1alpha2")
	equal("runtime", version.RuntimeName, "berth")
	conditions := must("Status", client.Status, &cri.StatusRequest{}).Status.Conditions
	equal("first condition", conditions[0].Type, cri.RuntimeReady)
	equal("second condition", conditions[1].Type, cri.NetworkReady)
	must("UpdateRuntimeConfig", client.UpdateRuntimeConfig, &cri.UpdateRuntimeConfigRequest{RuntimeConfig: &cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: "10.1.0.0/24"}}})
	images(cri.NewImageServiceClient(connection), image)
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "old", Uid: "u", Namespace: "ns", Attempt: 2}, Hostname: "old", LogDirectory: logs,
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.0.0.10"}}, Labels: map[string]string{"app": "old"},
		PortMappings: []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 80, HostPort: 8123}},
		Linux:        &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}},
	}
	sandbox := must("RunPodSandbox", client.RunPodSandbox, &cri.RunPodSandboxRequest{Config: config}).PodSandboxId
	pod := must("PodSandboxStatus", client.PodSandboxStatus, &cri.PodSandboxStatusRequest{PodSandboxId: sandbox}).Status
	equal("state", pod.State, cri.PodSandboxState_SANDBOX_READY)
	equal("pod's name", pod.Metadata.Name, "old")
	equal("pod has an address", pod.Network.Ip != "", true)
	pods := must("ListPodSandbox", client.ListPodSandbox, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{LabelSelector: map[string]string{"app": "old"}}}).Items
	equal("pods", len(pods), 1)
	volume := filepath.Join(logs, "volume")
	if err := os.MkdirAll(volume, 0o755); err != nil {
		fail("%v", err)
	}
	container(client, sandbox, config, image, volume)
	must("StopPodSandbox", client.StopPodSandbox, &cri.StopPodSandboxRequest{PodSandboxId: sandbox})
	must("RemovePodSandbox", client.RemovePodSandbox, &cri.RemovePodSandboxRequest{PodSandboxId: sandbox})
	must("RemoveImage", cri.NewImageServiceClient(connection).RemoveImage, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: image}})
}

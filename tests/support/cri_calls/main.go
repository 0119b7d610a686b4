// SPDX-License-Identifier: Apache-2.0
// Any unary call of runtime.v1 for a suite that makes thousands: one process for all of them instead of one each.
// Reads {"id": 1, "method": "RunPodSandbox", "request": {...}, "seconds": 20} lines, answers each with {"id": 1, "code": "OK",
// "message": "", "response": {...}} when it is there, in any order.   cri_calls SOCKET
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type question struct {
	ID      int             `json:"id"`
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
	Seconds float64         `json:"seconds"`
}

type answer struct {
	ID       int             `json:"id"`
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	Response json.RawMessage `json:"response"`
}

func methods() map[string]protoreflect.MethodDescriptor {
	found := map[string]protoreflect.MethodDescriptor{}
	for _, name := range []protoreflect.FullName{"runtime.v1.RuntimeService", "runtime.v1.ImageService"} {
		service, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		all := service.(protoreflect.ServiceDescriptor).Methods()
		for i := range all.Len() {
			found[string(all.Get(i).Name())] = all.Get(i)
		}
	}
	return found
}

func call(connection *grpc.ClientConn, method protoreflect.MethodDescriptor, asked question) answer {
	told := answer{ID: asked.ID, Response: json.RawMessage("{}")}
	request, response := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal(asked.Request, request); err != nil {
		told.Code, told.Message = "BadRequest", err.Error()
		return told
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.Seconds*float64(time.Second)))
	defer cancel()
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	err := connection.Invoke(ctx, path, request, response)
	told.Code, told.Message = status.Code(err).String(), status.Convert(err).Message()
	if err == nil {
		if text, err := (protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}).Marshal(response); err == nil {
			told.Response = text
		} else {
			told.Code, told.Message = "BadResponse", err.Error()
		}
	}
	return told
}

func main() {
	connection, err := grpc.NewClient("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		// A daemon that was started again is found at once.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second, Backoff: backoff.Config{
			BaseDelay: 5 * time.Millisecond, Multiplier: 1, MaxDelay: 5 * time.Millisecond}}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	known := methods()
	var mutex sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(told answer) {
		mutex.Lock()
		defer mutex.Unlock()
		_ = out.Encode(told)
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		asked := question{Seconds: 20}
		if err := json.Unmarshal(line, &asked); err != nil {
			say(answer{Code: "BadRequest", Message: err.Error(), Response: json.RawMessage("{}")})
			continue
		}
		method := known[asked.Method]
		if method == nil {
			say(answer{ID: asked.ID, Code: "BadRequest", Message: "no such method: " + asked.Method, Response: json.RawMessage("{}")})
			continue
		}
		go func() { say(call(connection, method, asked)) }()
	}
}

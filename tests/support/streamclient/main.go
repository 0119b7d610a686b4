// SPDX-License-Identifier: Apache-2.0
// streamclient speaks to a CRI streaming URL as kubectl does: client-go's remotecommand and portforward, over SPDY or
// WebSocket. Driven by the tests; stdin, stdout and stderr are those of the remote process, its exit code is ours (125:
// any other failure, told on stderr).
//
//	streamclient exec    -url URL [-transport spdy|websocket] [-protocols a,b] [-stdin] [-tty] [-size WxH,WxH] [-ca FILE -cert FILE -key FILE]
//	streamclient forward -url URL [-transport spdy|websocket] -port N    prints the local port; ends when stdin does
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

const failed = 125

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: streamclient exec|forward -url URL ...")
		os.Exit(failed)
	}
	run := map[string]func([]string) error{"exec": runExec, "forward": runForward}[os.Args[1]]
	if run == nil {
		fmt.Fprintln(os.Stderr, "unknown command", os.Args[1])
		os.Exit(failed)
	}
	err := run(os.Args[2:])
	var exit exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitStatus())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(failed)
	}
}

type target struct {
	url, transport, protocols string
	ca, cert, key             string
}

func (t *target) register(flags *flag.FlagSet) {
	flags.StringVar(&t.url, "url", "", "what CRI's Exec, Attach or PortForward answered")
	flags.StringVar(&t.transport, "transport", "spdy", "spdy or websocket")
	flags.StringVar(&t.protocols, "protocols", "", "subprotocols, comma-separated; default: client-go's")
	flags.StringVar(&t.ca, "ca", "", "PEM file that the server's certificate is checked with")
	flags.StringVar(&t.cert, "cert", "", "PEM file of the client's certificate")
	flags.StringVar(&t.key, "key", "", "PEM file of its key")
}

func (t *target) parse() (*rest.Config, *url.URL, error) {
	parsed, err := url.Parse(t.url)
	if err != nil {
		return nil, nil, err
	}
	return &rest.Config{Host: parsed.Scheme + "://" + parsed.Host, TLSClientConfig: rest.TLSClientConfig{
		CAFile: t.ca, CertFile: t.cert, KeyFile: t.key}}, parsed, nil
}

// sizes is a remotecommand.TerminalSizeQueue of a fixed list.
type sizes struct {
	left []remotecommand.TerminalSize
	done chan struct{}
}

func (s *sizes) Next() *remotecommand.TerminalSize {
	if len(s.left) == 0 {
		<-s.done
		return nil
	}
	next := s.left[0]
	s.left = s.left[1:]
	return &next
}

func parseSizes(text string) ([]remotecommand.TerminalSize, error) {
	var list []remotecommand.TerminalSize
	for _, piece := range strings.Split(text, ",") {
		var size remotecommand.TerminalSize
		if _, err := fmt.Sscanf(piece, "%dx%d", &size.Width, &size.Height); err != nil {
			return nil, fmt.Errorf("size %q: %w", piece, err)
		}
		list = append(list, size)
	}
	return list, nil
}

func runExec(args []string) error {
	flags := flag.NewFlagSet("exec", flag.ExitOnError)
	var t target
	t.register(flags)
	stdin := flags.Bool("stdin", false, "copy stdin")
	tty := flags.Bool("tty", false, "the process has a terminal")
	size := flags.String("size", "", "terminal sizes to send")
	timeout := flags.Duration("timeout", time.Minute, "gives up after it")
	_ = flags.Parse(args)
	config, parsed, err := t.parse()
	if err != nil {
		return err
	}
	executor, err := t.executor(config, parsed)
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdout: os.Stdout, Tty: *tty}
	if *stdin {
		options.Stdin = os.Stdin
	}
	if !*tty {
		options.Stderr = os.Stderr
	}
	if *size != "" {
		list, err := parseSizes(*size)
		if err != nil {
			return err
		}
		options.TerminalSizeQueue = &sizes{left: list, done: make(chan struct{})}
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	return executor.StreamWithContext(ctx, options)
}

func (t *target) executor(config *rest.Config, parsed *url.URL) (remotecommand.Executor, error) {
	var protocols []string
	if t.protocols != "" {
		protocols = strings.Split(t.protocols, ",")
	}
	switch {
	case t.transport == "spdy" && protocols == nil:
		return remotecommand.NewSPDYExecutor(config, http.MethodPost, parsed)
	case t.transport == "spdy":
		tripper, upgrader, err := spdy.RoundTripperFor(config)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutorForProtocols(tripper, upgrader, http.MethodPost, parsed, protocols...)
	case t.transport == "websocket" && protocols == nil:
		return remotecommand.NewWebSocketExecutor(config, http.MethodGet, t.url)
	case t.transport == "websocket":
		return remotecommand.NewWebSocketExecutorForProtocols(config, http.MethodGet, t.url, protocols...)
	}
	return nil, fmt.Errorf("unknown transport %q", t.transport)
}

func runForward(args []string) error {
	flags := flag.NewFlagSet("forward", flag.ExitOnError)
	var t target
	t.register(flags)
	port := flags.Int("port", 0, "port in the pod")
	_ = flags.Parse(args)
	config, parsed, err := t.parse()
	if err != nil {
		return err
	}
	tripper, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: tripper}, http.MethodPost, parsed)
	if t.transport == "websocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(parsed, config); err != nil {
			return err
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", *port)},
		stop, ready, io.Discard, os.Stderr)
	if err != nil {
		return err
	}
	go func() {
		<-ready
		if ports, err := forwarder.GetPorts(); err == nil && len(ports) == 1 {
			fmt.Println(ports[0].Local)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	return forwarder.ForwardPorts()
}

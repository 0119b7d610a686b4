// SPDX-License-Identifier: Apache-2.0
// The kubelet of Kubernetes 1.22, the last that speaks nothing but runtime.v1alpha2, for tests/kubernetes/old_kubelet.py.
package main

import (
	"os"

	"k8s.io/component-base/logs"
	"k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	command := app.NewKubeletCommand()
	logs.InitLogs()
	defer logs.FlushLogs()
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}

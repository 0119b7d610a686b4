# SPDX-License-Identifier: Apache-2.0
"""A cluster of one node in the suite's own namespaces: etcd, the control plane, a kubelet, Berth, and kubectl to ask them."""
import contextlib
import datetime
import json
import os
import pathlib
import resource
import secrets
import subprocess

from support import environment, registry, tools
from support.node import Node
from support.suite import eventually

NODE, ADDRESS = "node", "10.123.0.1"
API = "https://127.0.0.1:6443"
KUBELET_HOME = pathlib.Path("/var/lib/kubelet")
# What the kubelet wants of the kernel. In its mount namespace files with these values hide the machine's own, which stay as they
# are; only there, since a /proc with something mounted in it cannot be mounted in a pod's user namespace.
TUNABLES = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
            "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}


class Failed(AssertionError):
    """A kubectl that should have worked."""


def cgroup_directories():
    """This run's parent group in every hierarchy that has controllers or a name."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, kind = line.split(), line.partition(" - ")[2].split()[0]
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(fields[4] + environment.cgroup_parent())


class Cluster:
    def __init__(self, work, node_options=None, node=None):
        """`node`: a runtime that runs already, of which only `socket` is looked at; otherwise a berthd that the caller starts."""
        self.work = pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.programs = tools.kubernetes()
        self.processes, self.logs = {}, {}
        self.manifests = self.work / "manifests"
        self.manifests.mkdir()
        self.kubelet_options, self.kubelet_arguments = {}, []
        self._marks, self.expected = {}, []
        self._prepare_machine()
        self.node = node or Node(self.work / "berth", environment.STORE / "root", "/run/berth", node_options)

    # ------------------------------------------------------------------ the machine
    def _prepare_machine(self):
        environment.mount("tmpfs", "/var/log", "tmpfs", environment.MS_NOSUID | environment.MS_NODEV, "mode=755")
        home = environment.STORE / "kubelet"
        home.mkdir()
        subprocess.run(["mount", "--bind", home, KUBELET_HOME], check=True)
        for kind in ("--make-private", "--make-shared"):  # a peer group of its own, else volumes appear below the store too
            subprocess.run(["mount", kind, KUBELET_HOME], check=True)
        for command in ("link add node0 type veth peer name node1", f"addr add {ADDRESS}/24 dev node0", "link set node0 addrgenmode none",
                        "link set node1 addrgenmode none", "link set node1 up", "link set node0 up", "route add default dev node0"):
            subprocess.run(["ip", *command.split()], check=True)
        for name, value in (("ip_forward", 1), ("conf/all/route_localnet", 1)):
            pathlib.Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        subprocess.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "127.0.0.0/8", "!", "-d", "127.0.0.0/8", "-j",
                        "MASQUERADE"], check=True)
        for directory in cgroup_directories():
            directory.mkdir(exist_ok=True)
            if (directory / "cpuset.cpus").exists():
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (directory / name).write_text((directory.parent / name).read_text())

    # ------------------------------------------------------------------ programs
    def spawn(self, name, *arguments, prefix=()):
        self.logs[name] = self.work / f"{name}.log"
        with open(self.logs[name], "ab") as log:
            self.processes[name] = subprocess.Popen([*prefix, self.programs / name, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                                    stdout=log, stderr=log, start_new_session=True)

    def _alive(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                text = self.logs[name].read_text(errors="replace")
                raise SystemExit(f"{name} ended with {process.returncode}:\n{text[-4000:]}")

    def wait(self, what, check, seconds=180):
        def now():
            self._alive()
            return check()
        try:
            return eventually(now, seconds, 0.3)
        except AssertionError as error:
            tails = "".join(f"--- {name}\n{path.read_text(errors='replace')[-1500:]}\n" for name, path in self.logs.items())
            raise SystemExit(f"{what}: {error}\n{tails}")

    def start(self):
        """Everything but the node's berthd, which runs already."""
        self.authority, (certificate, key) = registry.make_certificates(self.work / "pki")
        token, accounts = secrets.token_hex(16), self.work / "pki" / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", accounts, "2048"], check=True, capture_output=True)
        tokens = self.work / "pki" / "tokens.csv"
        tokens.write_text(f'{token},admin,admin,"system:masters"\n')
        self._write_kubeconfig(token)
        self.spawn("etcd", "--data-dir", environment.STORE / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
                   "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
                   "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
                   "--initial-cluster", "default=http://127.0.0.1:2380")
        self.spawn("kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--bind-address", "127.0.0.1",
                   "--advertise-address", ADDRESS, "--secure-port", "6443", "--tls-cert-file", certificate,
                   "--tls-private-key-file", key, "--token-auth-file", tokens, "--authorization-mode", "AlwaysAllow",
                   "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", accounts,
                   "--service-account-signing-key-file", accounts, "--service-cluster-ip-range", "10.96.0.0/24",
                   "--allow-privileged=true", "--endpoint-reconciler-type", "none",
                   "--kubelet-preferred-address-types", "InternalIP", "--profiling=false")
        self.wait("the API server", lambda: self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0)
        common = ["--kubeconfig", self.kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1"]
        self.spawn("kube-controller-manager", *common, "--service-account-private-key-file", accounts, "--root-ca-file",
                   self.authority)
        self.spawn("kube-scheduler", *common)
        self.start_kubelet()
        self.wait("the node's account", lambda: self.kubectl("get", "serviceaccount", "default", check=False).returncode == 0)
        self.wait_node_ready()

    def _write_kubeconfig(self, token):
        self.kubeconfig = self.work / "kubeconfig"
        named = lambda kind, value: [{"name": "test", kind: value}]
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": named("cluster", {"server": API, "certificate-authority": str(self.authority)}),
            "users": named("user", {"token": token}),
            "contexts": named("context", {"cluster": "test", "user": "test"})}))

    def kubelet_configuration(self):
        resolv = self.work / "resolv.conf"
        resolv.write_text("nameserver 10.123.0.53\n")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"}, "containerRuntimeEndpoint": self.node.socket,
            "cgroupRoot": environment.cgroup_parent(), "failCgroupV1": False, "failSwapOn": False,
            "oomScoreAdj": 0, "maxOpenFiles": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "protectKernelDefaults": True,
            "makeIPTablesUtilChains": False, "staticPodPath": str(self.manifests), "resolvConf": str(resolv),
            "clusterDomain": "cluster.local", "clusterDNS": ["10.96.0.10"], "serializeImagePulls": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "allowedUnsafeSysctls": ["net.core.somaxconn"], "fileCheckFrequency": "1s", "nodeStatusUpdateFrequency": "5s",
            "volumePluginDir": str(self.work / "volume-plugins"), "crashLoopBackOff": {"maxContainerRestartPeriod": "3s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True}, "logging": {"verbosity": 2}}
        for key, value in self.kubelet_options.items():
            config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
        return config

    def start_kubelet(self, **options):
        """With these of its options changed; they stay for the next start."""
        self.kubelet_options.update(options)
        path = self.work / "kubelet.json"
        path.write_text(json.dumps(self.kubelet_configuration()))
        self.kubelet_started = datetime.datetime.now(datetime.timezone.utc)
        self.spawn("kubelet", *self.kubelet_command(path), *self.kubelet_arguments, prefix=self.with_tunables())

    def with_tunables(self):
        """The words in front of a kubelet's command that hide the machine's TUNABLES from it."""
        script = ["mount --make-rprivate /proc"]
        for name, value in TUNABLES.items():
            file = self.work / name.replace("/", ".")
            file.write_text(f"{value}\n")
            script.append(f"mount --bind {file} /proc/sys/{name}")
        return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", " && ".join([*script, 'exec "$0" "$@"'])]

    def kubelet_command(self, config):
        return ["--config", config, "--kubeconfig", self.kubeconfig, "--hostname-override", NODE, "--node-ip", ADDRESS]

    def stop_kubelet(self):
        process = self.processes.pop("kubelet")
        process.terminate()
        process.wait(30)

    def wait_node_ready(self, seconds=180):
        """In the words of the kubelet that was started last: what an earlier one said stays in the API for a while."""
        path = "jsonpath={.status.conditions[?(@.type=='Ready')]['status','lastHeartbeatTime']}"

        def is_ready():
            said = self.kubectl("get", "node", NODE, "-o", path, check=False).stdout.split()
            return said[:1] == ["True"] and datetime.datetime.fromisoformat(said[1]) > self.kubelet_started
        self.wait("the node", is_ready, seconds)

    def close(self):
        for name in ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            process = self.processes.pop(name, None)
            if process is not None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)

    # ------------------------------------------------------------------ kubectl
    def command(self, *arguments):
        return [str(self.programs / "kubectl"), "--kubeconfig", str(self.kubeconfig), *map(str, arguments)]

    def kubectl(self, *arguments, check=True, timeout=90, stdin=None):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, errors="replace", timeout=timeout,
                              input=stdin if stdin is not None else "", cwd=self.work,
                              env={**os.environ, "HOME": str(self.work)})
        if check and done.returncode != 0:
            raise Failed(f"kubectl {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def out(self, *arguments, **options):
        return self.kubectl(*arguments, **options).stdout

    def get(self, *arguments):
        return json.loads(self.out("get", *arguments, "-o", "json"))

    def raw(self, path):
        return self.out("get", "--raw", path)

    def apply(self, *objects):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "-f", "-", stdin=text)

    def pod_status(self, name):
        return self.get("pod", name)["status"]

    def wait_pod(self, name, what="Ready", seconds=60):
        self.kubectl("wait", f"pod/{name}", f"--for={what if '=' in what else f'condition={what}'}", f"--timeout={seconds}s",
                     timeout=seconds + 30)

    def wait_phase(self, name, phase, seconds=60):
        self.wait_pod(name, f"jsonpath={{.status.phase}}={phase}", seconds)

    def delete(self, *arguments, grace=1, seconds=60):
        self.kubectl("delete", *arguments, f"--grace-period={grace}", "--ignore-not-found", f"--timeout={seconds}s",
                     timeout=seconds + 30)

    def events(self, name):
        found = self.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
        return [(event.get("reason"), event.get("message", "")) for event in found]

    # ------------------------------------------------------------------ what support.suite.run_tests asks for
    def log_mark(self):
        self._marks = {"kubelet": self.logs["kubelet"].stat().st_size}
        self.expected = []
        return self.node.log_mark()

    def log_since(self, mark):
        with open(self.logs["kubelet"], "rb") as file:
            file.seek(self._marks["kubelet"])
            kubelet = file.read().decode(errors="replace").splitlines()
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout
        return self.node.log_since(mark) + "\n--- the kubelet's\n" + "\n".join(kubelet[-30:]) + f"\n--- pods\n{pods}"

    def kubelet_log_of_this_test(self):
        with open(self.logs["kubelet"], "rb") as file:
            file.seek(self._marks["kubelet"])
            return file.read().decode(errors="replace")

    def expect(self, pattern):
        """Lines of this test in the kubelet's log that are what it is about."""
        self.expected.append(pattern)

    def recover(self):
        if not self.node.running():
            self.node.start()
        if "kubelet" not in self.processes or self.processes["kubelet"].poll() is not None:
            self.start_kubelet()
        for path in self.manifests.iterdir():
            path.unlink()
        self.sweep()

    def sweep(self):
        self.kubectl("delete", "deployments", "--all", "--cascade=foreground", "--timeout=60s", check=False)
        self.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=60s", check=False)
        self.kubectl("delete", "runtimeclasses", "--all", check=False)
        self.kubectl("delete", "configmaps,secrets", "--field-selector", "metadata.name!=kube-root-ca.crt", check=False)

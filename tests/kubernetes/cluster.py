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

from node_files import NodeFiles
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


def patient(seconds):
    """For a --timeout of kubectl's."""
    return int(seconds * environment.PATIENCE)


def cgroup_directories():
    """This run's parent group in every hierarchy that has controllers or a name."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, kind = line.split(), line.partition(" - ")[2].split()[0]
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(fields[4] + environment.cgroup_parent())


class Cluster:
    """`work` is a directory beside kubectl, `node_work` one of the node, whose files are behind `files`; here they are the same."""

    def __init__(self, work, node_options=None, node=None):
        """`node`: a runtime that runs already, of which only `socket` is looked at; otherwise a berthd that the caller starts."""
        self.work = pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.programs = tools.kubernetes()
        self.processes, self.logs = {}, {}
        self.kubelet_options, self.kubelet_arguments = {}, []
        self._mark, self.expected = 0, []
        self.listen, self.without_gvisor = "127.0.0.1", None
        self._prepare_machine(node, node_options)
        self.manifests = self.node_work / "manifests"
        self.files.directory(self.manifests)

    # ------------------------------------------------------------------ the machine
    def _prepare_machine(self, node, node_options):
        self.files, self.node_work, self.store = NodeFiles(), self.work, environment.STORE
        self.cgroup_version = 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1
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
        self.node = node or Node(self.work / "berth", environment.STORE / "root", "/run/berth", node_options)

    def pod_group(self, quality, uid, controller):
        """The control group that the kubelet makes for a pod."""
        hierarchy = f"/{controller}" if self.cgroup_version == 1 else ""
        return pathlib.Path(f"/sys/fs/cgroup{hierarchy}{environment.cgroup_parent()}/kubepods/{quality}/pod{uid}")

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
            logs = {name: path.read_text(errors="replace") for name, path in self.logs.items()}
            tails = "".join(f"--- {name}\n{text[-1500:]}\n" for name, text in {**logs, "kubelet": self.kubelet_log(0)}.items())
            raise SystemExit(f"{what}: {error}\n{tails}")

    def start(self):
        """Everything but the node's berthd, which runs already."""
        self.authority, (certificate, key) = registry.make_certificates(self.work / "pki")
        token, accounts = secrets.token_hex(16), self.work / "pki" / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", accounts, "2048"], check=True, capture_output=True)
        tokens = self.work / "pki" / "tokens.csv"
        tokens.write_text(f'{token},admin,admin,"system:masters"\n')
        self._write_kubeconfig(token)
        self.spawn("etcd", "--data-dir", self.store / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
                   "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
                   "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
                   "--initial-cluster", "default=http://127.0.0.1:2380")
        self.spawn("kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--bind-address", self.listen,
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
        self.kubeconfig = self.node_kubeconfig = self.work / "kubeconfig"
        self.kubeconfig.write_text(self.kubeconfig_text(token, {"server": API, "certificate-authority": str(self.authority)}))

    def kubeconfig_text(self, token, cluster):
        named = lambda kind, value: [{"name": "test", kind: value}]
        return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "test", "clusters": named("cluster", cluster),
                           "users": named("user", {"token": token}), "contexts": named("context", {"cluster": "test", "user": "test"})})

    def machine_options(self):
        """Options of the kubelet that this machine asks for."""
        return {"cgroupRoot": environment.cgroup_parent(), "failCgroupV1": False, "oomScoreAdj": 0,
                "maxOpenFiles": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}

    def kubelet_configuration(self):
        resolv = self.node_work / "resolv.conf"
        self.files.write(resolv, "nameserver 10.123.0.53\n")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"}, "containerRuntimeEndpoint": self.node.socket,
            "failSwapOn": False, "protectKernelDefaults": True,
            "makeIPTablesUtilChains": False, "staticPodPath": str(self.manifests), "resolvConf": str(resolv),
            "clusterDomain": "cluster.local", "clusterDNS": ["10.96.0.10"], "serializeImagePulls": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "allowedUnsafeSysctls": ["net.core.somaxconn"], "fileCheckFrequency": "1s", "nodeStatusUpdateFrequency": "5s",
            "volumePluginDir": str(self.node_work / "volume-plugins"), "crashLoopBackOff": {"maxContainerRestartPeriod": "3s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True}, "logging": {"verbosity": 2}}
        for options in (self.machine_options(), self.kubelet_options):
            for key, value in options.items():
                config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
        return config

    def start_kubelet(self, **options):
        """With these of its options changed; they stay for the next start."""
        self.kubelet_options.update(options)
        path = self.node_work / "kubelet.json"
        self.files.write(path, json.dumps(self.kubelet_configuration()))
        self.kubelet_started = self.files.now()
        self.run_kubelet([*self.kubelet_command(path), *self.kubelet_arguments])

    def run_kubelet(self, arguments):
        self.spawn("kubelet", *arguments, prefix=self.with_tunables())

    def with_tunables(self):
        """The words in front of a kubelet's command that hide the machine's TUNABLES from it."""
        script = ["mount --make-rprivate /proc"]
        for name, value in TUNABLES.items():
            file = self.work / name.replace("/", ".")
            file.write_text(f"{value}\n")
            script.append(f"mount --bind {file} /proc/sys/{name}")
        return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", " && ".join([*script, 'exec "$0" "$@"'])]

    def kubelet_command(self, config):
        return ["--config", config, "--kubeconfig", self.node_kubeconfig, "--hostname-override", NODE, "--node-ip", ADDRESS]

    def stop_kubelet(self):
        process = self.processes.pop("kubelet")
        process.terminate()
        process.wait(30)

    def kubelet_runs(self):
        return "kubelet" in self.processes and self.processes["kubelet"].poll() is None

    def kubelet_log_size(self):
        return self.logs["kubelet"].stat().st_size

    def kubelet_log(self, since):
        if "kubelet" not in self.logs:
            return ""  # not started yet
        with open(self.logs["kubelet"], "rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

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
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, errors="replace",
                              timeout=patient(timeout), input=stdin if stdin is not None else "",
                              cwd=self.work, env={**os.environ, "HOME": str(self.work)})
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
        self.kubectl("wait", f"pod/{name}", f"--for={what if '=' in what else f'condition={what}'}", f"--timeout={patient(seconds)}s",
                     timeout=seconds + 30)

    def wait_phase(self, name, phase, seconds=60):
        self.wait_pod(name, f"jsonpath={{.status.phase}}={phase}", seconds)

    def delete(self, *arguments, grace=1, seconds=60):
        self.kubectl("delete", *arguments, f"--grace-period={grace}", "--ignore-not-found", f"--timeout={patient(seconds)}s",
                     timeout=seconds + 30)

    def events(self, name):
        found = self.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
        return [(event.get("reason"), event.get("message", "")) for event in found]

    # ------------------------------------------------------------------ what support.suite.run_tests asks for
    def log_mark(self):
        self._mark, self.expected = self.kubelet_log_size(), []
        return self.node.log_mark()

    def log_since(self, mark):
        kubelet = self.kubelet_log_of_this_test().splitlines()
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout
        return self.node.log_since(mark) + "\n--- the kubelet's\n" + "\n".join(kubelet[-30:]) + f"\n--- pods\n{pods}"

    def kubelet_log_of_this_test(self):
        return self.kubelet_log(self._mark)

    def expect(self, pattern):
        """Lines of this test in the kubelet's log that are what it is about."""
        self.expected.append(pattern)

    def recover(self):
        if not self.node.running():
            self.node.start()
        if not self.kubelet_runs():
            self.start_kubelet()
        self.files.empty(self.manifests)
        self.sweep()

    def sweep(self):
        self.kubectl("delete", "deployments", "--all", "--cascade=foreground", f"--timeout={patient(60)}s", check=False)
        self.kubectl("delete", "pods", "--all", "--grace-period=1", f"--timeout={patient(60)}s", check=False)
        self.kubectl("delete", "runtimeclasses", "--all", check=False)
        self.kubectl("delete", "configmaps,secrets", "--field-selector", "metadata.name!=kube-root-ca.crt", check=False)

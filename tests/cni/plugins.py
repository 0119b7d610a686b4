# SPDX-License-Identifier: Apache-2.0
"""A set of CNI plugins as a container runtime calls it, pods to attach, and what comes back in a form that can be compared."""
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

from support import environment, tools

LEASES = environment.WORK / "leases"
OWN = ["bridge", "host-local", "portmap", "loopback", "ptp", "bandwidth", "firewall", "tuning"]
DEBIAN = pathlib.Path("/usr/lib/cni")
_numbers = itertools.count(1)


class Refused(AssertionError):
    def __init__(self, what, code, answer):
        super().__init__(f"{what}: exit code {code}: {answer}")
        self.code = answer.get("code") if isinstance(answer, dict) else None
        self.msg = answer.get("msg", "") if isinstance(answer, dict) else str(answer)


class Set:
    """A directory of plugins."""
    def __init__(self, name, directory):
        self.name, self.directory = name, pathlib.Path(directory)

    def __repr__(self):
        return self.name

    def start(self, command, plugin, config, pod=None, **env):
        variables = {"PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_PATH": str(self.directory)}
        if pod is not None:
            variables |= {"CNI_CONTAINERID": pod.id, "CNI_NETNS": pod.path, "CNI_IFNAME": pod.ifname}
        variables |= env
        process = subprocess.Popen([self.directory / plugin], env={k: v for k, v in variables.items() if v is not None},
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            process.stdin.write(config if isinstance(config, str) else json.dumps(config))
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has refused its environment already, or was killed
        process.stdin = None
        return process

    def call(self, command, plugin, config, pod=None, **env):
        process = self.start(command, plugin, config, pod, **env)
        out, err = process.communicate(timeout=30)
        try:
            answer = json.loads(out) if out.strip() else {}
        except ValueError:
            answer = out + err
        if process.returncode != 0:
            raise Refused(f"{self} {plugin} {command}", process.returncode, answer)
        return answer

    def add(self, chain, pod):
        """ADD of every plugin of the chain; the last result."""
        result = None
        for config in chain:
            result = self.call("ADD", config["type"], with_result(config, result), pod)
        return result

    def delete(self, chain, pod, result=None, **env):
        for config in reversed(chain):
            self.call("DEL", config["type"], with_result(config, result), pod, **env)

    def check(self, chain, pod, result):
        for config in chain:
            self.call("CHECK", config["type"], with_result(config, result), pod)


def with_result(config, result):
    return config if result is None else {**config, "prevResult": result}


def sets():
    """Berth's own, Debian's 1.1.1 and a build of 1.9: the last two as far as they can be had."""
    own = environment.WORK / "own"
    own.mkdir(parents=True, exist_ok=True)
    for name in OWN:
        if not (own / name).exists():
            os.symlink(tools.berth_binary("berth-cni"), own / name)
    found = [Set("berth", own)]
    if (DEBIAN / "bridge").exists():
        found.append(Set("reference 1.1.1", DEBIAN))
    found.append(Set("reference 1.9", tools.reference_plugins()))
    return found


class Pod:
    """A network namespace that is made and removed with the block."""
    def __init__(self, ifname="eth0"):
        self.name = f"pod{next(_numbers)}"
        self.id = f"{self.name}-{'0' * 24}"
        self.ifname = ifname
        self.path = f"/run/netns/{self.name}"

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def run(self, *command):
        return run("ip", "netns", "exec", self.name, *command)


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def normal(value):
    """Names and addresses that differ from run to run replaced in their order; what only some versions print when it is empty
    left out."""
    if isinstance(value, dict) and value.get("dns") == {}:
        value = {k: v for k, v in value.items() if k != "dns"}
    text = json.dumps(value, sort_keys=True)
    for pattern, word in ((r"\bveth[0-9a-f]{8}\b", "VETH"), (r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"), (r"/run/netns/pod\d+", "NETNS")):
        text = re.sub(pattern, word, text)
    return json.loads(text)


def leases(network="net"):
    directory = LEASES / network
    if not directory.is_dir():
        return {}
    return {path.name: path.read_bytes().decode() for path in directory.iterdir()
            if path.name != "lock" and not path.name.startswith("last_reserved_ip")}


def clean():
    """The host as a test wants it: no bridge, no rules, no leases."""
    for line in run("ip", "-o", "link").splitlines():
        name = line.split(": ")[1].split("@")[0]
        if name.startswith(("br", "veth", "bwp", "cni")):
            subprocess.run(["ip", "link", "del", name], capture_output=True)
    run("nft", "flush", "ruleset")
    shutil.rmtree(LEASES, ignore_errors=True)


def left_behind():
    """What a pod must not leave: interfaces, leases, rules that name it. The reference keeps empty chains."""
    links = [line.split(": ")[1].split("@")[0] for line in run("ip", "-o", "link").splitlines()]
    found = [f"link {name}" for name in links if name.startswith(("veth", "bwp"))]
    found += [f"lease {name} {owner!r}" for name, owner in leases().items()]
    rules = run("nft", "list", "ruleset")
    found += [f"rule {line.strip()}" for line in rules.splitlines() if re.search(r"10\.77\.\d+\.\d+(?!/)|fd77::[0-9a-f]+(?!/)|pod\d+-", line)]
    return found


def ipam(v6=True, **more):
    ranges = [[{"subnet": "10.77.0.0/16"}]] + ([[{"subnet": "fd77::/64"}]] if v6 else [])
    routes = [{"dst": "0.0.0.0/0"}] + ([{"dst": "::/0"}] if v6 else [])
    return {"type": "host-local", "dataDir": str(LEASES), "ranges": ranges, "routes": routes, **more}


def bridge(version="1.0.0", **more):
    return {"cniVersion": version, "name": "net", "type": "bridge", "bridge": "br77", "ipam": ipam(), **more}


def full_bridge(version="1.0.0", **more):
    return bridge(version, isGateway=True, ipMasq=True, hairpinMode=True, **more)


def portmap(ports, version="1.0.0", **more):
    return {"cniVersion": version, "name": "net", "type": "portmap", "snat": True,
            "runtimeConfig": {"portMappings": [dict(zip(("hostPort", "containerPort", "protocol", "hostIP"), port)) for port in ports]},
            **more}

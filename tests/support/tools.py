# SPDX-License-Identifier: Apache-2.0
"""crictl and critest of the version the suites are written for, built once into .cache/bin."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "bin"
CACHE = ROOT / ".cache" / "bin"
VERSION = "v1.36.0"
MODULE = pathlib.Path(__file__).resolve().parent / "crictl"  # go.mod and go.sum pin every source


def _go():
    for candidate in ("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        path = shutil.which(candidate)
        if path:
            return path
    subprocess.run("apt-get update -qq; apt-get install -y -qq --no-install-recommends -t bookworm-backports golang-go "
                   "|| apt-get install -y -qq --no-install-recommends golang-go", shell=True, capture_output=True)
    path = shutil.which("go")
    if not path:
        raise SystemExit("crictl has to be built and no Go is installed or installable; install Go >= 1.21, or crictl "
                         f"{VERSION} on PATH and critest in {CACHE}")
    return path


def _built(name, command, package=None):
    path = CACHE / name
    if path.exists():
        return path
    print(f"building {name} {VERSION}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    done = subprocess.run([_go(), *command, "-ldflags", f"-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version={VERSION}",
                           "-o", str(part), package or f"sigs.k8s.io/cri-tools/cmd/{name}"],
                          cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
                          capture_output=True, text=True)
    if done.returncode != 0:
        part.unlink(missing_ok=True)
        raise SystemExit(f"building {name} failed:\n{done.stdout}{done.stderr}")
    part.rename(path)
    return path


def crictl():
    """Our own build, else one on PATH: of this version, or of any when ours cannot be built here."""
    if (CACHE / "crictl").exists():
        return CACHE / "crictl"
    found = shutil.which("crictl")
    if found and VERSION in subprocess.run([found, "--version"], capture_output=True, text=True).stdout:
        return pathlib.Path(found)
    try:
        return _built("crictl", ["build"])
    except SystemExit as error:
        if not found:
            raise
        print(f"{error}\nusing {found}, whose version is not known to be {VERSION}", flush=True)
        return pathlib.Path(found)


def critest():
    return _built("critest", ["test", "-c"])


def ginkgo():
    """What critest -parallel runs; of the version that critest is built with."""
    return _built("ginkgo", ["build"], "github.com/onsi/ginkgo/v2/ginkgo")


def go_program(module):
    """A test's own program: the Go module of that name beside this file."""
    directory = pathlib.Path(__file__).resolve().parent / module
    path = CACHE / module
    newest = max(file.stat().st_mtime for file in directory.iterdir())
    if path.exists() and path.stat().st_mtime > newest:
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    done = subprocess.run([_go(), "build", "-o", str(part), "."], cwd=directory, capture_output=True, text=True,
                          env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})
    if done.returncode != 0:
        raise SystemExit(f"building {module} failed:\n{done.stdout}{done.stderr}")
    part.rename(path)
    return path


def go_source(module, dependency):
    """Where the Go client has put a dependency of the module of that name beside this file; its sum is checked."""
    directory = pathlib.Path(__file__).resolve().parent / module
    done = subprocess.run([_go(), "mod", "download", "-json", dependency], cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{dependency} for {module}: {done.stdout}{done.stderr}")
    return pathlib.Path(json.loads(done.stdout)["Dir"])


KUBERNETES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
KUBERNETES_VERSION = "v1.36.3"  # as in kubernetes/go.mod
KUBERNETES_TAGS = "selinux,notest,grpcnotrace"
OLD_KUBELET_VERSION = "v1.22.17"  # as in oldkubelet/go.mod


def _kubernetes_built(module, version, name, tags="", package="."):
    """The program of that module below .cache/kubernetes/<version>."""
    program = CACHE.parent / "kubernetes" / version / name
    if program.exists():
        return program
    print(f"building {name} {version} of Kubernetes (half an hour on two cores)", flush=True)
    program.parent.mkdir(parents=True, exist_ok=True)
    major, minor, _ = version[1:].split(".")
    facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    symbols = " ".join(f"-X k8s.io/component-base/version.{fact}={value}" for fact, value in facts.items())
    part = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run([_go(), "build", "-p", "2", "-trimpath", "-tags", tags, "-ldflags", f"-s -w {symbols}", "-o", str(part), package],
                          cwd=MODULE.parent / module, capture_output=True, text=True, preexec_fn=lambda: os.nice(10),
                          env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOGC": "400"})
    if done.returncode != 0:
        part.unlink(missing_ok=True)
        raise SystemExit(f"building {name} {version} failed:\n{done.stdout}{done.stderr}")
    part.rename(program)
    return program


def kubernetes():
    """The directory of the control plane's and the node's programs: one program, built once, and links to it."""
    program = _kubernetes_built("kubernetes", KUBERNETES_VERSION, "kubernetes", KUBERNETES_TAGS)
    for name in KUBERNETES:
        if not (program.parent / name).is_symlink():
            (program.parent / name).symlink_to(program.name)
    return program.parent


def kubeadm():
    """The directory of the above with kubeadm and kube-proxy beside them."""
    for name in ("kubeadm", "kube-proxy"):
        _kubernetes_built("kubernetes", KUBERNETES_VERSION, name, KUBERNETES_TAGS, f"k8s.io/kubernetes/cmd/{name}")
    return kubernetes()


def old_kubelet():
    """The directory of the kubelet that speaks nothing but runtime.v1alpha2."""
    return _kubernetes_built("oldkubelet", OLD_KUBELET_VERSION, "kubelet").parent


REFERENCE_PLUGINS = ["main/bridge", "main/loopback", "main/ptp", "ipam/host-local", "meta/portmap", "meta/bandwidth",
                     "meta/firewall", "meta/tuning"]


def reference_plugins():
    """The directory of the reference CNI plugins of the version in cniplugins/go.mod, built once."""
    directory = CACHE.parent / "cni-plugins"
    missing = [part for part in REFERENCE_PLUGINS if not (directory / part.split("/")[1]).exists()]
    if missing:
        print("building the reference CNI plugins", flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        packages = [f"github.com/containernetworking/plugins/plugins/{part}" for part in missing]
        done = subprocess.run([_go(), "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{directory}/", *packages],
                              cwd=MODULE.parent / "cniplugins", capture_output=True, text=True,
                              env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})
        if done.returncode != 0:
            raise SystemExit(f"building the reference CNI plugins failed:\n{done.stdout}{done.stderr}")
    return directory


def debian_repository():
    """Where this machine's apt has Debian 12 from, or None."""
    done = subprocess.run(["apt-get", "indextargets", "Created-By: Packages", "Origin: Debian", "--format", "$(REPO_URI) $(RELEASE)"],
                          capture_output=True, text=True)
    found = [line.split() for line in done.stdout.splitlines()]
    return next((fields[0] for fields in found if fields[1:] == ["bookworm"]), None)


def runsc():
    """gVisor's OCI runtime: the one on PATH, or that of Debian's backports, taken out of its package without installing it."""
    found = shutil.which("runsc")
    if found:
        return pathlib.Path(found)
    path = CACHE / "runsc"
    if path.exists():
        return path
    repository = debian_repository()
    if repository is None:
        print("runsc: apt on this machine has no Debian 12 package source", flush=True)
        return None
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        for name in ("lists/partial", "cache/archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "sources").write_text("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
                                      f"{repository} bookworm-backports main\n")
        apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={work}/sources", "-o", "Dir::Etc::sourceparts=/dev/null", "-o",
               f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache", "-o", "APT::Sandbox::User=root"]
        for command in ([*apt, "update"], [*apt, "download", "runsc"]):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if done.returncode != 0:
                print(f"runsc of bookworm-backports: {done.stdout}{done.stderr}", flush=True)
                return None
        package = next(work.glob("runsc_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, work / "files"], check=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        shutil.copy(work / "files" / "usr" / "bin" / "runsc", part)
        part.rename(path)
    return path


def berth_binary(name):
    path = BIN / name
    if not path.exists():
        raise SystemExit(f"{path} is missing: build it first (./test does)")
    return path

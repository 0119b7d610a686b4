#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when an #include points up, or at a banned function: docs/architecture.md draws the layers, these tables are
their law."""
import pathlib
import re
import sys

# folder -> folders whose headers it may include (its own always)
ALLOWED = {
    "base": [],
    "os": ["base"],
    "db": ["base"],
    "oci": ["base"],
    "monitor": ["base", "os"],
    "cni": ["base", "os", "oci"],
    "image": ["base", "os", "oci", "db"],
    "runtime": ["base", "os", "oci", "monitor/protocol.h"],
    "pod": ["base", "oci", "db", "image/images.h", "runtime/runtime.h", "runtime/network.h", "runtime/host.h",
            "runtime/stats.h"],
    "api": ["base", "os", "pod", "image", "runtime"],
    "cli": ["base", "os", "api"],
    "daemon": ["base", "os", "db", "oci", "image", "runtime", "pod", "api"],
}
# file -> more that it may include, with the reason
EXTRA = {
    "src/pod/sqlite_records.h": (["os"], "records live in a file below a held directory"),
    "src/pod/sqlite_records.cc": (["os"], "as its header"),
}
# Headers of the outside world that only some folders may see.
ONLY_IN = {
    r"grpcpp/|grpc/|google/protobuf/|cri(\.grpc)?\.pb\.h": ["api", "cli"],
    r"spdlog/": ["daemon"],
    r"toml\+\+/": ["oci"],
    r"sqlite3\.h": ["db"],
    r"curl/": ["image"],
    r"CLI/": ["daemon", "cli"],
}
# call -> what to use instead and why, files that may; tests may use all of them
BANNED = {
    # None of these is berthd, each has one thread: berth-cni's work that outlives its answer, the monitor's calls (one in the pod's
    # namespaces, before exec), berth-unpack's child that begins the pid namespace, and the probe that tests that fork is refused.
    r"\bv?fork\(": ("os::Spawn: the daemon has threads",
                    ["src/cni/afterwards.cc", "src/monitor/call.cc", "src/image/unpack/unpack_main.cc", "src/image/fetch/sandbox_probe_main.cc"]),
    r"(?<![\w.>])(::|std::)?(system|popen)\(": ("os::Run: it starts a shell", []),
    r"\bfopen\(|\b[io]?fstream\b": ("os::DirFd::ReadFile: paths are opened below a held directory", []),
    r"std::filesystem": ("os::DirFd: it follows a swapped path", []),
    # Each of these places kills a child of its own that it has not reaped yet, so that the number cannot be another's.
    r"(?<![\w.>])(kill|killpg|tkill|tgkill|sigqueue|pthread_kill)\(|SYS_(kill|tkill|tgkill)\b":
        ("Process::Signal, or Cgroups::Kill: a number may be another process's by now",
         ["src/os/spawn.cc", "src/os/run.cc", "src/monitor/call.cc", "src/monitor/pod_ns.cc", "src/image/fetch/sandbox_probe_main.cc"]),
    r"system_clock::now|CLOCK_REALTIME|gettimeofday\(|\btime\((nullptr|NULL|0)\)":
        ("Clock::Monotonic or steady_clock: the wall clock jumps; it is for what people and gRPC's deadlines are told",
         ["src/base/clock.cc", "src/monitor/loop.cc", "src/monitor/log_stream.cc", "src/runtime/cni_config.cc", "src/api/cri/dispatch.cc",
          "src/api/cri/call_server.cc"]),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.M)


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    errors = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        rel = path.relative_to(root).as_posix()
        folder = rel.split("/")[1]
        if folder not in ALLOWED:
            errors.append(f"{rel}: folder src/{folder} is not in the table of layers")
            continue
        test = rel.endswith("_test.cc") or "/testing/" in rel
        allowed = list(ALLOWED[folder])
        if rel in EXTRA:
            allowed += EXTRA[rel][0]
        text = path.read_text()
        for quote, name in INCLUDE.findall(text):
            if quote == '"':
                top = name.split("/")[0]
                if top == folder or top == "tests" and test:
                    continue
                if top in allowed or name in allowed:
                    continue
                # A test may use fakes, and what is below the folders that its own folder uses.
                if test and (("/testing/" in name) or top in ("base", "os", "db", "oci")):
                    continue
                if test and any(a.split("/")[0] == top for a in allowed):
                    continue
                if name in ("cri.pb.h", "cri.grpc.pb.h") and folder in ("api", "cli"):
                    continue
                errors.append(f"{rel}: src/{folder} may not include {name}")
            for pattern, folders in ONLY_IN.items():
                if re.match(pattern, name) and folder not in folders:
                    errors.append(f"{rel}: only {', '.join(folders)} may include {name}")
            if name.startswith("nlohmann/json.hpp") and path.suffix == ".h" and not rel.endswith("_internal.h"):
                errors.append(f"{rel}: nlohmann/json.hpp only in .cc files and *_internal.h")
        code = "" if test else re.sub(r"//.*", "", text)
        for pattern, (instead, files) in BANNED.items():
            if rel not in files and (found := re.search(pattern, code)):
                errors.append(f"{rel}: {found.group()} is banned, use {instead}")
    for error in errors:
        print(error)
    print(f"layers: {len(errors)} violations")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

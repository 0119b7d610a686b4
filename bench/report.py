# SPDX-License-Identifier: Apache-2.0
"""What bench/run measured, as a Markdown table: medians, p95, p99, and how many times the peer's the figure is."""
import statistics

# (title, kind, Berth's key, the peer's key). Samples are milliseconds; of figures, what their name says.
STEPS = ("start", "RunPodSandbox", "CreateContainer", "StartContainer", "pod gone", "StopPodSandbox", "RemovePodSandbox",
         "StopContainer", "RemoveContainer")
NAMES = {"start": "pod + container start (sum)", "pod gone": "StopPodSandbox + RemovePodSandbox (sum)"}
SETS = (("reference", "reference", "reference CNI plugins"), ("own", "reference", "Berth's own CNI plugins (peer: reference)"),
        ("host", "host", "host network"))
CALLS = (("ExecSync", "ExecSync `true`"), ("PodSandboxStatus", "PodSandboxStatus"), ("ContainerStatus", "ContainerStatus"),
         ("ListContainers", "ListContainers"), ("ListPodSandbox", "ListPodSandbox"),
         ("ListContainerStats", "ListContainerStats"), ("ListPodSandboxStats", "ListPodSandboxStats"))


def rows():
    for ours, theirs, title in SETS:
        for step in STEPS:
            yield f"{title}: {NAMES.get(step, step)}, ms", "samples", f"{ours}: {step}", f"{theirs}: {step}"
    for ours, theirs, title in SETS:
        for label, what in (("CPU s per pod", "CPU seconds to start and remove a pod"),
                            ("own CPU s per pod", "the same without what runs in the pod's control group")):
            yield f"{title}: {what}", "figures", f"{ours}: {label}", f"{theirs}: {label}"
    for ours, theirs, title in SETS:
        label = f"{title}, 50 pods, 10 in parallel"
        for step, what in (("wall", "wall, ms"), ("start", "one pod's start, ms")):
            yield f"{label}: {what}", "samples", f"{ours}, parallel: {step}", f"{theirs}, parallel: {step}"
        yield f"{label}: removed, wall, ms", "samples", f"{ours}, parallel, removed: wall", f"{theirs}, parallel, removed: wall"
        yield f"{label}: CPU seconds per start", "figures", f"{ours}, parallel: CPU s per start", \
            f"{theirs}, parallel: CPU s per start"
    for step, what in CALLS:
        for count in (50, 500):
            yield f"{what}, {count} containers, ms", "samples", f"{count}: {step}", f"{count}: {step}"
    yield "ExecSync `true`: CPU ms", "figures", "ExecSync CPU ms", "ExecSync CPU ms"
    for pods in (50, 30):
        key = f"restart, {pods}: first answer"
        yield f"kill -9 with {pods} pods, start, first answer, ms", "samples", key, key
    for key, title in (("daemon PSS MiB, 0 pods", ""), ("daemon PSS MiB, 50 pods", ""), ("daemon PSS MiB, 200 pods", ""),
                       ("helpers PSS MiB per pod, 50 pods", "monitors and helpers, PSS MiB per pod, 50 pods"),
                       ("helpers PSS MiB per pod, 200 pods", "monitors and helpers, PSS MiB per pod, 200 pods"),
                       ("MemAvailable MiB per pod, 50 pods", "MemAvailable less by, MiB per pod, 50 pods"),
                       ("MemAvailable MiB per pod, 200 pods", "MemAvailable less by, MiB per pod, 200 pods"),
                       ("idle CPU %, 50 pods", ""), ("polled CPU %, 50 pods", "CPU %, 50 pods, polled as by a kubelet"),
                       ("log CPU s per GB", "log, 100-byte lines: the runtime's own CPU seconds per GB")):
        yield title or key, "figures", key, key
    yield "log, 100-byte lines, MB/s (more is better)", "figures", "log MB/s", "log MB/s"


def rank(values, share):
    """The nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


def number(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def cell(values):
    middle = statistics.median(values)
    if len(values) < 20:
        return middle, f"{number(middle)} ({number(min(values))} to {number(max(values))}; n={len(values)})"
    return middle, f"{number(middle)} / {number(rank(values, 95))} / {number(rank(values, 99))} (n={len(values)})"


def pooled(rounds, kind, key):
    values = []
    for one in rounds:
        found = one[kind].get(key, [])
        values += found if isinstance(found, list) else [found]
    return values


def head(about, runs):
    turns = ", ".join(f"{name} {len(rounds)}" for name, rounds in runs.items())
    small = " **--small: few pods, the figures say nothing.**" if about["small"] else ""
    return (f"{about['date']}, commit {about['commit']}; {about['cpus']} CPUs ({about['cpu']}), {about['memory_GiB']} GiB, kernel "
            f"{about['kernel']}; {', '.join(about['versions'].values())}. Parts: {', '.join(about['parts'])}. In turns, {turns}; load "
            f"average before each turn and at the end: {', '.join(map(str, about['load']))}.{small}")


def markdown(about, runs):
    peer = next((name for name in runs if name != "berth"), None)
    lines = [head(about, runs), "", "Median / p95 / p99; where there are fewer than 20 samples, the median and the range.", "",
             "| what | Berth |" + (f" {peer} | {peer} / Berth |" if peer else ""), "|---|---|" + ("---|---|" if peer else "")]
    for title, kind, ours, theirs in rows():
        own = pooled(runs.get("berth", []), kind, ours)
        if not own:
            continue
        middle, text = cell(own)
        line = f"| {title} | {text} |"
        other = pooled(runs[peer], kind, theirs) if peer else []
        if other:
            against, text = cell(other)
            line += f" {text} | {against / middle:.1f} |" if middle > 0 else f" {text} | |"
        elif peer:
            line += " | |"
        lines.append(line)
    return "\n".join(lines)

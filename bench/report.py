# SPDX-License-Identifier: Apache-2.0
"""What bench/run measured, as a Markdown table: medians, p95, p99, and how many times the peer's the figure is."""
import statistics

# (what, Berth's key, the peer's key, decimals). Keys of samples are milliseconds; of figures, what their name says.
STEPS = ("start", "RunPodSandbox", "CreateContainer", "StartContainer", "pod gone", "StopPodSandbox", "RemovePodSandbox",
         "StopContainer", "RemoveContainer")
NAMES = {"start": "pod + container start (sum)", "pod gone": "StopPodSandbox + RemovePodSandbox (sum)"}
SETS = (("reference", "reference", "reference CNI plugins"), ("own", "reference", "Berth's own CNI plugins (peer: reference)"),
        ("host", "host", "host network"))


def sample_rows():
    for ours, theirs, title in SETS:
        for step in STEPS:
            yield f"{title}: {NAMES.get(step, step)}, ms", f"{ours}: {step}", f"{theirs}: {step}"
    for step, title in (("wall", "50 pods, 10 in parallel, own plugins (peer: reference): wall, ms"),
                        ("start", "the same: one pod's start, ms"),
                        ("ExecSync", "ExecSync `true`, 50 pods, ms"), ("ListContainers", "ListContainers of 50, ms"),
                        ("ListPodSandbox", "ListPodSandbox of 50, ms"), ("ListContainerStats", "ListContainerStats of 50, ms"),
                        ("ListPodSandboxStats", "ListPodSandboxStats of 50, ms")):
        yield title, f"50 pods: {step}", f"50 pods: {step}"
    yield "kill -9 with 30 pods, start, first answer, ms", "30 pods: restart, first answer", "30 pods: restart, first answer"


def figure_rows():
    for ours, theirs, title in SETS:
        yield f"{title}: CPU seconds to start and remove a pod", f"{ours}: CPU s per pod", f"{theirs}: CPU s per pod"
    yield "50 pods, 10 in parallel: CPU seconds per start", "50 pods: CPU s per start", "50 pods: CPU s per start"
    for key in ("daemon PSS MiB, 0 pods", "daemon PSS MiB, 50 pods", "monitors and helpers, PSS MiB per pod", "idle CPU %, 50 pods"):
        yield key, key, key


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


def markdown(about, runs):
    peer = next((name for name in runs if name != "berth"), None)
    lines = [f"{about['date']}, commit {about['commit']}; {about['cpus']} CPUs ({about['cpu']}), {about['memory_GiB']} GiB, kernel "
             f"{about['kernel']}; " + ", ".join(about["versions"].values()) + ". In turns, "
             + ", ".join(f"{name} {len(rounds)}" for name, rounds in runs.items()) + "; load average before each turn"
             f" and at the end: {', '.join(map(str, about['load']))}.", "",
             "Median / p95 / p99; where there are fewer than 20 samples, the median and the range.", "",
             "| what | Berth |" + (f" {peer} | {peer} / Berth |" if peer else ""), "|---|---|" + ("---|---|" if peer else "")]
    for kind, rows in (("samples", sample_rows()), ("figures", figure_rows())):
        for title, ours, theirs in rows:
            own = pooled(runs["berth"], kind, ours)
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

# SPDX-License-Identifier: Apache-2.0
"""What bench/pull measured, for bench/run: `measure` runs it, `markdown` is its table."""
import json
import pathlib
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = (("wall_s", "until the data is on disk, s", 2), ("pull_s", "until the call returns, s", 2), ("cpu_s", "CPU, s", 2),
           ("peak_rss_mb", "peak memory, MB", 0))


def add_options(parser):
    parser.add_argument("--pulls", action="store_true", help="bench/pull as well; its rows are a table of their own")
    parser.add_argument("--pull-rounds", type=int, default=3)
    parser.add_argument("--pull-images", help="some of them only, with commas between")
    parser.set_defaults(pull_figures=None)


def measure(options):
    """{"images": ..., "runs": {runtime: {image: [one round's figures, ...]}}} as bench/pull --json writes it; None without --pulls."""
    if not options.pulls:
        return None
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "pulls.json"
        command = [HERE / "pull", "--rounds", str(options.pull_rounds), "--json", path]
        command += ["--images", options.pull_images] if options.pull_images else []
        subprocess.run(command, check=True)
        return json.loads(path.read_text())


def _cell(runs, key, decimals):
    values = [run[key] for run in runs]
    return f"{statistics.median(values):.{decimals}f} ({min(values):.{decimals}f} to {max(values):.{decimals}f})"


def _ratio(theirs, ours, key):
    return f"{statistics.median(r[key] for r in theirs) / statistics.median(r[key] for r in ours):.2f}"


def markdown(pulls):
    """Rows of image and figure, a column for each runtime; what the floor is: bench/pull."""
    if pulls is None:
        return ""
    runs = pulls["runs"]
    others = [name for name in runs if name != "berth"]
    rounds = max(len(r) for by_image in runs.values() for r in by_image.values())
    titles = ["cold pull", *runs, *(f"{name} / berth" for name in others)]
    lines = ["", "", f"Cold pulls, in turn, {rounds} of each: median (range).", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for image, facts in pulls["images"].items():
        what = f"{image}: {facts['compressed'] / 1e6:.0f} MB gzip, {facts['files']} files, {len(facts['layers'])} layers"
        for key, title, decimals in COLUMNS:
            cells = [_cell(runs[name][image], key, decimals) for name in runs]
            ratios = [_ratio(runs[name][image], runs["berth"][image], key) for name in others]
            lines.append(f"| {' | '.join([f'{what}: {title}', *cells, *ratios])} |")
    return "\n".join(lines)

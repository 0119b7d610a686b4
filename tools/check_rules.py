#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every rule of docs/cri-rules.md has a test that names it, and no test names a rule that is not there."""
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GTEST = re.compile(r"\bTEST(?:_F|_P)?\(\s*\w+,\s*(Rule(\d+)\w+)\)")
PYTHON = re.compile(r"^@test\b[^\n]*\ndef (test_rule_(\d+)_\w+)\(", re.M)


def named():
    found = collections.defaultdict(list)
    for path in sorted((ROOT / "src").rglob("*_test.cc")):
        for name, number in GTEST.findall(path.read_text()):
            found[int(number)].append(f"{path.relative_to(ROOT)}: {name}")
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, number in PYTHON.findall(path.read_text()):
            found[int(number)].append(f"{path.relative_to(ROOT)}: {name}")
    return found


def main():
    rows = re.findall(r"^\| (\d+)( \(open\))? \|", (ROOT / "docs" / "cri-rules.md").read_text(), re.M)
    rules, still_open = [int(n) for n, _ in rows], {int(n) for n, mark in rows if mark}
    found, wrong = named(), []
    if rules != list(range(1, len(rules) + 1)) or not rules:
        wrong.append(f"docs/cri-rules.md: the rules are numbered {rules}")
    wrong += [f"rule {number}: no test names it" for number in rules if number not in found and number not in still_open]
    wrong += [f"rule {number} is marked open, and tests name it: {found[number]}" for number in still_open if number in found]
    wrong += [f"{test}: there is no rule {number}" for number in found if number not in rules for test in found[number]]
    if "--list" in sys.argv[1:]:
        for number in rules:
            print(number, *found[number], sep="\n  ")
    print("\n".join(wrong) if wrong else f"{len(rules)} rules, {len(still_open)} of them open, {sum(map(len, found.values()))} tests that name one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

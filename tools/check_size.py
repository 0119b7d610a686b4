#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a source file is longer than 600 lines; names those beyond 400, which need a reason in review."""
import pathlib
import sys


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    failed = 0
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".h", ".cc"):
            continue
        lines = path.read_text().count("\n")
        if lines > 600:
            print(f"{path.relative_to(root)}: {lines} lines, the limit is 600")
            failed += 1
        elif lines > 400:
            print(f"{path.relative_to(root)}: {lines} lines (long)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

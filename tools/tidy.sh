#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy 19 with .clang-tidy over src/: all files, those changed since a revision, or those named. Exit code 1 for findings.
#   tools/tidy.sh [-b BUILD_DIR] [-j JOBS] [-s REVISION | PATH...]      PATH: a .cc file or a folder; a header is seen through
#                                                                       the files that include it, so -s takes these too
set -euo pipefail
cd "$(dirname "$0")/.."
build=build jobs=$(nproc) since=
while getopts b:j:s: option; do
  case $option in
    b) build=$OPTARG ;;
    j) jobs=$OPTARG ;;
    s) since=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
command -v clang-tidy-19 >/dev/null || { echo "clang-tidy-19 is not installed" >&2; exit 2; }
[ -e "$build/compile_commands.json" ] || { echo "$build/compile_commands.json: configure first" >&2; exit 2; }

# base and os are compiled twice; each file is looked at once, with its first command.
database=$(mktemp -d)
trap 'rm -rf "$database"' EXIT
python3 - "$build/compile_commands.json" >"$database/compile_commands.json" <<'PYTHON'
import json, sys
first = {}
for entry in json.load(open(sys.argv[1])):
    first.setdefault(entry["file"], entry)
json.dump(list(first.values()), sys.stdout)
PYTHON

list_files() {
  if [ -n "$since" ]; then
    git diff --name-only --diff-filter=d "$since" -- 'src/*.cc'
    git diff --name-only --diff-filter=d "$since" -- 'src/*.h' | sed 's|^src/||' | while read -r header; do
      grep -rlF --include='*.cc' "#include \"$header\"" src || true
    done
  else
    find "${@:-src}" -name '*.cc'
  fi | sort -u | while read -r file; do
    # What no build compiles (another machine's code, say) has no command to go by.
    grep -qF "/$file\"" "$database/compile_commands.json" && echo "$file" || echo "skipped, not compiled: $file" >&2
  done
}

files=$(list_files "$@")
[ -n "$files" ] || { echo "tidy: no files"; exit 0; }
# -Wno-...: flags of gcc that clang has not; gcc reports its own warnings in the build.
if xargs -P "$jobs" -n 1 clang-tidy-19 -p "$database" --quiet \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument \
    --extra-arg=-Wno-error <<<"$files" 2> >(grep -v 'warnings\? generated\|Suppressed\|Use -header-filter' >&2); then
  echo "tidy: $(wc -l <<<"$files") files, no findings"
else
  echo "tidy: findings in $(wc -l <<<"$files") files looked at" >&2
  exit 1
fi

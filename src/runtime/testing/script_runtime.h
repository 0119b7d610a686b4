// SPDX-License-Identifier: Apache-2.0
// An OCI runtime of a few lines of shell, for tests without root: its config.json and process.json
// are shell scripts, and its containers plain processes. Understands create, start, exec, update, delete
// and the options that the monitor gives.
#pragma once

namespace berth::runtime {

inline constexpr const char* kScriptRuntime = R"SH(#!/bin/sh
root= log= bundle= pidfile= process=
while [ $# -gt 1 ]; do
  case "$1" in
    --root) root=$2; shift 2;;
    --log) log=$2; shift 2;;
    --bundle) bundle=$2; shift 2;;
    --pid-file) pidfile=$2; shift 2;;
    --resources) resources=$2; shift 2;;
    --process) process=$2; shift 2;;
    --*) shift;;
    create|start|exec|update|delete) command=$1; shift;;
    *) break;;
  esac
done
id=$1
exec 3<&0  # a background command's stdin is /dev/null unless told otherwise, and 0 is that by then
fail() { echo "{\"msg\":\"$1\",\"level\":\"error\"}" >> "$log"; exit 1; }
case "$command" in
  create)
    mkdir -p "$root/$id" || exit 1
    grep -q '^#hang' "$bundle/config.json" && exec sleep 1000
    grep -q '^#refuse' "$bundle/config.json" && fail "no such \\\"program\\\""
    mkfifo "$root/$id/start"
    setsid sh -c 'read x < "$0"; exec sh "$1"' "$root/$id/start" "$bundle/config.json" <&3 3<&- &
    echo $! > "$root/$id/pid"
    echo $! > "$pidfile";;
  start)
    grep -q '^#nostart' "${root%/runtime}/pods/"*"/c/$id/config.json" && { kill -9 $(cat "$root/$id/pid"); fail "cannot start"; }
    echo go > "$root/$id/start";;
  exec)
    grep -q '^#refuse' "$process" && fail "executable not found"
    cp "$process" "$root/$id/exec.$$"
    setsid sh "$root/$id/exec.$$" <&3 3<&- &
    echo $! > "$pidfile";;
  update)
    grep -q refuse "$resources" && fail "cannot write limit"
    cp "$resources" "$root/$id/resources";;
  delete)
    [ -e "$root/$id/pid" ] && kill -9 $(cat "$root/$id/pid") 2>/dev/null
    rm -rf "$root/$id";;
  *) echo "crun version 1.28";;
esac
exit 0
)SH";

}  // namespace berth::runtime

#!/bin/sh
# Pins every version, direct or not, for CPython 3.10 to 3.14, into the two constraints files.
# Pins that still fit are kept; `lock.sh --upgrade` takes the newest versions.
set -eu
cd "$(dirname "$0")"
upgrade=${1:-}
lock() {
    output=$1
    shift
    uv pip compile $upgrade --quiet --universal --python-version 3.10 --no-annotate \
        --custom-compile-command "make lock" --output-file "$output" "$@"
}
lock constraints_wheels.txt run.txt ros.txt test.txt interfaces.txt training.txt fuzz.txt audit.txt
lock constraints_distribution.txt run.txt distribution.txt test.txt training.txt fuzz.txt audit.txt

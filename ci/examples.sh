#!/usr/bin/env bash
# Every example that can be run, with little to do: that it ends well and says what it did.
set -euo pipefail
cd "$(dirname "$0")/.."
# example PACKAGE NAME EXPECTED [OPTION...] [-- ARGUMENT...]: runs it, and demands that a line fits EXPECTED.
example() {
    local package=$1 name=$2 expected=$3 output
    shift 3
    output=$(cargo run --quiet --release --package "$package" --example "$name" "$@")
    grep -qE "$expected" <<<"$output" || { printf '%s\n' "$name does not say '$expected' but:" "$output"; exit 1; }
    echo "$name: ok"
}
example numaslab server '^400 requests answered' -- 4 100
example numaslab numa_server '^4000 requests answered' -- 4 1000
example numaslab-numa rayon_nodes '^sum 499999500000' --features rayon -- 1000000
example numaslab-numa tokio_nodes '^4000 requests answered' --features tokio -- 4 1000
example numaslab cost_model '^ next +1 +1 ' --features line-counts -- 1 100

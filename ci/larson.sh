#!/usr/bin/env bash
# A short larson: that the main job runs and leaves its table, figures and picture. Judges no speed.
set -euo pipefail
cd "$(dirname "$0")/.."
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
cargo run --quiet --release -p numaslab-bench -- larson --threads 1,4 --rounds 1 --seconds 0.2 --output "$output"
test -s "$output/larson.json"
test -s "$output/larson.svg"

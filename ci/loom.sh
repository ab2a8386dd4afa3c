#!/usr/bin/env bash
# The loom models: every interleaving of small versions of the lock-free protocols, on the code that ships.
# Builds in a target folder of its own, since every crate is built anew with `--cfg loom`.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
exec cargo test --quiet --release -p numaslab --lib loom_tests

#!/usr/bin/env bash
# The unit tests and the integration tests of the allocator once more, with caches per thread, and with
# this crate's own rseq registration instead of the C library's.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "caches per thread:"
NUMASLAB_RSEQ=off cargo test --quiet -p numaslab --lib
echo "own rseq registration:"
GLIBC_TUNABLES=glibc.pthread.rseq=0 cargo test --quiet -p numaslab

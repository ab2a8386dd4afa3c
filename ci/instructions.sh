#!/usr/bin/env bash
# Counts the instructions of a hit of alloc and dealloc in the code that the compiler made (x86-64), and
# fails if there are more than the bounds below, a call, or a lock prefix.
#
# A hit is the path from the function's entry to a return that passes the committing store. Bounds are
# for a class known at compile time; those for any size guard against growth.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -m)" != x86_64 ]; then
    echo "SKIPPED: instructions.sh counts x86-64 code only"
    exit 0
fi
for tool in objdump python3; do
    command -v "$tool" >/dev/null || { apt-get install -y -q binutils python3 >/dev/null; break; }
done
cargo build --quiet --release --example hit_path
binary=${CARGO_TARGET_DIR:-target}/release/examples/hit_path
objdump -d -M intel --no-show-raw-insn "$binary" | python3 ci/instructions.py \
    hit_alloc_const=20 hit_dealloc_const=20 hit_alloc_dynamic=28 hit_dealloc_dynamic=26 \
    hit_malloc=27 hit_free=30

#!/usr/bin/env bash
# libnumaslab.so: programs in C and C++ that call all of it, and real programs with it under them, which must do what
# they do without. PROGRAM_RUNS says how often each real program is run in each mode (twice here; 20 by hand).
# Judges no speed: `cargo run --release -p numaslab-bench --bin numaslab-bench-programs` makes the table of that.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(gcc g++ binutils redis-server redis-tools python3 libpython3.11-testsuite sqlite3 git perl coreutils)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
# A package that is not to be had is said aloud here, and by the tests that need it.
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq || true
    for package in "${missing[@]}"; do
        # No service is to be started by it.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
            echo "SKIPPED: $package can't be installed"
    done
fi
command -v node >/dev/null || apt-get install -y -qq --no-install-recommends nodejs >/dev/null ||
    echo "SKIPPED: nodejs can't be installed"
cargo test --quiet -p numaslab-preload
export PROGRAM_RUNS=${PROGRAM_RUNS:-2}
cargo test --quiet -p numaslab-bench --test programs

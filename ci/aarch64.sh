#!/bin/bash
# ci/aarch64.sh: the tests on an emulated aarch64 machine, by the same table and scripts as ci/numa.sh, whose options it
# takes. Fails loudly (status 77) if there is no cross linker, Rust target or emulator to be had.
exec "$(dirname "$0")/numa.sh" --arch aarch64 "$@"

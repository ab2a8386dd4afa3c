# shellcheck shell=bash
# What a machine is given to do: programs and jobs, as a folder that becomes a part of its root filesystem.
# Sourced, not run.
#   PAYLOAD/bin/PROGRAM           stripped of debug information
#   PAYLOAD/lib/LIBRARY           shared libraries beyond those of the base image
#   PAYLOAD/job/ID/{run,seconds}  a shell script that runs a program, and how long it may take

# program_arch FILE: the architecture that an ELF program is for (e_machine, at byte 18 of the header).
program_arch() {
  case $(od -An -tu2 -j18 -N2 "$1") in *183) echo aarch64 ;; *) echo x86_64 ;; esac
}

# add_program PAYLOAD FILE NAME: copies a program and what it is linked with.
add_program() {
  local strip=strip
  mkdir -p "$1/bin" "$1/lib"
  [ -e "$1/bin/$3" ] && return
  cp -L "$2" "$1/bin/$3"
  chmod 755 "$1/bin/$3"
  [ "$(program_arch "$2")" = x86_64 ] || strip=$(program_arch "$2")-linux-gnu-strip
  "$strip" -g "$1/bin/$3" 2>/dev/null || true
  # Libraries of the C library itself are in the base image, in the version that is to be tested.
  ! ldd "$2" 2>/dev/null | grep -q 'not found' || say "$3 needs a library that this machine does not have"
  (ldd "$2" 2>/dev/null || true) | awk '$2 == "=>" && $3 ~ /^\// &&
      $1 !~ /^(libc|libm|libpthread|libdl|librt|libutil|libresolv|libgcc_s)\.so/ { print $3 }' |
    while read -r library; do cp -L "$library" "$1/lib/"; done
}

# Emulation is slow: tests whose rounds tell nothing new (tests/support/effort.rs) make one in so many of them.
TEST_ONE_IN=${TEST_ONE_IN:-4}

# add_job PAYLOAD ID SECONDS MODE TOPOLOGY PROGRAM [ARGUMENT...]
# MODE is shell text that is run first in the machine, such as 'export NAME=value'.
add_job() {
  local dir=$1/job/$2 seconds=$3 mode=$4 topology=$5
  shift 5
  mkdir -p "$dir"
  echo "$seconds" >"$dir/seconds"
  {
    echo "export NUMA_RIG=$topology TEST_ONE_IN=$TEST_ONE_IN RUST_BACKTRACE=1 LD_LIBRARY_PATH=/rig/lib"
    echo "${mode:-:}"
    printf 'exec ./%q' "$1"
    shift
    [ $# -eq 0 ] || printf ' %q' "$@"
    echo
  } >"$dir/run"
}

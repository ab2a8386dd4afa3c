#!/bin/bash
# machine.sh ARCH TOPOLOGY KERNEL GLIBC PAYLOAD OUT [--follow]: boots one emulated machine and runs all jobs of
# PAYLOAD (see payload.sh) in it. Leaves OUT/ID.log and OUT/ID.status for each job ('STATUS SECONDS'; STATUS is a
# number, or 'died' if the machine went down with the job), OUT/kernel.log and OUT/boots.
# --follow also prints what the jobs print, as they print it.
#
# A machine that does not come up is started again, three times at most; one that goes down during a job is started
# again for the jobs that are left. The exit status is 0 if every job has been begun.
set -uo pipefail
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/topology.sh"
arch=$1 name=$2 kernel=$3 glibc=$4 payload=$5 out=$6 follow=${7:-}

BOOT_SECONDS=${RIG_BOOT_SECONDS:-90}

topology "$name" || skip "no machine is called $name (there are $TOPOLOGIES)"
[ -e "$RIG_DIR/kernel/$arch/$kernel" ] || skip "no kernel $kernel for $arch in $RIG_DIR"
[ -e "$RIG_DIR/base/$arch/$glibc.cpio" ] || skip "no base image with glibc $glibc for $arch in $RIG_DIR"
mkdir -p "$out"
work=$(mktemp -d)
qemu=
cleanup() {
  [ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# command_line: qemu's whole command in COMMAND.
# shellcheck disable=SC2054 # the commas are qemu's
command_line() {
  local append="quiet panic=-1 mitigations=off cryptomgr.notests numa_balancing=disable rdinit=/init"
  topology_arguments
  COMMAND=(nice -n 10 "$RIG_DIR/qemu/usr/bin/qemu-system-$arch" -L "$RIG_DIR/qemu/usr/share/qemu"
    -L "$RIG_DIR/qemu/usr/share/seabios" -accel tcg,thread=multi -nodefaults -no-user-config -display none
    -no-reboot -serial "file:$work/console" -serial "file:$out/kernel.log")
  if [ "$arch" = aarch64 ]; then
    COMMAND+=(-M virt,gic-version=3 -cpu max,pauth-impdef=on)
    append+=" console=ttyAMA1"
  else
    COMMAND+=(-M pc -cpu max)
    # A given loop count and a trusted TSC spare the calibrations, which emulation gets wrong when the host is
    # busy; CPUs that come up in parallel starve each other on a host with few.
    append+=" console=ttyS1 lpj=4000000 tsc=reliable cpuhp.parallel=0"
  fi
  COMMAND+=("${ARGUMENTS[@]}" -kernel "$RIG_DIR/kernel/$arch/$kernel" -initrd "$work/initrd" -append "$append $KERNEL_ARGS")
}

# pack JOB...: the root filesystem with these jobs.
pack() {
  rm -rf "$work/root"
  mkdir -p "$work/root/rig/job"
  cp -al "$payload/bin" "$payload/lib" "$work/root/rig/" 2>/dev/null || cp -a "$payload/bin" "$payload/lib" "$work/root/rig/"
  local job
  for job; do cp -a "$payload/job/$job" "$work/root/rig/job/"; done
  (cd "$work/root" && find rig | cpio -o -H newc --quiet -R 0:0) | cat "$RIG_DIR/base/$arch/$glibc.cpio" - >"$work/initrd"
}

# alive: whether qemu still runs.
alive() {
  kill -0 "$qemu" 2>/dev/null
}

# switch_off: ends qemu if it has not ended by itself.
switch_off() {
  kill -KILL "$qemu" 2>/dev/null
  wait "$qemu" 2>/dev/null
  qemu=
}

# wait_for_boot: whether the machine comes up within BOOT_SECONDS.
wait_for_boot() {
  local fifths
  for ((fifths = BOOT_SECONDS * 5; fifths > 0; fifths--)); do
    grep -q '^@rig up' "$work/console" && return 0
    alive || return 1
    sleep 0.2
  done
  return 1
}

# boot SECONDS: runs the machine until it ends or has had its time for the jobs.
boot() {
  local fifths follower=
  : >"$work/console"
  echo boot >>"$out/boots"
  "${COMMAND[@]}" </dev/null >"$out/qemu.log" 2>&1 &
  qemu=$!
  wait_for_boot || { switch_off; return 1; }
  if [ -n "$follow" ]; then
    tail -n +1 -s 0.1 --pid="$qemu" -f "$work/console" | sed -u '/^@rig /d' &
    follower=$!
  fi
  for ((fifths = $1 * 5; fifths > 0; fifths--)); do
    alive || break
    sleep 0.2
  done
  switch_off
  [ -z "$follower" ] || wait "$follower"
  return 0
}

# sort_out: from the console to a log and a status for each job that has begun. A line is held back until the next one
# comes, since the mark behind an empty line may have put it there.
sort_out() {
  awk -v out="$out" '
    function status(text) { print text > (out "/" job ".status"); close(out "/" job ".status") }
    function release()    { if (held) print line > (out "/" job ".log"); held = 0 }
    /^@rig begin /        { job = $3; held = 0; printf "" > (out "/" job ".log"); status("died 0"); next }
    /^@rig end /          { if (line != "") release(); held = 0; status($4 " " $5); close(out "/" job ".log"); job = ""; next }
    job != ""             { release(); line = $0; held = 1 }
    END                   { if (job != "") release() }' "$work/console"
}

command_line
failures=0
while :; do
  jobs=() seconds=30
  for dir in "$payload"/job/*; do
    [ -e "$out/${dir##*/}.status" ] && continue
    jobs+=("${dir##*/}") seconds=$((seconds + $(cat "$dir/seconds")))
  done
  [ ${#jobs[@]} -gt 0 ] || exit 0
  pack "${jobs[@]}"
  if ! boot "$seconds"; then
    failures=$((failures + 1))
    [ $failures -lt 3 ] && continue
    say "machine $name ($arch, kernel $kernel) does not come up:"
    tail -q -n 5 "$out/qemu.log" "$out/kernel.log" >&2
    exit 1
  fi
  sort_out
done

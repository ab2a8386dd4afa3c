#!/bin/sh
# /init of the emulated machines: runs the jobs below /rig/job one after the other, each with its output on the
# first serial line between marks that machine.sh looks for, then switches the machine off.
#   @rig up KERNEL | @rig begin JOB | @rig end JOB STATUS SECONDS | @rig done
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mkdir -p /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
for serial in /dev/ttyAMA0 /dev/ttyS0; do # aarch64 has both, but only the first is wired
  [ -c $serial ] && exec </dev/null >$serial 2>&1 && break
done
stty -opost -echo <$serial

clock() {
  read -r up _ </proc/uptime
  echo "${up%.*}"
}

echo "@rig up $(uname -r)"
for job in /rig/job/*; do
  echo "@rig begin ${job##*/}"
  start=$(clock)
  # Kept off by default, since it moves pages behind the back of a test; a job may switch it on.
  [ -e /proc/sys/kernel/numa_balancing ] && echo 0 >/proc/sys/kernel/numa_balancing
  (cd /rig/bin && exec timeout -s KILL "$(cat "$job/seconds")" sh "$job/run")
  status=$?
  # The program may have left its last line open.
  printf '\n@rig end %s %s %s\n' "${job##*/}" $status $(($(clock) - start))
done
echo "@rig done"
exec >/dev/null 2>&1 # the last close waits until the line is drained
reboot -f            # qemu runs with -no-reboot and ends here

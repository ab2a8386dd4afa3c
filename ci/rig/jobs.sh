# shellcheck shell=bash disable=SC2034
# What the lane runs, and where. Sourced by ci/numa.sh.
#
# mode NAME TEXT                  shell text that is run in the machine before the program
# machines NAME MACHINE...        a word for several machines: [ARCH/]TOPOLOGY[:KERNEL[:GLIBC]]
# job PACKAGE TARGET MACHINES MODES SECONDS [ARGUMENT...]
#   PACKAGE   a package of the workspace
#   TARGET    `lib` for its unit tests, else the name of a test below tests/; may be a pattern, which takes every
#             target that fits and that no job names in full
#   MACHINES  words of `machines`, or machines, separated by commas
#   MODES     words of `mode`, separated by commas
#   SECONDS   how long one run may take in the machine. Be generous: on a busy host the machine's clock may run
#             several times too fast
#   ARGUMENT  for the test program, such as a filter or --skip NAME
# A test that needs the source tree or a compiler cannot run in a machine; leave it out here.

# Kernel and C library of a machine that names none.
DEFAULT_KERNEL=6.12
DEFAULT_GLIBC=2.36

mode plain ''
mode fallback 'export NUMASLAB_RSEQ=off'
mode own-rseq 'export GLIBC_TUNABLES=glibc.pthread.rseq=0'
mode brief 'export TEST_ONE_IN=16'
mode balancing 'echo 1 >/proc/sys/kernel/numa_balancing'

# Every shape of machine once.
machines shapes n1 n2 n4 n8 smt memonly nomem hetero sparse absent dimm huge gig
# Every kernel with every C library.
machines versions n4:6.1:2.36 n4:6.1:2.41 n4:6.12:2.36 n4:6.12:2.41 n4:7.2:2.36 n4:7.2:2.41
# The other architecture.
machines arm aarch64/n4:6.1:2.36

job numaslab-numa lib n2 plain 60
job numaslab-numa fixtures n1 plain 600
job numaslab-numa machine shapes,versions,arm plain 600

job numaslab lib shapes,versions,arm plain,fallback 300
job numaslab lib versions own-rseq 300
# Tests of the allocator that are about nodes: where pages lie on every shape of machine, the rest where it may
# differ. They take a minute or more in a machine, so not all of them run everywhere.
job numaslab numa_placement shapes plain 300
job numaslab 'numa_*' n4 plain,fallback 300
job numaslab 'numa_*' n4:6.1:2.41,n4:7.2:2.41 plain 300
# Pages of the reserved pool, unequal on the nodes; kernels differ in how they move and count them.
job numaslab numa_reserved huge,gig,memonly,n4:6.1:2.36,n4:6.12,n4:7.2:2.41 plain,fallback 600
job numaslab reserved_pages huge brief 600
# What the allocator does when calls fail is the same on every kernel, and takes minutes.
job numaslab reserved_pages n1:6.1:2.36,n1:7.2:2.41 plain 600 --skip each_call_on_the_way
job numaslab numa_explicit n2,memonly,nomem,hetero plain 300

# What the doctor finds on each shape of machine.
job numaslab-doctor host shapes,versions,arm plain 120

# The ordinary tests on four nodes. Each of them makes processes of both modes, with restartable sequences and in
# fallback mode, by itself, so one run is enough; an Nth of their rounds is made here (payload.sh).
for target in stress fork signals limits model modes corruption global_allocator large maintenance; do
  job numaslab $target n4 plain 600
done
# The rest of them, on a machine of their own, which runs beside that one. Without `fragmentation`, whose heaps are
# larger than these machines, and `floors`, which reads the sources.
for target in huge unsized_blocks resident memory_groups; do
  job numaslab $target n4:6.12:2.41 plain 600
done
# Each of their rounds is a process or a heap of many threads.
job numaslab maintained_stress n4:6.12:2.41 brief 600
# Of the calls that may fail those about nodes; the rest fail alike anywhere, and take four minutes here.
job numaslab faults n4:6.12:2.41 brief 900 each_call_about_cpus_nodes

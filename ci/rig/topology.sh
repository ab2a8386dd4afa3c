# shellcheck shell=bash disable=SC2034,SC2054
# The machines by name: what each is made of. Sourced, not run.

# topology NAME: sets the variables below, or fails if there is no such machine.
#   NODES       a word for each node: CPUS:MEGABYTES (0 CPUs: memory only; 0 megabytes: CPUs only; '-': neither)
#   DISTANCES   a number for all pairs, or 'pairs': 12 within 0-1, 2-3 ..., 20 within a four, 32 beyond
#   THREADS     hardware threads of each core
#   PRESENT     CPUs present at boot, if not all
#   KERNEL_ARGS more for the kernel's command line
#   QEMU_ARGS   more for qemu
#   MEMORY_ARGS more for qemu's -m
topology() {
  DISTANCES=20 THREADS=1 PRESENT='' KERNEL_ARGS='' QEMU_ARGS=() MEMORY_ARGS=''
  case $1 in
    n1) NODES='2:1024' ;;
    n2) NODES='2:1024 2:1024' ;;
    n4) NODES=$(times 4 2:512) DISTANCES=pairs ;;
    n8) NODES=$(times 8 4:512) DISTANCES=pairs ;;
    big64) NODES=$(times 8 8:512) DISTANCES=pairs ;;
    smt) NODES='4:1024 4:1024' THREADS=2 ;;
    memonly) NODES='2:512 2:512 0:512' ;;
    nomem) NODES='2:768 2:0 2:768' ;;
    hetero) NODES='3:1024 1:256' ;; # one package: nodes smaller than a package and of unequal size
    sparse)                         # node 1 has absent CPUs and no memory, so nodes 0 and 2 are online
      NODES='2:512 2:0 2:512' PRESENT=2
      QEMU_ARGS=(-device max-x86_64-cpu,socket-id=2,core-id=0,thread-id=0
        -device max-x86_64-cpu,socket-id=2,core-id=1,thread-id=0)
      ;;
    absent) NODES='4:768 4:768' PRESENT=4 ;; # 8 CPUs possible, 4 present
    dimm)                                    # the memory of node 2 can be taken away
      NODES='2:512 2:512 -' MEMORY_ARGS=',slots=2,maxmem=8G' KERNEL_ARGS='memhp_default_state=online_movable'
      QEMU_ARGS=(-object 'memory-backend-ram,id=dimm,size=512M' -device 'pc-dimm,id=d0,memdev=dimm,node=2')
      ;;
    huge) # 2 MiB pages reserved unevenly
      NODES=$(times 4 2:512) DISTANCES=pairs KERNEL_ARGS='hugepagesz=2M hugepages=0:16,1:16,2:0,3:4'
      ;;
    gig) NODES='2:3072 2:3072' KERNEL_ARGS='hugepagesz=1G hugepages=0:1,1:1 hugepagesz=2M' ;;
    *) return 1 ;;
  esac
}

# All names, for messages and for --list.
TOPOLOGIES='n1 n2 n4 n8 big64 smt memonly nomem hetero sparse absent dimm huge gig'

# times N WORD: the word N times.
times() {
  local i
  for ((i = 0; i < $1; i++)); do printf '%s ' "$2"; done
}

# topology_arguments: qemu's arguments for the machine that `topology` has set, in ARGUMENTS.
topology_arguments() {
  local word node=0 cpu=0 cpus memory total=0 sockets=0 per=0 uniform=1 to distance
  ARGUMENTS=("${QEMU_ARGS[@]}")
  for word in $NODES; do
    [ "$word" = - ] && word=0:0
    cpus=${word%:*} memory=${word#*:}
    local numa=node,nodeid=$node
    if [ "$cpus" -gt 0 ]; then
      numa+=,cpus=$cpu-$((cpu + cpus - 1))
      [ $sockets -eq 0 ] || [ "$per" = "$cpus" ] || uniform=0
      sockets=$((sockets + 1)) per=$cpus
    fi
    if [ "$memory" -gt 0 ]; then
      ARGUMENTS+=(-object "memory-backend-ram,id=m$node,size=${memory}M")
      numa+=,memdev=m$node
    fi
    ARGUMENTS+=(-numa "$numa")
    cpu=$((cpu + cpus)) total=$((total + memory)) node=$((node + 1))
  done
  for ((word = 0; word < node; word++)); do
    for ((to = word + 1; to < node; to++)); do
      distance=$DISTANCES
      [ "$distance" = pairs ] && distance=$((word / 2 == to / 2 ? 12 : word / 4 == to / 4 ? 20 : 32))
      ARGUMENTS+=(-numa "dist,src=$word,dst=$to,val=$distance")
    done
  done
  if [ $uniform = 1 ]; then
    ARGUMENTS+=(-smp "${PRESENT:-$cpu},maxcpus=$cpu,sockets=$sockets,cores=$((per / THREADS)),threads=$THREADS")
  else
    ARGUMENTS+=(-smp "$cpu")
  fi
  ARGUMENTS+=(-m "$total$MEMORY_ARGS")
}

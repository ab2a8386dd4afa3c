#!/usr/bin/env bash
# Reserves huge pages on each NUMA node, shows what there is, or takes a reservation back.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: huge-pages.sh show [--node N] [--size 2M|1G]
       huge-pages.sh reserve PAGES [--node N] [--size 2M|1G] [--compact] [--dry-run]
       huge-pages.sh undo [--node N] [--size 2M|1G] [--dry-run]

show       prints the pages of each node: reserved, free
reserve    sees to it that node N, or each node that has memory, has PAGES pages; a node that has as many or
           more is left as it is. What was there before is remembered until the next boot
undo       puts back what was there before the first reserve, on node N or on each node; pages in use stay
           until they are free

--node N   only this node
--size     2M (the default; what numaslab uses) or 1G
--compact  first lets the kernel drop clean caches and move pages together: slow, but it finds more
--dry-run  prints what would be written, and writes nothing

Needs root for reserve and undo. The kernel may grant fewer pages than asked for, if memory is fragmented:
what it granted is printed, and fewer is an error.

Exit status: 0 done; 1 fewer pages than asked for, or no such node; 2 a wrong call.
USAGE
}

wrong() {
    echo "huge-pages.sh: $*" >&2
    usage >&2
    exit 2
}

# Tests put their own folders here.
nodes_root=${SYSFS_NODES:-/sys/devices/system/node}
vm_root=${PROC_VM:-/proc/sys/vm}
state=${HUGE_PAGES_STATE:-/run/numaslab/huge-pages}

command=${1:-}
[ $# -gt 0 ] && shift
count='' node='' dry='' size=2M compact=''
while [ $# -gt 0 ]; do
    case $1 in
        --node | --size)
            [ $# -gt 1 ] || wrong "$1 wants a value"
            case $1 in --node) node=$2 ;; *) size=$2 ;; esac
            shift
            ;;
        --compact) compact=yes ;;
        --dry-run) dry=yes ;;
        -h | --help) usage; exit 0 ;;
        *[!0-9]* | '') wrong "what is '$1'?" ;;
        *) [ -z "$count" ] || wrong "one number of pages, please"; count=$1 ;;
    esac
    shift
done
case $node in *[!0-9]*) wrong "--node wants a number" ;; esac
case $size in
    2M) pages_dir=hugepages/hugepages-2048kB ;;
    1G) pages_dir=hugepages/hugepages-1048576kB ;;
    *) wrong "--size is 2M or 1G" ;;
esac

nodes() { # the folders of the chosen nodes
    local dir
    for dir in "$nodes_root"/node[0-9]*; do
        [ -e "$dir/$pages_dir/nr_hugepages" ] || continue
        [ -z "$node" ] || [ "${dir##*/node}" = "$node" ] || continue
        # A node without memory has the files, and never a page.
        grep -qs 'MemTotal: *0 kB' "$dir/meminfo" && continue
        echo "$dir"
    done
}

chosen=$(nodes)
missing() {
    echo "huge-pages.sh: no such node, or no huge pages of $size in this kernel" >&2
    exit 1
}

bad=0
put() { # FOLDER PAGES
    local file=$1/$pages_dir/nr_hugepages got
    if [ -n "$dry" ]; then
        echo "would write $2 to $file"
        return
    fi
    echo "$2" >"$file"
    got=$(cat "$file")
    echo "${1##*/}: $got pages of $size"
}

reserve() {
    local dir before
    if [ -n "$compact" ]; then
        if [ -n "$dry" ]; then
            echo "would write 1 to $vm_root/drop_caches and $vm_root/compact_memory"
        else
            echo 1 >"$vm_root/drop_caches"
            echo 1 >"$vm_root/compact_memory"
        fi
    fi
    while read -r dir; do
        before=$(cat "$dir/$pages_dir/nr_hugepages")
        if [ "$before" -ge "$count" ]; then
            echo "${dir##*/}: has $before pages of $size already"
            continue
        fi
        remember "$dir" "$before"
        put "$dir" "$count"
        [ -n "$dry" ] || [ "$(cat "$dir/$pages_dir/nr_hugepages")" -ge "$count" ] || bad=1
    done <<<"$chosen"
    [ $bad = 0 ] || { echo "huge-pages.sh: the kernel granted fewer than asked for; try --compact" >&2; exit 1; }
}

remember() { # FOLDER PAGES, unless something is remembered already
    [ -z "$dry" ] || return 0
    mkdir -p "$state"
    [ -e "$state/${1##*/}-$size" ] || echo "$2" >"$state/${1##*/}-$size"
}

undo() {
    local dir memory
    while read -r dir; do
        memory=$state/${dir##*/}-$size
        if [ ! -e "$memory" ]; then
            echo "${dir##*/}: nothing was reserved by this script since the last boot"
            continue
        fi
        put "$dir" "$(cat "$memory")"
        [ -n "$dry" ] || rm -f "$memory"
    done <<<"$chosen"
}

case $command in
    show)
        [ -n "$chosen" ] || missing
        while read -r dir; do
            echo "${dir##*/}: $(cat "$dir/$pages_dir/nr_hugepages") reserved, $(cat "$dir/$pages_dir/free_hugepages") free"
        done <<<"$chosen"
        ;;
    reserve)
        [ -n "$count" ] || wrong "reserve wants a number of pages"
        [ -n "$chosen" ] || missing
        reserve
        ;;
    undo)
        [ -n "$chosen" ] || missing
        undo
        ;;
    -h | --help | help) usage ;;
    *) wrong "show, reserve or undo" ;;
esac

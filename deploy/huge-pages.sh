#!/usr/bin/env bash
# Reserves 2 MiB huge pages on each NUMA node, shows what there is, or takes a reservation back.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: huge-pages.sh show
       huge-pages.sh reserve PAGES [--node N] [--dry-run]
       huge-pages.sh undo [--node N] [--dry-run]

show     prints the pages of each node: reserved, free
reserve  reserves PAGES pages of 2 MiB on node N, or on each node that has memory
undo     gives the reservation of node N, or of each node, back
--dry-run  prints what would be written, and writes nothing

Needs root for reserve and undo. The kernel may grant fewer pages than asked for, if memory is
fragmented: what it granted is printed, and fewer is an error (exit status 1).
USAGE
}

root=${SYSFS_NODES:-/sys/devices/system/node}
pages_dir=hugepages/hugepages-2048kB
command=${1:-}
[ $# -gt 0 ] && shift
count='' node='' dry=''
while [ $# -gt 0 ]; do
    case $1 in
        --node) node=${2:?--node wants a number}; shift ;;
        --dry-run) dry=yes ;;
        -h | --help) usage; exit 0 ;;
        *[!0-9]* | '') echo "huge-pages.sh: what is '$1'?" >&2; usage >&2; exit 2 ;;
        *) count=$1 ;;
    esac
    shift
done

nodes() {
    local dir
    for dir in "$root"/node[0-9]*; do
        [ -e "$dir/$pages_dir/nr_hugepages" ] || continue
        [ -z "$node" ] || [ "${dir##*/node}" = "$node" ] || continue
        echo "$dir"
    done
}

put() { # PAGES: writes it for each chosen node
    local dir got bad=0 found=0
    while read -r dir; do
        found=1
        if [ -n "$dry" ]; then
            echo "would write $1 to $dir/$pages_dir/nr_hugepages"
            continue
        fi
        echo "$1" >"$dir/$pages_dir/nr_hugepages"
        got=$(cat "$dir/$pages_dir/nr_hugepages")
        echo "${dir##*/}: $got pages of 2 MiB"
        [ "$got" -ge "$1" ] || bad=1
    done < <(nodes)
    [ $found = 1 ] || { echo "huge-pages.sh: no such node, or no huge pages in this kernel" >&2; exit 1; }
    [ $bad = 0 ] || { echo "huge-pages.sh: the kernel granted fewer than asked for" >&2; exit 1; }
}

case $command in
    show)
        while read -r dir; do
            echo "${dir##*/}: $(cat "$dir/$pages_dir/nr_hugepages") reserved, $(cat "$dir/$pages_dir/free_hugepages") free"
        done < <(nodes)
        ;;
    reserve) put "${count:?reserve wants a number of pages}" ;;
    undo) put 0 ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
esac

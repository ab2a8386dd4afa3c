#!/usr/bin/env bash
# Every shell script through shellcheck; huge-pages.sh on a made-up tree of nodes.
. "$(dirname "$0")/common.sh"
need shellcheck=shellcheck || skip "no shellcheck"

mapfile -t scripts < <(git ls-files | while read -r file; do
    case $file in
        *.sh) echo "$file" ;;
        *) [ -f "$file" ] && head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(ba)?sh$' && echo "$file" ;;
    esac
done)
shellcheck -x -P SCRIPTDIR -S warning "${scripts[@]}"
shellcheck -x -P SCRIPTDIR deploy/*.sh ci/deploy.sh ci/deploy/*.sh
echo "shellcheck: ${#scripts[@]} scripts are clean"

# Nodes 0 and 1 with memory, node 2 without; a file takes whatever number is written, as a kernel with memory does.
export SYSFS_NODES=$WORK/node PROC_VM=$WORK/vm HUGE_PAGES_STATE=$WORK/state
mkdir -p "$PROC_VM"
for node in 0 1 2; do
    for size in 2048 1048576; do
        pool=$SYSFS_NODES/node$node/hugepages/hugepages-${size}kB
        mkdir -p "$pool"
        echo 0 | tee "$pool/nr_hugepages" >"$pool/free_hugepages"
    done
    echo "Node $node MemTotal: $((node == 2 ? 0 : 4096)) kB" >"$SYSFS_NODES/node$node/meminfo"
done
pages() { # the reserved pages of all nodes
    cat "$SYSFS_NODES"/node*/hugepages/hugepages-"${1:-2048}"kB/nr_hugepages | tr '\n' ' '
}
huge() {
    deploy/huge-pages.sh "$@" >"$WORK/out" 2>&1
}

expect 0 huge --help
expect 0 huge show
is "show leaves out the node without memory" "$(wc -l <"$WORK/out")" 2
expect 0 huge reserve 8 --dry-run
is "a dry run says what" "$(grep -c 'would write 8 to' "$WORK/out")" 2
is "a dry run writes nothing" "$(pages)" "0 0 0 "
is "a dry run remembers nothing" "$(ls "$HUGE_PAGES_STATE" 2>/dev/null)" ""
echo 3 >"$SYSFS_NODES/node1/hugepages/hugepages-2048kB/nr_hugepages"
expect 0 huge reserve 8 --compact
is "reserved" "$(pages)" "8 8 0 "
is "compacted first" "$(cat "$PROC_VM/compact_memory")" 1
expect 0 huge reserve 4
is "never fewer than there are" "$(pages)" "8 8 0 "
expect 0 huge reserve 16 --node 0
is "one node" "$(pages)" "16 8 0 "
expect 0 huge reserve 1 --size 1G
is "another size" "$(pages 1048576)" "1 1 0 "
expect 0 huge undo --node 1
is "undo goes back to what was there before" "$(pages)" "16 3 0 "
expect 0 huge undo --dry-run
is "a dry run undoes nothing" "$(pages)" "16 3 0 "
expect 0 huge undo
expect 0 huge undo
is "undo, twice" "$(pages)" "0 3 0 "
is "undo of one size leaves the other" "$(pages 1048576)" "1 1 0 "
expect 1 huge reserve 1 --node 7
expect 1 huge reserve 1 --node 2
for wrong in 'reserve' 'reserve many' 'reserve 1 2' 'reserve 1 --node x' 'reserve 1 --size 4K' 'show --node' 'frob' ''; do
    # shellcheck disable=SC2086 # words
    expect 2 huge $wrong
done
# A kernel that grants fewer: here, a file that takes nothing.
ln -sf /dev/null "$SYSFS_NODES/node0/hugepages/hugepages-2048kB/nr_hugepages"
expect 1 huge reserve 8 --node 0
echo "huge-pages.sh: well on a made-up tree"

#!/usr/bin/env bash
# install.sh: a round trip into a folder that has other things in it, with a program in C compiled and run in between.
. "$(dirname "$0")/common.sh"
need cc=gcc pkg-config=pkg-config nm=binutils groff=groff-base || skip "no C compiler or no pkg-config"

for page in deploy/man/*.[0-9]; do
    is "what groff says of $page" "$(groff -man -Tutf8 -ww -z "$page" 2>&1)" ""
done
install() {
    deploy/install.sh "$@" >"$WORK/out" 2>&1
}
state() { # everything below a folder: kind, rights, path, size and contents
    (cd "$1" && find . -printf '%y %m %p %l\n' | sort && find . -type f -exec sha256sum {} + | sort)
}

expect 0 install --help
for wrong in '' '--prefix' '--prefix relative' '--frob' '--prefix /a|b'; do
    # shellcheck disable=SC2086 # words
    expect 2 install $wrong
done

# Somebody else's things in the same folders.
prefix=$WORK/prefix
mkdir -p "$prefix/lib/pkgconfig" "$prefix/share/man/man1" "$prefix/bin"
echo theirs | tee "$prefix/lib/pkgconfig/other.pc" >"$prefix/share/man/man1/other.1"
state "$prefix" >"$WORK/before"

expect 0 install --prefix "$prefix" --dry-run
grep -q "would: install -m 755 .*/libnumaslab.so $prefix/lib/libnumaslab.so" "$WORK/out" || fail "a dry run does not say what"
state "$prefix" | cmp - "$WORK/before" || fail "a dry run has written"
expect 1 install --prefix "$prefix" --uninstall

expect 0 install --prefix "$prefix"
state "$prefix" >"$WORK/installed"
expect 0 install --prefix "$prefix"
state "$prefix" | cmp - "$WORK/installed" || fail "installing twice is not installing once"
if grep -rlE '@(PREFIX|VERSION)@' "$prefix"; then fail "a template was not filled in"; fi

cat >"$WORK/program.c" <<'C'
#include <numaslab.h>
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    void *volatile block = malloc(100);
    int node = numaslab_node_of(block);
    free(block);
    printf("%s %d\n", numaslab_version(), node);
    return !(numaslab_mode() & NUMASLAB_STARTED) || node < 0;
}
C
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
pkg-config --validate numaslab
is "pkg-config's prefix" "$(pkg-config --variable=prefix numaslab)" "$prefix"
# shellcheck disable=SC2046 # words
cc -std=c99 -pedantic -Wall -Wextra -Werror -o "$WORK/program" "$WORK/program.c" $(pkg-config --cflags --libs numaslab)
is "a program linked with the library" "$(LD_LIBRARY_PATH=$prefix/lib "$WORK/program")" "$(pkg-config --modversion numaslab) 0"
is "a program under the library" "$(LD_PRELOAD=$prefix/lib/libnumaslab.so NUMASLAB_STATS=on bash -c : 2>&1 | grep -c in_use_bytes)" 1
# What the header declares and what the library has are the same functions.
declared=$(grep -oE '\b(numaslab_[a-z_]+|free_sized|free_aligned_sized)\(' "$prefix/include/numaslab.h" | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$prefix/lib/libnumaslab.so" | awk '{ print $3 }' | grep -xE 'numaslab_[a-z_]+|free_sized|free_aligned_sized' | sort -u)
is "functions of the header" "$declared" "$exported"
"$prefix/bin/numaslab-doctor" --json | grep -q '"form": 1' || fail "the doctor does not run"
expect 0 "$prefix/sbin/numaslab-huge-pages" --help >/dev/null
grep -q "LD_PRELOAD=$prefix/lib/libnumaslab.so" "$prefix/share/numaslab/systemd/numaslab.conf" || fail "the drop-in has another library"

expect 0 install --prefix "$prefix" --uninstall
state "$prefix" | diff - "$WORK/before" || fail "uninstalling leaves another tree"

# A file that is somebody else's stops it before anything is written.
echo theirs >"$prefix/bin/numaslab-doctor"
state "$prefix" >"$WORK/before"
expect 1 install --prefix "$prefix"
state "$prefix" | diff - "$WORK/before" || fail "it wrote although a file is in the way"

# Below another root, into folders with blanks that do not exist; what somebody puts there later stays.
stage="$WORK/a stage"
expect 0 install --prefix "/opt/numa slab" --destdir "$stage"
is "the prefix in files" "$(sed -n 's/^prefix=//p' "$stage/opt/numa slab/lib/pkgconfig/numaslab.pc")" "/opt/numa slab"
echo theirs >"$stage/opt/numa slab/lib/other"
expect 0 install --prefix "/opt/numa slab" --destdir "$stage" --uninstall
is "what stays" "$(cd "$stage" && find . -type f)" "./opt/numa slab/lib/other"
rm "$stage/opt/numa slab/lib/other"
echo "install.sh: a round trip leaves the tree as it was"

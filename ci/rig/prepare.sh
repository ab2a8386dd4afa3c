#!/bin/bash
# prepare.sh [x86_64|aarch64]...: fetches everything that the emulated machines need into RIG_DIR.
#
# From Debian's archive, by a private view of apt that leaves the machine's own apt alone: a recent qemu,
# kernels of three releases, the C libraries of two, busybox. What is there already is not fetched again.
# Result:
#   RIG_DIR/qemu/           qemu, unpacked; run through `qemu_system ARCH` of machine.sh
#   RIG_DIR/kernel/ARCH/    6.1, 6.12, 7.2 (x86_64: ELF images, which qemu starts without a boot loader)
#   RIG_DIR/base/ARCH/      2.36.cpio, 2.41.cpio: busybox, that glibc, init
#   RIG_DIR/VERSIONS        what each of these is
set -euo pipefail
. "$(dirname "$0")/common.sh"

# The kernels by name, and the Debian suite that ships each.
declare -A KERNEL_SUITE=([6.1]=bookworm [6.12]=trixie [7.2]=trixie-backports)
# The C libraries likewise.
declare -A GLIBC_SUITE=([2.36]=bookworm [2.41]=trixie)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_arch ARCH: Debian's name for an architecture.
debian_arch() {
  case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) skip "unknown architecture $1" ;; esac
}

# The suite whose qemu runs on this host. Debian 12's own one (7.2) is not good enough: it damages the
# flags after cmpxchg16b, on which newer kernels crash.
qemu_suite() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  case $codename in bookworm) echo bookworm-backports ;; *) echo "$codename" ;; esac
}

# private_apt ARCH: a view of the archive for one Debian architecture, used by `view`.
private_apt() {
  local dir=$RIG_DIR/apt/$1 mirror=${RIG_MIRROR:-} suite
  mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
  touch "$dir/status"
  suite=$(qemu_suite)
  # shellcheck disable=SC2016 # the format is apt's
  [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: ${suite%-backports}" | sed -n 1p)
  [ -n "$mirror" ] || skip "apt knows no Debian mirror (set RIG_MIRROR)"
  for suite in bookworm bookworm-backports trixie trixie-backports "$(qemu_suite)"; do
    echo "deb [arch=$1 signed-by=$KEYRING] $mirror $suite main"
  done | sort -u >"$dir/sources.list"
  cat >"$dir/apt.conf" <<CONF
APT::Architecture "$1";
APT::Architectures { "$1"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
CONF
  view "$1" apt-get update -qq || skip "cannot reach the Debian mirror $mirror"
}

# view ARCH COMMAND...: runs an apt command on the private view.
view() {
  local arch=$1
  shift
  APT_CONFIG=$RIG_DIR/apt/$arch/apt.conf "$@"
}

# fetch ARCH PACKAGE[/SUITE] DIR: downloads a package and unpacks it into DIR. Notes its version.
fetch() {
  local work deb
  work=$(mktemp -d -p "$RIG_DIR/tmp")
  (cd "$work" && view "$1" apt-get download -qq "$2" >/dev/null) || skip "cannot download $2 for $1"
  deb=$(echo "$work"/*.deb)
  mkdir -p "$3"
  dpkg-deb -x "$deb" "$3"
  dpkg-deb -f "$deb" Depends >"$3/.depends"
  echo "$1 $(dpkg-deb -f "$deb" Package) $(dpkg-deb -f "$deb" Version)" >>"$RIG_DIR/VERSIONS"
  rm -rf "$work"
}

# prepare_qemu ARCH: unpacks the emulator for that architecture and installs the libraries it needs.
prepare_qemu() {
  local dir=$RIG_DIR/qemu package suite libraries
  [ -e "$dir/.$1" ] && return
  say "fetching qemu for $1"
  suite=$(qemu_suite)
  package=$([ "$1" = aarch64 ] && echo qemu-system-arm || echo qemu-system-x86)
  fetch amd64 "qemu-system-common/$suite" "$dir"
  fetch amd64 "qemu-system-data/$suite" "$dir"
  fetch amd64 seabios "$dir"
  fetch amd64 "$package/$suite" "$dir"
  libraries=$(tr ',' '\n' <"$dir/.depends" | sed 's/[(|].*//; s/ //g' | grep -v '^qemu\|^seabios\|^ipxe')
  # shellcheck disable=SC2086 # one word each
  install_packages $libraries
  "$dir/usr/bin/qemu-system-$1" --version >/dev/null || skip "qemu for $1 does not run on this machine"
  touch "$dir/.$1"
}

# prepare_kernel ARCH NAME
prepare_kernel() {
  local arch out=$RIG_DIR/kernel/$1/$2 meta package tree
  arch=$(debian_arch "$1") meta=linux-image-cloud-$arch
  [ -e "$out" ] && return
  say "fetching kernel $2 for $1"
  # The metapackage of the suite depends on the real one. From 7 on the image lies in a package of its own.
  package=$(view "$arch" apt-cache show "$meta" | awk -v want="$2." '
    /^Version:/ { fits = index($2, want) == 1 }
    /^Depends:/ && fits && match($0, /linux-(image|binary)-[0-9][^ ,]*/) { print substr($0, RSTART, RLENGTH) }' | sort -V | tail -n 1)
  [ -n "$package" ] || skip "${KERNEL_SUITE[$2]} ships no kernel $2 for $1 any more (see KERNEL_SUITE in prepare.sh)"
  view "$arch" apt-cache show "${package/image/binary}" >/dev/null 2>&1 && package=${package/image/binary}
  tree=$(mktemp -d -p "$RIG_DIR/tmp")
  fetch "$arch" "$package" "$tree"
  mkdir -p "$(dirname "$out")"
  if [ "$1" = x86_64 ]; then
    unpack_kernel "$(find "$tree" -name 'vmlinuz*' -type f)" "$out.part"
  else
    cp "$(find "$tree" -name 'vmlinuz*' -type f)" "$out.part"
  fi
  mv "$out.part" "$out"
  rm -rf "$tree"
}

# unpack_kernel BZIMAGE ELF: takes the compressed kernel out of a bzImage, so that the emulated machine need not
# unpack it, which takes it seconds. Offsets: the kernel's Documentation/arch/x86/boot.rst (setup_sects,
# payload_offset, payload_length; the last four bytes of the payload are the unpacked size).
unpack_kernel() {
  local sectors offset length start unpack
  sectors=$(od -An -tu1 -j497 -N1 "$1") offset=$(od -An -tu4 -j584 -N4 "$1") length=$(od -An -tu4 -j588 -N4 "$1")
  start=$(((sectors + 1) * 512 + offset))
  case $(od -An -tx1 -j$start -N4 "$1" | tr -d ' ') in
    02214c18) unpack=lz4 ;;
    28b52ffd) unpack=zstd ;;
    fd377a58) unpack=xz ;;
    *) skip "the kernel in $1 is compressed in an unknown way" ;;
  esac
  dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip=$start count=$((length - 4)) status=none | $unpack -dcq >"$2"
  [ "$(head -c 4 "$2" | tail -c 3)" = ELF ] || skip "the kernel in $1 is no ELF image"
}

# prepare_base ARCH GLIBC: the root filesystem of the emulated machines.
prepare_base() {
  local arch out=$RIG_DIR/base/$1/$2.cpio tree root library loader
  arch=$(debian_arch "$1")
  [ -e "$out" ] && [ "$out" -nt "$CI_DIR/rig/init.sh" ] && return
  say "making the base image with glibc $2 for $1"
  tree=$(mktemp -d -p "$RIG_DIR/tmp") root=$tree/root
  fetch "$arch" "libc6/${GLIBC_SUITE[$2]}" "$tree/packages"
  fetch "$arch" libgcc-s1/bookworm "$tree/packages"
  fetch "$arch" busybox-static/bookworm "$tree/packages"
  mkdir -p "$root"/{bin,dev,lib,lib64,"lib/$1-linux-gnu",rig} "$(dirname "$out")"
  cp "$(find "$tree/packages" -path '*/bin/busybox' -type f)" "$root/bin/"
  ln -s busybox "$root/bin/sh"
  for library in libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 libresolv.so.2 \
    libgcc_s.so.1; do
    cp -L "$(find "$tree/packages" -name "$library" -print -quit)" "$root/lib/$1-linux-gnu/"
  done
  case $1 in aarch64) loader=lib ;; *) loader=lib64 ;; esac # where programs of that architecture look for it
  cp -L "$(find "$tree/packages" -name 'ld-linux-*.so.*' -print -quit)" "$root/$loader/"
  install -m 755 "$CI_DIR/rig/init.sh" "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$out.part"
  mv "$out.part" "$out"
  rm -rf "$tree"
}

prepare() {
  local name
  need lz4=lz4 zstd=zstd xz=xz-utils cpio=cpio strip=binutils awk=mawk
  [ -e "$RIG_DIR/apt/amd64/done" ] || { private_apt amd64 && touch "$RIG_DIR/apt/amd64/done"; }
  [ "$1" = x86_64 ] || [ -e "$RIG_DIR/apt/arm64/done" ] || { private_apt arm64 && touch "$RIG_DIR/apt/arm64/done"; }
  prepare_qemu "$1"
  for name in "${!KERNEL_SUITE[@]}"; do prepare_kernel "$1" "$name"; done
  for name in "${!GLIBC_SUITE[@]}"; do prepare_base "$1" "$name"; done
}

command -v apt-get >/dev/null || skip "this is not Debian (no apt-get)"
[ -e "$KEYRING" ] || skip "this is not Debian (no $KEYRING)"
[ "$(uname -m)" = x86_64 ] || skip "the host is not x86-64"
mkdir -p "$RIG_DIR"
exec 9>"$RIG_DIR/.lock"
flock 9 # two lanes may start at the same time
rm -rf "$RIG_DIR/tmp"
mkdir "$RIG_DIR/tmp"
[ $# -gt 0 ] || set -- x86_64
for arch; do prepare "$arch"; done

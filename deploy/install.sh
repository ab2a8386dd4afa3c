#!/usr/bin/env bash
# Puts numaslab under a prefix, or takes exactly that away again.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: install.sh --prefix P [--destdir D] [--dry-run] [--library FILE] [--doctor FILE]
       install.sh --prefix P [--destdir D] [--dry-run] --uninstall

Builds the preload library and numaslab-doctor, and puts them, the C header, the pkg-config file, man pages and the
files for operators below P. What it has put there, folders included, stands in P/share/numaslab/installed;
--uninstall takes that away, and nothing else. Installing again replaces what was installed before. A file that is
in the way and was not put there by this script stops it before anything is written.

--prefix P      where it will be used, such as /usr/local: an absolute path
--destdir D     put it below D/P instead, for packages and images; the files still speak of P
--dry-run       print what would be done, and do nothing
--library FILE  this libnumaslab.so instead of building it
--doctor FILE   this numaslab-doctor instead of building it

Exit status: 0 done; 1 it could not be done; 2 a wrong call.
USAGE
}

wrong() {
    echo "install.sh: $*" >&2
    usage >&2
    exit 2
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

prefix='' destdir='' dry='' uninstall='' library='' doctor=''
while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --destdir | --library | --doctor)
            [ $# -gt 1 ] || wrong "$1 wants a value"
            case $1 in
                --prefix) prefix=${2%/} ;;
                --destdir) destdir=${2%/} ;;
                --library) library=$(realpath "$2") ;;
                --doctor) doctor=$(realpath "$2") ;;
            esac
            shift
            ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        -h | --help) usage; exit 0 ;;
        *) wrong "what is '$1'?" ;;
    esac
    shift
done
case $prefix in
    /*) ;;
    *) wrong "--prefix wants an absolute path" ;;
esac
# They mean something to sed, or to the list.
[[ ! $prefix$destdir =~ [\|\&\\[:cntrl:]] ]] || wrong "no |, & or \\ in a path, please"

cd "$(dirname "$0")/.."
root=$destdir$prefix
list=$root/share/numaslab/installed
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# What goes where: MODE TARGET SOURCE. Sources with @ before them have @PREFIX@ and @VERSION@ filled in.
files() {
    cat <<FILES
755 lib/libnumaslab.so $library
755 bin/numaslab-doctor $doctor
755 sbin/numaslab-huge-pages deploy/huge-pages.sh
644 include/numaslab.h deploy/preload/include/numaslab.h
644 lib/pkgconfig/numaslab.pc @deploy/pkg-config/numaslab.pc.in
644 share/man/man1/numaslab-doctor.1 @deploy/man/numaslab-doctor.1
644 share/man/man7/numaslab.7 @deploy/man/numaslab.7
644 share/man/man8/numaslab-huge-pages.8 @deploy/man/numaslab-huge-pages.8
644 share/numaslab/systemd/numaslab.conf @deploy/systemd/numaslab.conf
644 share/numaslab/systemd/numaslab-huge-pages.service @deploy/systemd/numaslab-huge-pages.service
644 share/numaslab/host/90-numaslab.conf deploy/host/90-numaslab.conf
644 share/numaslab/host/numaslab-thp.conf deploy/host/numaslab-thp.conf
644 share/numaslab/seccomp/numaslab.json deploy/seccomp/numaslab.json
644 share/numaslab/seccomp/extend.jq deploy/seccomp/extend.jq
644 share/numaslab/kubernetes/deployment.yaml deploy/kubernetes/deployment.yaml
644 share/numaslab/kubernetes/kubelet.yaml deploy/kubernetes/kubelet.yaml
644 share/doc/numaslab/README.md deploy/README.md
644 share/doc/numaslab/runbook.md deploy/runbook.md
644 share/doc/numaslab/doctor.md deploy/doctor/README.md
644 share/doc/numaslab/preload.md deploy/preload/README.md
644 share/doc/numaslab/LICENSE-MIT LICENSE-MIT
644 share/doc/numaslab/LICENSE-APACHE LICENSE-APACHE
FILES
}

# Every step that writes goes through here.
step() {
    if [ -n "$dry" ]; then
        echo "would: $*"
    else
        "$@"
    fi
}

# Takes away what the list names: `f FILE` and `d FOLDER`, relative to the prefix, in the order they were made.
take_away() {
    local kind path
    while read -r kind path; do
        case $kind in
            f) step rm -f "$root/$path" ;;
            # Folders that somebody else has put something into stay.
            d) [ -n "$dry" ] || [ -n "$(ls -A "${root:?}/$path")" ] || rmdir "$root/$path"
               [ -z "$dry" ] || echo "would: rmdir $root/$path, if it is empty then" ;;
            r) take_root "$path" ;;
            *) fail "$list is damaged: '$kind $path'" ;;
        esac
    done < <(tac "$list")
}

# Folders above the prefix that were made for it.
take_root() {
    if [ -n "$dry" ]; then
        echo "would: rmdir $1, if it is empty then"
    else
        rmdir "$1" 2>/dev/null || true
    fi
}

# make_folders FOLDER: makes it and those above it that are missing, and notes which.
declare -A made=()
make_folders() {
    [ ! -d "$1" ] && [ -z "${made[$1]:-}" ] || return 0
    make_folders "$(dirname "$1")"
    made[$1]=yes
    step mkdir "$1"
    case $1/ in
        "$root"/?*) note d "${1#"$root"/}" ;;
        *) note r "$1" ;;
    esac
}

# What was made so far, in that order; it becomes the list, also if something fails midway.
notes=()
note() {
    notes+=("$*")
}
write_list() {
    if [ -z "$dry" ] && [ -d "${list%/*}" ]; then
        printf '%s\n' "${notes[@]}" >"$list"
    fi
}

put() { # MODE TARGET SOURCE
    local target=$root/$2 source=${3#@}
    make_folders "$(dirname "$target")"
    note f "$2"
    if [ -n "$dry" ]; then
        echo "would: install -m $1 $source $target"
    elif [ "$source" = "$3" ]; then
        install -m "$1" "$source" "$target"
    else
        sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" "$source" >"$target.part"
        chmod "$1" "$target.part"
        mv "$target.part" "$target"
    fi
}

build() {
    local target=${CARGO_TARGET_DIR:-target}
    if [ -z "$library" ]; then
        library=$target/preload/libnumaslab.so
        step cargo build --locked --quiet --profile preload -p numaslab-preload
    fi
    if [ -z "$doctor" ]; then
        doctor=$target/release/numaslab-doctor
        step cargo build --locked --quiet --release -p numaslab-doctor
    fi
}

check_the_way() {
    local mode source target
    while read -r mode target source; do
        [ -n "$dry" ] || [ -e "${source#@}" ] || fail "there is no ${source#@}"
        [ ! -e "$root/$target" ] || { [ -e "$list" ] && grep -qxF "f $target" "$list"; } ||
            fail "$root/$target is in the way, and not from here (mode $mode would replace it)"
    done < <(files)
}

if [ -n "$uninstall" ]; then
    [ -e "$list" ] || fail "nothing is installed below $root: there is no $list"
    take_away
    [ -n "$dry" ] || echo "numaslab is gone from $root"
    exit 0
fi

build
check_the_way
[ ! -e "$list" ] || take_away
trap write_list EXIT
# First of all the list's own folder, so that the list goes last when all is taken away.
make_folders "${list%/*}"
note f share/numaslab/installed
while read -r mode target source; do
    put "$mode" "$target" "$source"
done < <(files)
[ -n "$dry" ] || echo "numaslab $version is in $root: try $root/bin/numaslab-doctor"

# shellcheck shell=bash
# Building the test programs that a plan asks for. Sourced by ci/numa.sh.

# build_tests PLAN: builds the test programs of the packages in PLAN/rows, for each architecture, and lists them in
# PLAN/programs.
build_tests() {
  local arch packages package
  need jq=jq cc=gcc cargo=cargo
  for arch in $(cut -f1 "$1/rows" | sort -u); do
    packages=()
    for package in $(grep "^$arch$TAB" "$1/rows" | cut -f2 | sort -u); do packages+=(-p "$package"); done
    build_for "$arch" "$1/cargo.json" "${packages[@]}"
    list_programs "$1/cargo.json" "$arch" >>"$1/programs"
  done
}

# build_for ARCH JSON -p PACKAGE...
build_for() {
  local arch=$1 json=$2 arguments=()
  shift 2
  if [ "$arch" = aarch64 ]; then
    need aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu
    install_packages libc6-dev-arm64-cross
    rustup -q target add aarch64-unknown-linux-gnu >&2 || skip "no Rust target aarch64-unknown-linux-gnu"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    arguments=(--target aarch64-unknown-linux-gnu)
  fi
  [[ $arch != x86_64 || " $* " != *" numaslab-numa "* ]] || arguments+=(--features "$(numa_features)")
  say "building the test programs of ${*/-p/} for $arch"
  (cd "$ROOT_DIR" && cargo test "$@" "${arguments[@]}" --lib --tests --no-run --message-format=json) >"$json" || {
    jq -r 'select(.reason == "compiler-message") | .message.rendered' "$json" >&2
    say "the tests do not build for $arch"
    exit 1
  }
}

# numa_features: the features of numaslab-numa whose libraries can be had.
numa_features() {
  local features=numaslab-numa/rayon,numaslab-numa/tokio
  if (install_packages libhwloc-dev libudev-dev pkg-config) >&2; then
    features+=,numaslab-numa/hwloc
  fi
  echo "$features"
}

# list_programs JSON ARCH: the lines of PLAN/programs. Cargo writes a package as PATH#NAME@VERSION, or as
# PATH#VERSION where the path ends in the name.
list_programs() {
  jq -r --arg arch "$2" 'select(.reason == "compiler-artifact" and .profile.test and .executable)
    | (.package_id | if test("#.*@") then sub(".*#"; "") | sub("@.*"; "") else sub("#.*"; "") | sub(".*/"; "") end) as $package
    | (if .target.kind[0] == "test" then .target.name else "lib" end) as $target
    | [$arch, $package, $target, .executable] | @tsv' "$1"
}

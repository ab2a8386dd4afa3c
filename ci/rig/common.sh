# shellcheck shell=bash
# Shared by the scripts of the rig: where things are, and how to say that something cannot be done.
# Sourced, not run.

CI_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT_DIR=$(dirname "$CI_DIR")
# Downloads, kernels, images and logs. Nothing outside it is written, except by apt-get.
RIG_DIR=${RIG_DIR:-$ROOT_DIR/target/rig}

# The status of a lane that could not run at all, so that nobody takes it for a success.
SKIPPED=77

say() {
  printf 'rig: %s\n' "$*" >&2
}

# skip REASON: ends the script; loud, because a skipped lane has proved nothing.
skip() {
  printf '\n*** SKIPPED: %s did not run: %s ***\n' "${0##*/}" "$*" >&2
  exit "$SKIPPED"
}

# need COMMAND=PACKAGE...: installs the Debian packages of those commands that are missing.
need() {
  local pair packages=()
  for pair; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair##*=}")
  done
  install_packages "${packages[@]}"
}

# install_packages PACKAGE...: installs the ones that are not there yet.
install_packages() {
  local package missing=()
  for package; do
    dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || skip "not root, and these Debian packages are missing: ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
    skip "cannot install ${missing[*]}"
}

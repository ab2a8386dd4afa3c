#!/usr/bin/env bash
# The container recipe, through a parser and linter of Dockerfiles.
. "$(dirname "$0")/common.sh"
recipe=deploy/container/Containerfile
# What it runs and copies must be there, whatever the linter says.
[ -x "$(sed -n 's|^RUN \([^ ]*\) .*|\1|p' $recipe)" ] || fail "what the recipe runs is not there"
if command -v hadolint >/dev/null; then
    hadolint "$recipe"
    echo "recipe: hadolint has nothing to say"
    exit
fi
command -v npm >/dev/null || need npm=npm || skip "neither hadolint nor npm"
(cd "$WORK" && timeout 60 npm install --silent --no-audit --no-fund dockerfile-utils >/dev/null 2>&1) ||
    skip "no hadolint, and npm can't get dockerfile-utils"
lint=$WORK/node_modules/.bin/dockerfile-utils
"$lint" lint "$recipe"
printf 'FROM scratch\nCOPPY . .\n' >"$WORK/bad"
if "$lint" lint "$WORK/bad" >/dev/null; then fail "the linter takes anything"; fi
less "building the image: that needs base images from a registry"
echo "recipe: parsed and linted by dockerfile-utils"

#!/usr/bin/env bash
# What deploy/ has for operators: every script, unit, setting, profile, manifest and recipe through its linter or
# parser, the seccomp profile and the installed files in use, and packages that cargo can publish.
#
#   ci/deploy.sh             all parts
#   ci/deploy.sh seccomp     only those named: scripts host seccomp kubernetes container install package
#
# Installs its tools by apt where it may. A part that can't run here says so loudly. Status 0: nothing failed;
# 1: something did; 77: no part could run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export CARGO_TERM_COLOR=never
all=(scripts host seccomp kubernetes container install package)
[ $# -gt 0 ] || set -- "${all[@]}"
passed=0 failed=0 skipped=0 words=''
for part; do
    start=$SECONDS status=0
    printf '\n--- %s\n' "$part"
    if [ -e "ci/deploy/$part.sh" ]; then
        "ci/deploy/$part.sh" || status=$?
    else
        echo "there is no part $part; there are ${all[*]}" >&2
        status=2
    fi
    case $status in
        0) passed=$((passed + 1)) word=passed ;;
        77) skipped=$((skipped + 1)) word='SKIPPED (see above why)' ;;
        *) failed=$((failed + 1)) word="FAILED with status $status" ;;
    esac
    words+=$(printf '\n%-11s %s, %d s' "$part" "$word" $((SECONDS - start)))
done
printf '%s\n\n%d passed, %d failed, %d skipped\n' "$words" $passed $failed $skipped
[ $failed = 0 ] || exit 1
[ $passed -gt 0 ] || exit 77

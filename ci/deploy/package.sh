#!/usr/bin/env bash
# What is published: packages that build from what is in them alone, with licences and all their metadata.
. "$(dirname "$0")/common.sh"
need jq=jq || skip "no jq"
cmp -s LICENSE-APACHE /usr/share/common-licenses/Apache-2.0 || [ ! -e /usr/share/common-licenses/Apache-2.0 ] ||
    fail "LICENSE-APACHE is not the text of the licence"
mapfile -t published < <(cargo metadata --no-deps --format-version 1 | jq -r '.packages[] | select(.publish != []) | .name' | sort)
echo "published: ${published[*]}"
is "what is published" "${published[*]}" "numaslab numaslab-doctor numaslab-numa"
cargo metadata --no-deps --format-version 1 | jq -e 'all(.packages[] | select(.publish != []);
    .description and .license and .readme and .documentation and .rust_version and (.keywords | length > 0)
    and (.categories | length > 0) and .metadata.docs.rs)' >/dev/null || fail "metadata is missing"

cargo package --locked --allow-dirty "${published[@]/#/--package=}" 2>"$WORK/log" || fail "$(cat "$WORK/log")"
# Tests and examples that need the other package are left out on purpose.
warnings=$(grep '^warning' "$WORK/log" | grep -vE '^warning: ignoring (test|example|benchmark) `' || true)
is "warnings of cargo package" "$warnings" ""
for name in "${published[@]}"; do
    crate=$(echo "${CARGO_TARGET_DIR:-target}/package/$name"-[0-9]*.crate)
    tar -tzf "$crate" >"$WORK/files"
    for file in LICENSE-MIT LICENSE-APACHE README.md Cargo.toml; do
        grep -q "/$file\$" "$WORK/files" || fail "$crate has no $file"
    done
    if grep -qE '/(ci|tests|target|bench-out)/|/\.ci/' "$WORK/files"; then fail "$crate has what it should not"; fi
    echo "$name: $(wc -l <"$WORK/files") files, $(stat -c %s "$crate") bytes"
done

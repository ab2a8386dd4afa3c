#!/usr/bin/env bash
# The seccomp profile: its form, and programs under it in runc.
. "$(dirname "$0")/common.sh"
need jq=jq || skip "no jq"
profile=deploy/seccomp/numaslab.json
policy='["get_mempolicy","mbind","move_pages","set_mempolicy","set_mempolicy_home_node"]'

# The form of the OCI runtime specification (config-linux.md, Seccomp).
jq -e '
    (keys - ["defaultAction", "defaultErrnoRet", "architectures", "syscalls"] == [])
    and .defaultAction == "SCMP_ACT_ERRNO"
    and all(.architectures[]; test("^SCMP_ARCH_[A-Z0-9_]+$"))
    and all(.syscalls[];
        (keys - ["names", "action", "errnoRet", "args"] == [])
        and (.action | IN("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"))
        and all(.names[]; test("^[a-z_][a-z0-9_]*$"))
        and all(.args[]?; (.index | IN(0, 1, 2, 3, 4, 5)) and (.value | type == "number")
            and (.op | IN("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"))))
    and ([.syscalls[] | select(.args == null) | .names[]] | length == (unique | length))
' "$profile" >/dev/null || fail "$profile has not the form of a profile, or names a call twice"
jq -e --argjson policy "$policy" '[.syscalls[] | select(.action == "SCMP_ACT_ALLOW" and .args == null) | .names[]] as $open
    | ($policy + ["rseq", "membarrier", "mmap", "madvise", "mremap"] - $open == [])
    and ($open - ["mount", "unshare", "setns", "keyctl", "bpf", "ptrace", "init_module", "reboot", "io_uring_setup"] == $open)
' "$profile" >/dev/null || fail "$profile opens too little or too much"

# A profile that is like the runtimes' own, and what extend.jq makes of it.
jq --argjson policy "$policy" '(.syscalls[].names) -= $policy | .syscalls |= map(select(.names != []))' "$profile" >"$WORK/default.json"
jq -f deploy/seccomp/extend.jq "$WORK/default.json" >"$WORK/extended.json"

[ "$(id -u)" = 0 ] || skip "nothing was run under the profile: runc wants root"
need runc=runc || skip "nothing was run under the profile: no runc"
cargo build --quiet --release -p numaslab-doctor
bundle=$WORK/bundle
mkdir -p "$bundle/rootfs"/{usr,proc,sys,dev,program}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$bundle/rootfs/$link"; done
(cd "$bundle" && runc spec && mv config.json plain.json)
cp "${CARGO_TARGET_DIR:-target}/release/numaslab-doctor" "$WORK/"
under() { # PROFILE COMMAND...: runs it in a container
    local profile=$1 arguments
    shift
    arguments=$(printf '%s\n' "$@" | jq -R . | jq -s .)
    jq -n --argjson arguments "$arguments" --slurpfile plain "$bundle/plain.json" --slurpfile profile "$profile" --arg program "$WORK" '
        def bind($from; $to): {destination: $to, source: $from, type: "bind", options: ["rbind", "ro"]};
        $plain[0] | .process.terminal = false | .process.args = $arguments | .root.path = "rootfs"
        | .linux.seccomp = $profile[0] | del(.linux.resources)
        | .linux.namespaces = [.linux.namespaces[] | select(.type | IN("pid", "mount", "ipc", "uts"))]
        | .mounts = [{destination: "/proc", type: "proc", source: "proc"}, bind("/sys"; "/sys"), bind("/usr"; "/usr"),
            bind($program; "/program"), {destination: "/dev", type: "tmpfs", source: "tmpfs"}]
    ' >"$bundle/config.json"
    runc --root "$WORK/runc" run --bundle "$bundle" "numaslab-ci-$$" </dev/null
}
if ! under "$profile" /bin/true >"$WORK/out" 2>&1; then
    # On this machine; the profile has been read by then, or the plain one would run.
    jq '{defaultAction: "SCMP_ACT_ALLOW"}' -n >"$WORK/open.json"
    ! under "$WORK/open.json" /bin/true >/dev/null 2>&1 || fail "runc does not take the profile: $(cat "$WORK/out")"
    skip "runc does not run here: $(cat "$WORK/out")"
fi
doctor() { # PROFILE FIELD
    under "$1" /program/numaslab-doctor --json >"$WORK/report.json" || true
    jq -r "$2" "$WORK/report.json"
}
is "CAP_SYS_NICE in the container" "$(doctor "$profile" .policy.cap_sys_nice)" false
calls='[.policy.seccomp_filter, .policy.mbind.works, .policy.get_mempolicy.works, .policy.move_pages.works, .rseq.works, .membarrier.works] | join(" ")'
if [ -e /sys/devices/system/node ]; then
    is "under the profile" "$(doctor "$profile" "$calls")" "true true true true true true"
    is "under the profile without memory policy" "$(doctor "$WORK/default.json" "$calls")" "true false false false true true"
    is "why" "$(doctor "$WORK/default.json" .policy.mbind.error)" EPERM
    is "under what extend.jq makes" "$(doctor "$WORK/extended.json" "$calls")" "true true true true true true"
else
    less "this kernel has no NUMA support"
fi
under "$profile" /bin/sh -c 'set -e; ls / | sort | wc -l; (sleep 0 & wait); perl -e "print 1"' >/dev/null
for refused in 'unshare -U true' 'unshare -m true' 'mount -t tmpfs none /proc'; do
    # shellcheck disable=SC2086 # words
    if under "$profile" $refused 2>/dev/null; then fail "the profile lets '$refused' pass"; fi
done
echo "seccomp profile: its form, and programs under it in runc"

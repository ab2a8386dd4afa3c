#!/usr/bin/env bash
# sysctl and tmpfiles settings, systemd unit and drop-in, through the programs that read them.
. "$(dirname "$0")/common.sh"
need sysctl=procps systemd-analyze=systemd || skip "no sysctl or no systemd-analyze"

# Says what it would write; complains about a key that this kernel does not have, and about what it can't parse.
sysctl --dry-run --load=deploy/host/90-numaslab.conf >"$WORK/sysctl" 2>&1 || true
cat "$WORK/sysctl"
settings=$(grep -cE '^[a-z]' deploy/host/90-numaslab.conf)
is "settings that sysctl understands" "$(grep -cE '^[a-z_.]+ = [0-9]+$' "$WORK/sysctl")" "$settings"
while read -r key _; do
    [ -e "/proc/sys/${key//./\/}" ] || fail "this kernel has no $key"
done < <(grep -E '^[a-z]' deploy/host/90-numaslab.conf)

# Reads and checks every line; the prefix keeps it from writing any.
systemd-tmpfiles --create --prefix=/nowhere "$PWD/deploy/host/numaslab-thp.conf" >"$WORK/tmpfiles" 2>&1 || fail "$(cat "$WORK/tmpfiles")"
is "complaints of systemd-tmpfiles" "$(cat "$WORK/tmpfiles")" ""
printf 'x y z\n' >"$WORK/bad.conf"
if systemd-tmpfiles --create --prefix=/nowhere "$WORK/bad.conf" >/dev/null 2>&1; then
    fail "systemd-tmpfiles takes anything"
fi

# The unit, and a service with the drop-in, as installed below a prefix.
prefix=$WORK/prefix units=$WORK/units
mkdir -p "$prefix/sbin" "$units/example.service.d"
cp deploy/huge-pages.sh "$prefix/sbin/numaslab-huge-pages"
sed "s|@PREFIX@|$prefix|g" deploy/systemd/numaslab-huge-pages.service >"$units/numaslab-huge-pages.service"
sed "s|@PREFIX@|$prefix|g" deploy/systemd/numaslab.conf >"$units/example.service.d/numaslab.conf"
# The commented line too: it must be right where it is wanted.
sed "s|^#SystemCallFilter|SystemCallFilter|" "$units/example.service.d/numaslab.conf" >"$WORK/filtered"
printf '[Service]\nExecStart=/bin/true\nSystemCallFilter=@system-service\nSystemCallFilter=~@resources\n' >"$units/example.service"
verify() {
    SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no "$units/numaslab-huge-pages.service" "$units/example.service" 2>&1 |
        grep -F -e "$units" -e numaslab -e example || true
}
is "complaints of systemd-analyze" "$(verify)" ""
cp "$WORK/filtered" "$units/example.service.d/numaslab.conf"
is "complaints with the filter" "$(verify)" ""
echo 'NUMAPolicy=perhaps' >>"$units/example.service.d/numaslab.conf"
[ -n "$(verify)" ] || fail "systemd-analyze takes anything"
# What README and drop-in say of systemd's groups.
group() { systemd-analyze syscall-filter "$1" | grep -cxE "    ($2)"; }
is "@resources" "$(group @resources 'mbind|set_mempolicy|move_pages')" 3
is "@default" "$(group @default 'rseq|membarrier')" 2
is "@system-service" "$(group @system-service '@resources|get_mempolicy')" 2
echo "sysctl, tmpfiles, unit and drop-in: well"

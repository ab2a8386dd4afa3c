# Adds what numaslab calls to a runtime's own seccomp profile (OCI or Docker form), and nothing else:
#   jq -f deploy/seccomp/extend.jq default.json >numaslab.json
# A later rule without conditions opens a call that an earlier one opens for CAP_SYS_NICE only.
.syscalls += [{
    names: ["get_mempolicy", "mbind", "membarrier", "move_pages", "rseq", "set_mempolicy", "set_mempolicy_home_node"],
    action: "SCMP_ACT_ALLOW"
}]

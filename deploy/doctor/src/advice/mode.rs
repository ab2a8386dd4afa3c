//! What per-CPU caches need: rseq and membarrier, room to start.

use super::say;
use crate::report::{Advice, Area, Report, Weight};

/// How a container is started so that its seccomp filter lets numaslab's calls pass.
pub(super) const ALLOW_IN_CONTAINER: &str = "docker run --security-opt seccomp=deploy/seccomp/numaslab.json ...  \
     # or --cap-add SYS_NICE; Kubernetes: deploy/kubernetes/";

/// Address space that numaslab wants for a node.
const NODE_BYTES: u64 = 64 << 30;

pub(super) fn advice(report: &Report) -> Vec<Advice> {
    [start(report), caches(report), area(report), fence(report)].into_iter().flatten().collect()
}

fn start(report: &Report) -> Option<Advice> {
    let limit = report.limits.address_space_bytes?;
    let wanted = NODE_BYTES * report.mode.nodes.max(1) as u64;
    (limit < wanted).then(|| {
        let weight = if report.mode.started { Weight::Better } else { Weight::Mode };
        let why = format!(
            "the address space is limited to {} MiB (RLIMIT_AS); numaslab reserves {} MiB, without touching it, and \
             takes less where it must",
            limit >> 20,
            wanted >> 20
        );
        say("address-space", weight, why, "ulimit -v unlimited  # systemd: LimitAS=infinity")
    })
}

fn caches(report: &Report) -> Option<Advice> {
    if report.mode.per_cpu {
        return None;
    }
    if report.variable("NUMASLAB_RSEQ").is_some_and(|value| value.eq_ignore_ascii_case("off")) {
        let why = "NUMASLAB_RSEQ=off asks for caches per thread; per CPU they are faster and bounded by CPUs";
        return Some(say("rseq-off", Weight::Mode, why, "unset NUMASLAB_RSEQ"));
    }
    if report.rseq.works {
        return None;
    }
    let why = format!("restartable sequences: {}; caches are per thread", report.rseq.self_test);
    let command = match (report.policy.seccomp_filter, report.rseq.self_test.contains("not available")) {
        (Some(true), true) => ALLOW_IN_CONTAINER,
        (_, true) => {
            "grep CONFIG_RSEQ= /boot/config-$(uname -r)  # wants =y: Linux 4.18 or later, not gVisor"
        }
        _ => "uname -r  # boot another kernel; on aarch64 not 6.19 to 7.0.13",
    };
    Some(say("rseq", Weight::Mode, why, command))
}

fn area(report: &Report) -> Option<Advice> {
    let tunables = report.variable("GLIBC_TUNABLES")?;
    let is_off = report.rseq.area == Area::Own && tunables.contains("glibc.pthread.rseq=0");
    is_off.then(|| {
        let why = "glibc's rseq area is switched off by a tunable; numaslab registers its own, a system call for each \
                   thread";
        say("glibc-rseq-off", Weight::Note, why, "unset GLIBC_TUNABLES")
    })
}

fn fence(report: &Report) -> Option<Advice> {
    if report.membarrier.works || !report.rseq.works {
        return None;
    }
    let why = "without membarrier's rseq fence, caches of idle CPUs can't be drained and keep their memory";
    let command = match (report.membarrier.error.as_deref(), report.policy.seccomp_filter) {
        (Some(_), Some(true)) => ALLOW_IN_CONTAINER,
        _ => "uname -r  # Linux 5.10 or later with CONFIG_MEMBARRIER=y",
    };
    Some(say("membarrier", Weight::Better, why, command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{topics, well};

    #[test]
    fn a_host_that_gives_everything_needs_no_advice() {
        assert_eq!(topics(&well(1)), [""; 0]);
        assert_eq!(topics(&well(4)), [""; 0]);
    }

    #[test]
    fn caches_per_thread_have_their_cause_named() {
        let mut report = well(1);
        report.mode.per_cpu = false;
        report.mode.environment = vec!["NUMASLAB_RSEQ=Off".to_owned()];
        assert_eq!(topics(&report), ["rseq-off"]);
        report.mode.environment.clear();
        report.rseq.works = false;
        report.rseq.self_test = "not available".to_owned();
        let command = |report: &Report| advice(report).remove(0).command;
        assert!(command(&report).contains("CONFIG_RSEQ"));
        report.policy.seccomp_filter = Some(true);
        assert!(command(&report).contains("seccomp=deploy/seccomp/numaslab.json"));
        report.rseq.self_test = "kernel does not restart sections".to_owned();
        assert!(command(&report).contains("uname"));
    }

    #[test]
    fn limits_on_address_space_matter_by_what_they_cost() {
        let mut report = well(1);
        report.limits.address_space_bytes = Some(64 << 30);
        assert_eq!(topics(&report), [""; 0]);
        report.limits.address_space_bytes = Some(4 << 30);
        assert_eq!(advice(&report)[0].weight, Weight::Better);
        report.mode.started = false;
        assert_eq!(advice(&report)[0].weight, Weight::Mode);
    }

    #[test]
    fn the_fence_and_the_tunable_are_looked_at() {
        let mut report = well(1);
        report.membarrier.works = false;
        report.rseq.area = Area::Own;
        report.mode.environment = vec!["GLIBC_TUNABLES=a=b:glibc.pthread.rseq=0".to_owned()];
        assert_eq!(topics(&report), ["membarrier", "glibc-rseq-off"]);
    }
}

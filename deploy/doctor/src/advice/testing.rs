//! Reports for the tests of the advice.

use super::advice;
use crate::report::*;

/// A host with so many nodes of two CPUs and 4 GiB that gives everything.
pub(super) fn well(nodes: u32) -> Report {
    let works = || Call { works: true, error: None, why: None };
    let node = |id: u32| Node {
        id,
        cpus: format!("{}-{}", 2 * id, 2 * id + 1),
        memory_bytes: 4 << 30,
        free_bytes: Some(3 << 30),
        allowed: true,
        huge_2m: HugePages::default(),
        huge_1g: HugePages::default(),
        binding: Binding::Placed,
        distances: (0..nodes).map(|other| if other == id { 10 } else { 20 }).collect(),
    };
    let binding = if nodes == 1 { BindingMode::NotNeeded } else { BindingMode::On };
    let cpus = format!("0-{}", 2 * nodes - 1);
    let (caches, placement) = ("per-cpu".to_owned(), "bound".to_owned());
    let (environment, nodes_used) = (Vec::new(), nodes as usize);
    Report {
        form: FORM,
        version: "0.0.0",
        host: Host { kernel: "6.12.1".to_owned(), architecture: "x86_64", libc: None },
        mode: Mode {
            started: true,
            per_cpu: true,
            revocable: true,
            caches,
            binding,
            placement,
            nodes: nodes_used,
            environment,
        },
        cpus: Cpus {
            online: cpus.clone(),
            allowed: cpus,
            allowed_count: 2 * nodes_used,
            packages: 1,
            quota_cpus: None,
            parallelism: 2 * nodes_used,
        },
        nodes: (0..nodes).map(node).collect(),
        rseq: Rseq {
            works: true,
            self_test: "passed".to_owned(),
            area: Area::Libc,
            libc_area_bytes: Some(20),
            kernel_feature_bytes: Some(28),
        },
        membarrier: works(),
        policy: Policy {
            mbind: works(),
            get_mempolicy: works(),
            move_pages: works(),
            seccomp_filter: Some(false),
            cap_sys_nice: Some(true),
        },
        kernel: Kernel {
            thp_enabled: Some("madvise".to_owned()),
            thp_defrag: Some("madvise".to_owned()),
            overcommit_memory: Some(0),
            ..Kernel::default()
        },
        limits: Limits::default(),
        groups: Vec::new(),
        advice: Vec::new(),
        exit_code: 0,
    }
}

/// A call that fails with an error.
pub(super) fn refused(error: &str) -> Call {
    Call { works: false, error: Some(error.to_owned()), why: Some("a filter".to_owned()) }
}

/// The topics of all advice for a report.
pub(super) fn topics(report: &Report) -> Vec<&'static str> {
    advice(report).iter().map(|advice| advice.topic).collect()
}

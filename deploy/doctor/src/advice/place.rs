//! What placement needs: mbind, a cpuset that fits, CPUs that are the process's own.

use super::mode::ALLOW_IN_CONTAINER;
use super::say;
use crate::report::{Advice, BindingMode, Report, Weight};

pub(super) fn advice(report: &Report) -> Vec<Advice> {
    [configured(report), mbind(report), balancing(report), far_memory(report), quota(report)]
        .into_iter()
        .flatten()
        .collect()
}

/// The value of `NUMASLAB_NUMA`, if it keeps memory from being bound.
fn unbound_by_choice(report: &Report) -> Option<&str> {
    let value = report.variable("NUMASLAB_NUMA")?;
    ["off", "first-touch"].iter().any(|word| value.eq_ignore_ascii_case(word)).then_some(value)
}

fn configured(report: &Report) -> Option<Advice> {
    let value = unbound_by_choice(report).filter(|_| report.mode.binding == BindingMode::Off)?;
    let why = format!("NUMASLAB_NUMA={value} leaves memory unbound, though there are several nodes");
    Some(say("numa-off", Weight::Mode, why, "unset NUMASLAB_NUMA"))
}

fn mbind(report: &Report) -> Option<Advice> {
    let call = &report.policy.mbind;
    if call.works {
        return None;
    }
    let (weight, cost) = match report.has_several_nodes() {
        true => (Weight::Mode, "memory lies where its first CPU touched it, and is not tied to it"),
        false => (Weight::Note, "no matter on this host with one node, but on the next"),
    };
    let error = call.error.as_deref().unwrap_or("refused");
    let reason = call.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let command = match (error, report.policy.seccomp_filter) {
        ("ENOSYS", Some(false)) => "grep CONFIG_NUMA= /boot/config-$(uname -r)  # wants =y",
        _ => ALLOW_IN_CONTAINER,
    };
    Some(say("mbind", weight, format!("mbind fails with {error}{reason}; {cost}"), command))
}

fn balancing(report: &Report) -> Option<Advice> {
    let moves = report.kernel.numa_balancing.is_some_and(|mode| mode != 0);
    let unbound = report.mode.binding == BindingMode::Off;
    (moves && unbound && report.has_several_nodes()).then(|| {
        let why = "the kernel moves pages that are not bound to whoever uses them, also shared ones, against numaslab's \
                   placement by first touch";
        say("numa-balancing", Weight::Better, why, "sudo sysctl -w kernel.numa_balancing=0")
    })
}

/// CPUs on nodes of which the process may have no memory.
fn far_memory(report: &Report) -> Option<Advice> {
    let allowed = crate::survey::cpu_set(&report.cpus.allowed)?;
    let far = report.nodes.iter().filter(|node| !node.allowed && node.memory_bytes > 0).filter(|node| {
        crate::survey::cpu_set(&node.cpus).is_some_and(|cpus| !cpus.intersection(&allowed).is_empty())
    });
    let far: Vec<_> = far.map(|node| node.id.to_string()).collect();
    (!far.is_empty()).then(|| {
        let why = format!(
            "the cpuset gives CPUs of node {} but no memory there: all their memory is far",
            far.join(", ")
        );
        let command =
            format!("docker update --cpuset-mems ...  # add {}; or take their CPUs out", far.join(","));
        say("far-memory", Weight::Better, why, command)
    })
}

fn quota(report: &Report) -> Option<Advice> {
    let quota = report.cpus.quota_cpus?;
    (quota * 2.0 <= report.cpus.allowed_count as f64).then(|| {
        let why = format!(
            "a CPU quota of {quota:.2} over {} CPUs lets threads wander over all of them, each with a cache and on any \
             node; CPUs of one's own keep both small",
            report.cpus.allowed_count
        );
        let command = "docker run --cpuset-cpus 0-3 ...  # Kubernetes: kubelet --cpu-manager-policy=static, whole CPUs";
        say("cpu-quota", Weight::Note, why, command)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{refused, topics, well};

    #[test]
    fn a_refused_mbind_matters_where_there_are_several_nodes() {
        for (nodes, weight) in [(1, Weight::Note), (2, Weight::Mode)] {
            let mut report = well(nodes);
            report.policy.mbind = refused("EPERM");
            report.policy.seccomp_filter = Some(true);
            let found = advice(&report).remove(0);
            assert_eq!((found.topic, found.weight), ("mbind", weight));
            assert!(found.why.contains("EPERM") && found.command.contains("seccomp"), "{found:?}");
        }
    }

    #[test]
    fn a_kernel_without_numa_is_no_matter_of_containers() {
        let mut report = well(1);
        report.policy.mbind = refused("ENOSYS");
        assert!(advice(&report)[0].command.contains("CONFIG_NUMA"));
    }

    #[test]
    fn unbound_memory_is_moved_by_balancing() {
        let mut report = well(2);
        report.kernel.numa_balancing = Some(1);
        assert_eq!(topics(&report), [""; 0]);
        report.mode.binding = BindingMode::Off;
        report.mode.environment = vec!["NUMASLAB_NUMA=first-touch".to_owned()];
        assert_eq!(topics(&report), ["numa-off", "numa-balancing"]);
    }

    #[test]
    fn cpus_without_memory_of_their_node_are_seen() {
        let mut report = well(2);
        report.nodes[1].allowed = false;
        assert_eq!(topics(&report), ["far-memory"]);
        report.cpus.allowed = "0-1".to_owned();
        assert_eq!(topics(&report), [""; 0]);
    }

    #[test]
    fn a_quota_of_half_the_cpus_is_noted() {
        let mut report = well(4);
        report.cpus.quota_cpus = Some(7.5);
        assert_eq!(topics(&report), [""; 0]);
        report.cpus.quota_cpus = Some(4.0);
        assert_eq!(topics(&report), ["cpu-quota"]);
    }
}

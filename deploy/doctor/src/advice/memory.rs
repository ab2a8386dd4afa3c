//! What memory needs: huge pages, limits that numaslab knows of, caches that fit into them.

use super::say;
use crate::report::{Advice, Report, Weight};

/// Bytes of blocks that are cached per CPU, by default.
const CPU_CACHE_BYTES: u64 = 8 << 20;

pub(super) fn advice(report: &Report) -> Vec<Advice> {
    let huge = [transparent(report), defrag(report), reserved(report)];
    huge.into_iter().chain([limit(report), caches(report), overcommit(report)]).flatten().collect()
}

fn is(report: &Report, variable: &str, word: &str) -> bool {
    report.variable(variable).is_some_and(|value| value.eq_ignore_ascii_case(word))
}

fn transparent(report: &Report) -> Option<Advice> {
    let unwanted = is(report, "NUMASLAB_HUGE", "never") || is(report, "NUMASLAB_PROFILE", "lean");
    (report.kernel.thp_enabled.as_deref() == Some("never") && !unwanted).then(|| {
        let why = "transparent huge pages are off; numaslab asks for them beyond the first 16 MiB of each node: fewer TLB \
                   misses and faults for large heaps";
        let command = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
        say("thp", Weight::Better, why, command)
    })
}

fn defrag(report: &Report) -> Option<Advice> {
    (report.kernel.thp_defrag.as_deref() == Some("always")).then(|| {
        let why = "every fault of every program may stop to compact memory for a huge page";
        say(
            "thp-defrag",
            Weight::Note,
            why,
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/defrag",
        )
    })
}

fn reserved(report: &Report) -> Option<Advice> {
    let without: Vec<_> = report
        .nodes
        .iter()
        .filter(|node| node.allowed && node.memory_bytes > 0 && node.huge_2m.free == 0)
        .map(|node| node.id.to_string())
        .collect();
    (is(report, "NUMASLAB_HUGE", "reserved") && !without.is_empty()).then(|| {
        let why = format!(
            "NUMASLAB_HUGE=reserved, but node {} has no free page of 2 MiB: it gets transparent ones",
            without.join(", ")
        );
        let command = format!("sudo deploy/huge-pages.sh reserve 512 --node {}", without[0]);
        say("huge-pages", Weight::Better, why, command)
    })
}

fn limit(report: &Report) -> Option<Advice> {
    let bytes = report.least_group_limit("memory.max").filter(|bytes| *bytes < memory_bytes(report))?;
    let told =
        ["NUMASLAB_LIMIT_SOFT", "NUMASLAB_LIMIT_HARD"].iter().any(|name| report.variable(name).is_some());
    (!told).then(|| {
        let why = format!(
            "the control group's limit is {} MiB, and beyond it the kernel kills; with a soft limit below it numaslab \
             gives free memory back first",
            bytes >> 20
        );
        let command = format!("export NUMASLAB_LIMIT_SOFT={}M  # 90 %", (bytes >> 20) * 9 / 10);
        say("memory-limit", Weight::Note, why, command)
    })
}

fn caches(report: &Report) -> Option<Advice> {
    let bytes = report.least_group_limit("memory.max")?;
    let told = ["NUMASLAB_PROFILE", "NUMASLAB_CPU_CACHE"].iter().any(|name| report.variable(name).is_some());
    let cached = CPU_CACHE_BYTES * report.cpus.allowed_count as u64;
    (cached > bytes / 4 && !told).then(|| {
        let why = format!(
            "caches of 8 MiB on {} CPUs may come to {} MiB, more than a quarter of the control group's {} MiB",
            report.cpus.allowed_count,
            cached >> 20,
            bytes >> 20
        );
        let fitting_kib = (bytes / (8 << 10) / report.cpus.allowed_count.max(1) as u64).max(64);
        let command = format!("export NUMASLAB_CPU_CACHE={fitting_kib}K  # or NUMASLAB_PROFILE=lean: slower, smaller still");
        say("cache-size", Weight::Better, why, command)
    })
}

fn overcommit(report: &Report) -> Option<Advice> {
    (report.kernel.overcommit_memory == Some(2)).then(|| {
        let why = "with vm.overcommit_memory=2 memory counts when it is made writable, not when it is touched: SuperSlabs \
                   of 2 MiB count whole";
        say("overcommit", Weight::Note, why, "sudo sysctl -w vm.overcommit_memory=0")
    })
}

/// The memory of all nodes.
fn memory_bytes(report: &Report) -> u64 {
    report.nodes.iter().map(|node| node.memory_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::testing::{topics, well};
    use crate::report::GroupLimit;

    fn memory_max(value: &str) -> GroupLimit {
        GroupLimit { version: 2, limit: "memory.max", path: String::new(), value: value.to_owned() }
    }

    #[test]
    fn transparent_huge_pages_are_missed_unless_unwanted() {
        let mut report = well(1);
        report.kernel.thp_enabled = Some("never".to_owned());
        report.kernel.thp_defrag = Some("always".to_owned());
        assert_eq!(topics(&report), ["thp", "thp-defrag"]);
        report.mode.environment = vec!["NUMASLAB_PROFILE=lean".to_owned()];
        assert_eq!(topics(&report), ["thp-defrag"]);
    }

    #[test]
    fn reserved_pages_are_missed_on_the_node_that_has_none() {
        let mut report = well(2);
        report.nodes[0].huge_2m.free = 3;
        report.mode.environment = vec!["NUMASLAB_HUGE=reserved".to_owned()];
        let found = advice(&report);
        assert_eq!(found.len(), 1);
        assert!(found[0].command.ends_with("reserve 512 --node 1"), "{found:?}");
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let mut report = well(1);
        report.groups = vec![memory_max("2147483648"), memory_max("1073741824")];
        let found = advice(&report);
        assert_eq!(found[0].topic, "memory-limit");
        assert!(found[0].command.contains("LIMIT_SOFT=921M"), "{found:?}");
        report.mode.environment = vec!["NUMASLAB_LIMIT_SOFT=900M".to_owned()];
        assert_eq!(topics(&report), [""; 0]);
        report.groups = vec![memory_max("1099511627776")];
        report.mode.environment.clear();
        assert_eq!(topics(&report), [""; 0], "more than there is");
    }

    #[test]
    fn caches_that_fill_a_small_group_are_seen() {
        let mut report = well(4);
        report.groups = vec![memory_max("134217728")];
        assert_eq!(topics(&report), ["cache-size", "memory-limit"]);
        let found = advice(&report).into_iter().find(|advice| advice.topic == "cache-size").unwrap();
        assert!(found.command.contains("CPU_CACHE=2048K"), "128 MiB / 8 / 8 CPUs: {found:?}");
        report.mode.environment = vec!["NUMASLAB_CPU_CACHE=1M".to_owned()];
        assert_eq!(topics(&report), ["memory-limit"]);
    }

    #[test]
    fn strict_overcommit_is_noted() {
        let mut report = well(1);
        report.kernel.overcommit_memory = Some(2);
        assert_eq!(topics(&report), ["overcommit"]);
    }
}

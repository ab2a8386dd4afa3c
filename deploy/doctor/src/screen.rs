//! A report as text: one screen.

use std::fmt::{self, Display, Write};

use comfy_table::{CellAlignment, Table, presets};

use crate::report::{Area, Binding, BindingMode, Call, HugePages, Node, Report, Weight};

/// Shows a report as text.
#[derive(Debug)]
pub struct Screen<'report>(pub &'report Report);

/// Columns of text.
const WIDTH: usize = 110;
/// Where the text of a line begins.
const INDENT: usize = 12;

impl Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let host = &report.host;
        let libc = host.libc.as_deref().unwrap_or("an unknown C library");
        writeln!(f, "numaslab {} on Linux {} {}, {libc}\n", report.version, host.kernel, host.architecture)?;
        for (title, text) in [
            ("mode", mode(report)),
            ("CPUs", cpus(report)),
            ("rseq", rseq(report)),
            ("membarrier", membarrier(report)),
            ("policy", policy(report)),
            ("memory", memory(report)),
            ("limits", limits(report)),
            ("set", set(report)),
        ] {
            line(f, title, &text)?;
        }
        writeln!(f, "\n{}", nodes(report))?;
        advice(f, report)?;
        writeln!(f, "\nexit code {}: {}", report.exit_code, meaning(report))
    }
}

/// A title and a text, which is wrapped.
fn line(f: &mut fmt::Formatter<'_>, title: &str, text: &str) -> fmt::Result {
    let mut title = title;
    for part in wrap(text, WIDTH - INDENT) {
        writeln!(f, "{title:<INDENT$}{part}")?;
        title = "";
    }
    Ok(())
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("never empty");
        if !last.is_empty() && last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn mode(report: &Report) -> String {
    let binding = match report.mode.binding {
        BindingMode::On => "on",
        BindingMode::Off => "OFF",
        BindingMode::NotNeeded => "not needed",
    };
    let mode = &report.mode;
    format!(
        "caches {}; placement {}; binding {binding}; {} in use",
        mode.caches,
        mode.placement,
        counted(mode.nodes, "node")
    )
}

fn cpus(report: &Report) -> String {
    let cpus = &report.cpus;
    let quota = cpus.quota_cpus.map_or("no quota".to_owned(), |quota| format!("a quota of {quota:.2} CPUs"));
    format!(
        "online {}, allowed {} ({}), {quota}; {}; {} can run at once",
        cpus.online,
        cpus.allowed,
        cpus.allowed_count,
        counted(cpus.packages, "package"),
        counted(cpus.parallelism, "thread")
    )
}

fn rseq(report: &Report) -> String {
    let rseq = &report.rseq;
    let area = match (rseq.area, rseq.libc_area_bytes) {
        (Area::Libc, Some(bytes)) => format!("the C library's area of {bytes} bytes"),
        (_, Some(_)) => "an area of numaslab's own (the C library registers none)".to_owned(),
        (_, None) => "an area of numaslab's own (the C library knows none)".to_owned(),
    };
    let kernel = rseq.kernel_feature_bytes.map_or("not told".to_owned(), |bytes| format!("{bytes} bytes"));
    format!("self-test {}; {area}; features of the kernel: {kernel}", rseq.self_test)
}

fn membarrier(report: &Report) -> String {
    match report.membarrier.works {
        true => "rseq fence works: caches of other CPUs can be drained".to_owned(),
        false => format!("rseq fence {}", call(&report.membarrier)),
    }
}

fn policy(report: &Report) -> String {
    let policy = &report.policy;
    let told = |known: Option<bool>, yes, no| known.map_or("unknown", |known| if known { yes } else { no });
    format!(
        "mbind {}; get_mempolicy {}; move_pages {}; seccomp filter {}; CAP_SYS_NICE {}",
        call(&policy.mbind),
        call(&policy.get_mempolicy),
        call(&policy.move_pages),
        told(policy.seccomp_filter, "yes", "none"),
        told(policy.cap_sys_nice, "yes", "no")
    )
}

fn call(call: &Call) -> String {
    if call.works {
        return "works".to_owned();
    }
    let mut text = "FAILS".to_owned();
    call.error.iter().for_each(|error| text.extend([" with ", error]));
    call.why.iter().for_each(|why| text.extend([" (", why, ")"]));
    text
}

fn memory(report: &Report) -> String {
    let kernel = &report.kernel;
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "not there".to_owned());
    let number = |number: Option<i64>| number.map_or("not there".to_owned(), |number| number.to_string());
    format!(
        "transparent huge pages {}, defrag {}; overcommit {} (ratio {}); surplus huge pages {}; NUMA balancing {}; \
         zone reclaim {}; mappings at most {}",
        word(&kernel.thp_enabled),
        word(&kernel.thp_defrag),
        number(kernel.overcommit_memory),
        number(kernel.overcommit_ratio),
        number(kernel.surplus_huge_pages),
        number(kernel.numa_balancing),
        number(kernel.zone_reclaim_mode),
        number(kernel.max_map_count)
    )
}

fn limits(report: &Report) -> String {
    let limits = &report.limits;
    let mut text = format!(
        "address space {}, data {}, locked memory {}",
        bytes_or_none(limits.address_space_bytes),
        bytes_or_none(limits.data_bytes),
        bytes_or_none(limits.locked_bytes)
    );
    for group in &report.groups {
        let value = match group.value.parse() {
            Ok(number) if !group.limit.starts_with("pids") && !group.limit.starts_with("cp") => bytes(number),
            _ => group.value.clone(),
        };
        let _ = write!(text, "; cgroup v{}: {} {value}", group.version, group.limit);
    }
    if report.groups.is_empty() {
        text.push_str("; no limit by control groups");
    }
    text
}

fn set(report: &Report) -> String {
    match report.mode.environment.is_empty() {
        true => "no NUMASLAB_* variable".to_owned(),
        false => report.mode.environment.join(" "),
    }
}

fn nodes(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let titles =
        ["node", "CPUs", "memory", "free", "2 MiB pages", "1 GiB pages", "a page bound to it", "distances"];
    table.set_header(titles);
    report.nodes.iter().for_each(|found| {
        table.add_row(node(found));
    });
    for column in table.column_iter_mut().skip(2).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn node(node: &Node) -> Vec<String> {
    let pages = |pages: HugePages| format!("{} free of {}", pages.free, pages.total);
    let binding = match (node.binding, node.allowed) {
        (Binding::Placed, _) => "lies there",
        (Binding::Elsewhere, _) => "lies ELSEWHERE",
        (Binding::Unknown, _) => "unknown",
        (Binding::Refused, _) => "REFUSED",
        (Binding::None, true) => "no memory",
        (Binding::None, false) => "not allowed",
    };
    let cpus = if node.cpus.is_empty() { "none" } else { &node.cpus };
    let distances: Vec<_> = node.distances.iter().map(u32::to_string).collect();
    vec![
        node.id.to_string(),
        cpus.to_owned(),
        bytes(node.memory_bytes),
        node.free_bytes.map_or("-".to_owned(), bytes),
        pages(node.huge_2m),
        pages(node.huge_1g),
        binding.to_owned(),
        distances.join(" "),
    ]
}

fn advice(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    if report.advice.is_empty() {
        return writeln!(f, "\nNothing to improve.");
    }
    writeln!(f, "\nWhat would be better:")?;
    for advice in &report.advice {
        let mark = match advice.weight {
            Weight::Mode => "!!",
            Weight::Better => "!",
            Weight::Note => "-",
        };
        let text = format!("{}: {}", advice.topic, advice.why);
        for (at, part) in wrap(&text, WIDTH - 3).into_iter().enumerate() {
            writeln!(f, "{:<3}{part}", if at == 0 { mark } else { "" })?;
        }
        writeln!(f, "       $ {}", advice.command)?;
    }
    Ok(())
}

fn meaning(report: &Report) -> &'static str {
    match report.exit_code {
        0 if report.mode.binding == BindingMode::On => {
            "blocks are cached per CPU, memory is bound to its node"
        }
        0 => "blocks are cached per CPU; there is one node only",
        10 => "blocks are NOT cached per CPU",
        11 => "memory is NOT bound to its node",
        12 => "blocks are NOT cached per CPU, and memory is NOT bound to its node",
        _ => "numaslab can NOT be started here",
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn bytes_or_none(number: Option<u64>) -> String {
    number.map_or("unlimited".to_owned(), bytes)
}

/// A size with its unit, rounded down.
fn bytes(number: u64) -> String {
    match number {
        0 => "0".to_owned(),
        1..1024 => format!("{number} B"),
        1024..0x10_0000 => format!("{} KiB", number >> 10),
        0x10_0000..0x4_0000_0000 => format!("{} MiB", number >> 20),
        _ => format!("{} GiB", number >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_keeps_them_short() {
        let texts = [0, 5, 4096, 16 << 20, 3 << 30, 512 << 30].map(bytes);
        assert_eq!(texts, ["0", "5 B", "4 KiB", "16 MiB", "3072 MiB", "512 GiB"]);
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("overlong", 3), ["overlong"]);
    }
}

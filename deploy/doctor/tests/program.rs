//! The program: its exit code, its options, its screen, the form of its JSON.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

fn doctor(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_numaslab-doctor"));
    command.args(arguments).envs(environment.iter().copied());
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Every field of the JSON, with its kind. What stands here may gain lines; a line that goes or changes needs a
/// new `FORM`.
const FORM_1: &str = "\
advice array
cpus.allowed string
cpus.allowed_count number
cpus.online string
cpus.packages number
cpus.parallelism number
cpus.quota_cpus number?
exit_code number
form number
groups array
host.architecture string
host.kernel string
host.libc string?
kernel.max_map_count number?
kernel.numa_balancing number?
kernel.overcommit_memory number?
kernel.overcommit_ratio number?
kernel.surplus_huge_pages number?
kernel.thp_defrag string?
kernel.thp_enabled string?
kernel.zone_reclaim_mode number?
limits.address_space_bytes number?
limits.data_bytes number?
limits.locked_bytes number?
membarrier.error string?
membarrier.why string?
membarrier.works boolean
mode.binding string
mode.caches string
mode.environment array
mode.nodes number
mode.per_cpu boolean
mode.placement string
mode.revocable boolean
mode.started boolean
nodes array
nodes[].allowed boolean
nodes[].binding string
nodes[].cpus string
nodes[].distances array
nodes[].free_bytes number?
nodes[].huge_1g.free number
nodes[].huge_1g.total number
nodes[].huge_2m.free number
nodes[].huge_2m.total number
nodes[].id number
nodes[].memory_bytes number
policy.cap_sys_nice boolean?
policy.get_mempolicy.error string?
policy.get_mempolicy.why string?
policy.get_mempolicy.works boolean
policy.mbind.error string?
policy.mbind.why string?
policy.mbind.works boolean
policy.move_pages.error string?
policy.move_pages.why string?
policy.move_pages.works boolean
policy.seccomp_filter boolean?
rseq.area string
rseq.kernel_feature_bytes number?
rseq.libc_area_bytes number?
rseq.self_test string
rseq.works boolean
version string
";

/// Adds each field below `value` with its kind to `fields`.
fn collect(path: &str, value: &Value, fields: &mut BTreeSet<(String, &'static str)>) {
    let kind = match value {
        Value::Object(members) => {
            let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            return members.iter().for_each(|(name, value)| collect(&below(name), value, fields));
        }
        Value::Array(items) => {
            let objects = items.iter().filter(|item| item.is_object());
            objects.for_each(|item| collect(&format!("{path}[]"), item, fields));
            "array"
        }
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
    };
    fields.insert((path.to_owned(), kind));
}

#[test]
fn the_form_of_the_json_stays_as_it_is() {
    let output = doctor(&["--json"], &[]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["form"], 1);
    let mut fields = BTreeSet::new();
    collect("", &report, &mut fields);
    let is_optional = |path: &str| path.starts_with("advice[]") || path.starts_with("groups[]");
    for line in FORM_1.lines() {
        let (path, kind) = line.split_once(' ').unwrap();
        let found: Vec<_> = fields.iter().filter(|(found, _)| found == path).map(|(_, kind)| *kind).collect();
        assert!(!found.is_empty(), "{path} is missing");
        for found in found {
            assert!(
                found == kind.trim_end_matches('?') || found == "null" && kind.ends_with('?'),
                "{path}: {found}"
            );
        }
    }
    let known: BTreeSet<_> = FORM_1.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    for (path, _) in &fields {
        assert!(known.contains(path.as_str()) || is_optional(path), "{path} is new: add it to FORM_1");
    }
}

#[test]
fn advice_and_groups_have_a_form_too() {
    let output = doctor(&["--json"], &[("NUMASLAB_RSEQ", "off")]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for advice in report["advice"].as_array().expect("advice") {
        for name in ["topic", "why", "command"] {
            assert!(advice[name].as_str().is_some_and(|text| !text.is_empty()), "{advice}");
        }
        assert!(["mode", "better", "note"].contains(&advice["weight"].as_str().unwrap()), "{advice}");
    }
    for group in report["groups"].as_array().expect("groups") {
        assert!([1, 2].contains(&group["version"].as_i64().unwrap()));
        assert!(["limit", "path", "value"].iter().all(|name| group[name].is_string()), "{group}");
    }
    assert!(!report["advice"].as_array().unwrap().is_empty(), "caches per thread were asked for");
}

#[test]
fn the_screen_fits_a_screen_and_names_each_part() {
    let output = doctor(&[], &[]);
    let screen = text(&output.stdout);
    for title in
        ["mode ", "CPUs ", "rseq ", "membarrier ", "policy ", "memory ", "limits ", "set ", "| node |"]
    {
        assert!(screen.lines().any(|line| line.starts_with(title)), "no line begins with {title}:\n{screen}");
    }
    let code = output.status.code().unwrap();
    assert!(
        screen.trim_end().lines().last().unwrap().starts_with(&format!("exit code {code}: ")),
        "{screen}"
    );
    let nodes = screen.lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert!(screen.lines().count() <= 50 + nodes, "{screen}");
}

#[test]
fn quiet_says_nothing_and_exits_alike() {
    for (environment, quiet) in [(&[][..], true), (&[("NUMASLAB_RSEQ", "off")], true), (&[], false)] {
        let output = doctor(if quiet { &["--quiet"] } else { &[] }, environment);
        assert_eq!(output.stdout.is_empty(), quiet);
        assert_eq!(output.status.code(), doctor(&["--json"], environment).status.code());
    }
}

#[test]
fn wrong_arguments_are_code_2() {
    for arguments in [&["--yaml"][..], &["--json", "--quiet"], &["now"]] {
        let output = doctor(arguments, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("Usage"), "{arguments:?}");
    }
    assert!(text(&doctor(&["--help"], &[]).stdout).contains("Exit code"));
}

//! Runs every subcommand with tiny parameters and looks at what it leaves behind. No speed is
//! asserted: that some figure is there and positive is all that a test can say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// Runs the bench program. Without cargo's variables it takes the children as they are.
fn bench(arguments: &[&str], output: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_numaslab-bench"))
        .args(arguments)
        .args(["--rounds", "2", "--output"])
        .arg(output)
        .env_remove("CARGO")
        .output()
        .expect("the bench program starts")
}

/// A folder of this test run, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("smoke-{name}")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs an experiment and checks its report; returns the parsed JSON.
fn report(line: &str) -> Value {
    let arguments: Vec<&str> = line.split(' ').collect();
    let name = arguments[0];
    let folder = Folder::new(name);
    let output = bench(&arguments, &folder.0);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{line}: {stderr}");
    assert!(stdout.contains("glibc") && stdout.contains("mimalloc"), "{line}: {stdout}");
    assert!(!stdout.contains("FAILED"), "{line}: {stdout}");
    let svg = fs::read_to_string(folder.0.join(format!("{name}.svg"))).expect("a picture");
    assert!(svg.starts_with("<svg"));
    let json = fs::read_to_string(folder.0.join(format!("{name}.json"))).expect("a JSON file");
    let report: Value = serde_json::from_str(&json).expect("valid JSON");
    check_rows(&report, line);
    report
}

fn check_rows(report: &Value, line: &str) {
    let rows = report["rows"].as_array().expect("rows");
    assert!(!rows.is_empty(), "{line}");
    for row in rows {
        let metrics = row["metrics"].as_array().expect("metrics");
        for result in row["results"].as_array().expect("results") {
            let label = format!("{line}: {} by {}", row["label"], result["allocator"]);
            let figures = result["figures"].as_array().expect("figures");
            assert_eq!(figures.len(), metrics.len(), "{label}");
            for (metric, figure) in metrics.iter().zip(figures) {
                // Tracing may be forbidden where the test runs, and few allocators tell a block's home.
                let name = metric["name"].as_str().expect("a name");
                let optional = ["system_calls", "local_homes", "own_calls", "traced_calls", "copied_mib"];
                // Memory may also shrink in the course of a soak, and a very short one has no quarters.
                if name == "drift" || (optional.contains(&name) && figure.is_null()) {
                    continue;
                }
                assert_eq!(figure["samples"].as_array().map(Vec::len), Some(2), "{label}");
                assert!(figure["median"].as_f64() >= Some(0.0), "{label}");
            }
            assert!(figures[0]["median"].as_f64() > Some(0.0), "{label}");
            assert!(result["resources"]["rss_peak_kib"].as_u64() > Some(0), "{label}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn larson_reports_every_thread_count() {
    let report = report("larson --threads 1,3 --blocks 50 --passes 2 --generations 3");
    let threads: Vec<_> =
        report["rows"].as_array().expect("rows").iter().map(|row| &row["threads"]).collect();
    assert_eq!(threads, [1, 3]);
    assert_eq!(report["rows"][1]["results"][0]["figures"][1]["median"], 9.0, "threads started");
    assert!(report["versions"]["mimalloc"].as_str().expect("a version").starts_with("3."));
}

#[test]
fn larson_tells_what_happened_on_each_node() {
    let report = report(
        "larson --pin spread --nodes 1 --per-node --threads 2 --blocks 50 --passes 20 --generations 3",
    );
    let row = &report["rows"][0];
    assert_eq!(row["series"], "8-1024 B, 1 node, spread");
    let names: Vec<_> = row["metrics"].as_array().expect("metrics").iter().map(|m| &m["name"]).collect();
    assert_eq!(names[3..5], ["local_pages", "local_homes"]);
    assert!(names[5].as_str().expect("a name").starts_with("mops_node"));
}

#[test]
fn mixed_has_the_ceiling() {
    let report = report("mixed --threads 1 --sizes 16-64,1KiB-2KiB --slots 20 --iterations 2000");
    for row in report["rows"].as_array().expect("rows") {
        let allocators: Vec<_> =
            row["results"].as_array().expect("results").iter().map(|result| &result["allocator"]).collect();
        assert!(allocators.contains(&&Value::from("ceiling")));
    }
}

#[test]
fn the_other_experiments_run() {
    for line in [
        "handoff --teams 2+1 --blocks 1000 --batch 8 --depth 2",
        "threads --threads 20 --turns 2 --burst 5",
        "battle --blocks 1000 --rest 0",
        "batch --batch 100 --batches 3",
        "pair --pairs 1000",
        "churn --lanes 1,2 --operations 50 --threads 4",
        "false-sharing --threads 1,2 --blocks 10 --writes 10",
        "std --vec-mib 1 --vecs 1 --map-operations 100 --keys 10 --strings 100",
        "startup --executions 2",
        "latency --threads 1,2 --iterations 2000",
        "push --bytes 4MiB --nth 1,2",
        "reads --bytes 1MiB --reads 1000 --pages transparent,ordinary",
        "zeroed --sizes 1KiB,100000,3MiB --blocks 3",
        "zeroed --sizes 1MiB --blocks 3 --touch read",
    ] {
        report(line);
    }
}

#[test]
fn system_calls_are_counted_by_kind_where_tracing_is_allowed() {
    let line = "syscalls --sizes 16-64,256KiB-1MiB --threads 2 --slots 20 --iterations 20000";
    let folder = Folder::new("syscalls-allowed");
    let output = bench(&line.split(' ').collect::<Vec<_>>(), &folder.0);
    if text(&output.stderr).contains("can't trace") {
        eprintln!("skipped: tracing is forbidden here");
        return;
    }
    let report = report(line);
    for row in report["rows"].as_array().expect("rows") {
        let names = row["metrics"].as_array().expect("metrics").iter().map(|metric| &metric["name"]);
        let total = names.clone().position(|name| name == "calls_total").expect("there");
        for result in row["results"].as_array().expect("results") {
            let median = |at: usize| result["figures"][at]["median"].as_f64().expect("a figure");
            let kinds: f64 = (total + 1..names.len()).map(median).sum();
            assert!((kinds - median(total)).abs() <= 1e-6 * kinds.max(1.0), "{result}");
        }
    }
}

#[test]
fn phases_and_soak_leave_every_point_in_time() {
    for (line, panel) in [
        ("phases --quick --bytes 2MiB --idle 0.1 --sizes 16-1024", "RSS MiB"),
        ("soak --minutes 0.01 --epoch 20000 --traced 20000 --threads 2", "epoch ms"),
    ] {
        let report = report(line);
        let result = &report["rows"][0]["results"][0];
        assert_eq!(result["courses"].as_array().map(Vec::len), Some(2), "one for each round");
        assert!(result["courses"][0]["rows"].as_array().expect("points").len() > 1);
        let folder = Folder::new(&format!("csv-{panel}"));
        assert!(bench(&line.split(' ').collect::<Vec<_>>(), &folder.0).status.success());
        let name = line.split(' ').next().expect("a name");
        let csv = fs::read_to_string(folder.0.join(format!("{name}.csv"))).expect("a CSV file");
        assert!(csv.lines().next().expect("a heading").contains(panel));
        assert!(fs::read_to_string(folder.0.join(format!("{name}.svg"))).expect("a picture").contains(panel));
    }
}

#[test]
fn wrong_options_end_with_a_message_and_no_report() {
    let folder = Folder::new("wrong");
    for (line, complaint) in [
        (&["larson", "--allocators", "glibc", "--baseline", "mimalloc"][..], "does not take part"),
        (&["larson", "--threads", "none"], "invalid value 'none'"),
        (&["larson", "--nodes", "4096"], "4096 nodes are not to be had"),
        (&["larson", "--allocators", "ceiling"], "takes part by itself"),
    ] {
        let output = bench(line, &folder.0);
        assert!(!output.status.success());
        let stderr = text(&output.stderr);
        assert!(stderr.contains(complaint), "{stderr}");
    }
    assert!(!folder.0.exists());
}

#[test]
fn a_child_started_by_hand_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_numaslab-bench-glibc")).output().expect("it starts");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("not by hand"));
}

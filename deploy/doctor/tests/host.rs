//! What the doctor finds on this host, in processes of their own: as they are, with system calls forbidden, with
//! caches per thread asked for. Also run on the emulated machines with several nodes (`ci/rig/jobs.sh`), so it
//! executes nothing but itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use numaslab_doctor::survey::survey;
use serde_json::Value;

/// Tells a child where its report goes.
const REPORT_TO: &str = "DOCTOR_REPORT_TO";

/// The child: writes its report and exits as the program would.
#[test]
fn as_a_child_writes_its_report() {
    let Some(path) = std::env::var_os(REPORT_TO) else { return };
    let report = survey().expect("a report");
    std::fs::write(path, serde_json::to_vec(&report).expect("JSON")).expect("a file for the report");
    std::process::exit(report.exit_code.into());
}

/// The report of a process that is prepared like that, and its exit code.
fn report(prepare: impl FnOnce(&mut Command)) -> (Value, i32) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "as_a_child_writes_its_report", "--nocapture", "--test-threads=1"]);
    command.env(REPORT_TO, file.path());
    for variable in ["NUMASLAB_RSEQ", "NUMASLAB_NUMA", "NUMASLAB_HUGE", "NUMASLAB_PROFILE"] {
        command.env_remove(variable);
    }
    prepare(&mut command);
    let output = command.output().expect("the test program runs");
    let code = output.status.code().unwrap_or_else(|| panic!("{output:?}"));
    let json = std::fs::read(file.path()).expect("the report");
    let report = serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, code)
}

/// Makes a system call fail with `errno` in the child.
fn forbid(command: &mut Command, number: libc::c_long, errno: i32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the kernel copies the filter; prctl is safe to call after fork.
        let installed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
        };
        if installed { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: two system calls, no allocation, no lock.
    unsafe { command.pre_exec(install) };
}

fn nodes_with_memory(report: &Value) -> usize {
    let nodes = report["nodes"].as_array().expect("nodes");
    nodes.iter().filter(|node| node["allowed"] == true && node["memory_bytes"].as_u64() > Some(0)).count()
}

fn topics(report: &Value) -> Vec<&str> {
    let advice = report["advice"].as_array().expect("advice");
    advice.iter().map(|advice| advice["topic"].as_str().expect("a topic")).collect()
}

/// Whether this host has what the tests below take away.
fn is_plain(report: &Value) -> bool {
    let plain = report["policy"]["mbind"]["works"] == true && report["rseq"]["works"] == true;
    if !plain {
        eprintln!("SKIPPED: this host gives no mbind or no rseq itself: {report}");
    }
    plain
}

#[test]
fn the_exit_code_follows_from_what_numaslab_does() {
    let (report, code) = report(|_| ());
    let mode = &report["mode"];
    assert_eq!(report["exit_code"], code);
    assert_eq!(mode["started"], true);
    assert_eq!(mode["per_cpu"], report["rseq"]["works"]);
    let bound = mode["binding"] == "on" || mode["binding"] == "not-needed";
    let expected = match (mode["per_cpu"] == true, bound) {
        (true, true) => 0,
        (false, true) => 10,
        (true, false) => 11,
        (false, false) => 12,
    };
    assert_eq!(code, expected, "{report}");
    if is_plain(&report) {
        assert_eq!(code, 0);
        assert_eq!(mode["binding"], if nodes_with_memory(&report) > 1 { "on" } else { "not-needed" });
        assert_eq!(report["policy"]["mbind"]["error"], Value::Null);
    }
}

#[test]
fn a_page_lies_on_the_node_that_it_was_bound_to() {
    let (report, _) = report(|_| ());
    if !is_plain(&report) {
        return;
    }
    for node in report["nodes"].as_array().unwrap() {
        let has_memory = node["allowed"] == true && node["memory_bytes"].as_u64() > Some(0);
        assert_eq!(node["binding"], if has_memory { "placed" } else { "none" }, "{node}");
    }
    assert_eq!(report["mode"]["nodes"], nodes_with_memory(&report));
}

#[test]
fn a_filter_that_forbids_mbind_is_found_and_named() {
    if !is_plain(&report(|_| ()).0) {
        return;
    }
    let (report, code) = report(|command| forbid(command, libc::SYS_mbind, libc::EPERM));
    let policy = &report["policy"];
    assert_eq!(policy["mbind"]["works"], false);
    assert_eq!(policy["mbind"]["error"], "EPERM");
    assert_eq!(policy["mbind"]["why"], "a seccomp filter refuses it");
    assert_eq!(policy["seccomp_filter"], true);
    assert_eq!(policy["get_mempolicy"]["works"], true);
    let several = nodes_with_memory(&report) > 1;
    assert_eq!(code, if several { 11 } else { 0 });
    assert_eq!(report["mode"]["binding"], if several { "off" } else { "not-needed" });
    let advice = report["advice"].as_array().unwrap().iter().find(|advice| advice["topic"] == "mbind");
    let advice = advice.expect("advice on mbind");
    assert_eq!(advice["weight"], if several { "mode" } else { "note" });
    assert!(advice["command"].as_str().unwrap().contains("--security-opt seccomp="), "{advice}");
}

#[test]
fn a_kernel_without_mbind_is_told_from_a_filter_that_refuses_it() {
    let (report, _) = report(|command| forbid(command, libc::SYS_mbind, libc::ENOSYS));
    assert_eq!(report["policy"]["mbind"]["error"], "ENOSYS");
    assert!(report["policy"]["mbind"]["why"].as_str().unwrap().contains("hides it"));
}

#[test]
fn a_filter_that_forbids_membarrier_is_found() {
    if !is_plain(&report(|_| ()).0) {
        return;
    }
    let (report, code) = report(|command| forbid(command, libc::SYS_membarrier, libc::EPERM));
    assert_eq!(
        (&report["membarrier"]["works"], &report["mode"]["revocable"]),
        (&false.into(), &false.into())
    );
    assert!(topics(&report).contains(&"membarrier"));
    assert_eq!(code, 0, "caches are per CPU all the same");
}

#[test]
fn caches_per_thread_that_were_asked_for_are_told_from_missing_ones() {
    if !is_plain(&report(|_| ()).0) {
        return;
    }
    let (report, code) = report(|command| {
        command.env("NUMASLAB_RSEQ", "off");
    });
    assert_eq!(code, 10);
    assert_eq!(report["mode"]["per_cpu"], false);
    assert_eq!(report["rseq"]["works"], true, "the sequences themselves work");
    assert!(topics(&report).contains(&"rseq-off"));
    assert_eq!(report["mode"]["environment"].as_array().unwrap().last().unwrap(), "NUMASLAB_RSEQ=off");
}

#[test]
fn a_host_without_rseq_is_told_so() {
    // glibc's own registration is refused too, so numaslab tries its own, which is refused as well.
    let (report, code) = report(|command| forbid(command, libc::SYS_rseq, libc::ENOSYS));
    assert_eq!(report["rseq"]["works"], false);
    assert_eq!(report["rseq"]["self_test"], "not available");
    assert_eq!(report["mode"]["per_cpu"], false);
    assert!(topics(&report).contains(&"rseq"));
    assert!([10, 12].contains(&code));
}

#[test]
fn neither_is_a_code_of_its_own() {
    let (report, code) = report(|command| {
        command.env("NUMASLAB_RSEQ", "off").env("NUMASLAB_NUMA", "off");
    });
    let several = nodes_with_memory(&report) > 1;
    assert_eq!(code, if several { 12 } else { 10 });
    assert_eq!(topics(&report).contains(&"numa-off"), several);
}

/// Puts the child into a control group (v2) with these settings. On the emulated machines only, which belong to the
/// tests; `None`, said aloud, elsewhere.
fn in_group(name: &str, settings: &[(&str, &str)]) -> Option<impl FnOnce(&mut Command) + use<>> {
    if std::env::var_os("NUMA_RIG").is_none() {
        eprintln!("SKIPPED: {name}: no emulated machine: control groups are left alone");
        return None;
    }
    let root = std::path::Path::new("/sys/fs/cgroup");
    std::fs::write(root.join("cgroup.subtree_control"), "+cpuset +memory").expect("controllers");
    let group = root.join(name);
    std::fs::create_dir_all(&group).expect("a control group");
    for (file, value) in settings {
        std::fs::write(group.join(file), value).unwrap_or_else(|error| panic!("{file} {value}: {error}"));
    }
    let members = std::ffi::CString::new(format!("{}/cgroup.procs", group.display())).expect("a path");
    Some(move |command: &mut Command| {
        let enter = move || {
            // SAFETY: opens a file and writes one byte: 0 is the writer.
            let entered = unsafe {
                let file = libc::open(members.as_ptr(), libc::O_WRONLY);
                libc::write(file, c"0".as_ptr().cast(), 1) == 1
            };
            if entered { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: system calls; nothing is allocated.
        unsafe { command.pre_exec(enter) };
    })
}

#[test]
fn a_cpuset_that_leaves_one_node_of_memory_is_seen() {
    let (whole, _) = report(|_| ());
    if nodes_with_memory(&whole) < 2 {
        eprintln!("SKIPPED: one node");
        return;
    }
    let kept = whole["nodes"].as_array().unwrap().iter().find(|node| node["binding"] == "placed").unwrap();
    let (kept, list) = (kept["id"].clone(), kept["id"].to_string());
    let Some(prepare) = in_group("doctor-cpuset", &[("cpuset.mems", &list)]) else { return };
    let (report, code) = report(prepare);
    assert_eq!((code, nodes_with_memory(&report)), (0, 1), "{report}");
    assert_eq!(report["mode"]["binding"], "not-needed");
    let others = report["nodes"].as_array().unwrap().iter().filter(|node| node["id"] != kept);
    let has = |node: &Value| node["memory_bytes"].as_u64() > Some(0) && node["cpus"] != "";
    let any_far = others.clone().any(has);
    others.for_each(|node| assert_eq!((&node["allowed"], &node["binding"]), (&false.into(), &"none".into())));
    let groups = report["groups"].as_array().unwrap();
    let found = groups.iter().find(|group| group["limit"] == "cpuset.mems").expect("the cpuset");
    assert_eq!((&found["version"], &found["value"]), (&2.into(), &list.into()));
    // On a node without CPUs nobody is far from home.
    assert_eq!(topics(&report).contains(&"far-memory"), any_far, "{report}");
}

#[test]
fn a_small_memory_limit_is_seen_with_what_to_set() {
    let Some(prepare) = in_group("doctor-memory", &[("memory.max", "67108864")]) else { return };
    let (report, code) = report(prepare);
    assert_eq!(code, 0);
    let groups = report["groups"].as_array().unwrap();
    assert!(
        groups.iter().any(|group| group["limit"] == "memory.max" && group["value"] == "67108864"),
        "{report}"
    );
    let advice = report["advice"].as_array().unwrap();
    let limit = advice.iter().find(|advice| advice["topic"] == "memory-limit").expect("advice on the limit");
    assert!(limit["command"].as_str().unwrap().contains("NUMASLAB_LIMIT_SOFT=57M"), "{limit}");
}

//! A real CPU quota and a real cpuset, in a cgroup made for the purpose (emulated machines only).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use numaslab_numa::{CpuId, CpuSet, Error, NodeId, Placement, Topology, pin_current};

use crate::kernel;

/// Runs the ignored test `name` of this binary in a cgroup with these settings.
fn run_in_cgroup(group: &str, settings: &[(&str, &str)], name: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.procs").exists() {
        let mount = Command::new("mount").args(["-t", "cgroup2", "none"]).arg(root).status().unwrap();
        assert!(mount.success(), "cannot mount cgroup2");
    }
    fs::write(root.join("cgroup.subtree_control"), "+cpu +cpuset").unwrap();
    let directory = root.join(group);
    fs::create_dir_all(&directory).unwrap();
    for (file, value) in settings {
        fs::write(directory.join(file), value).unwrap();
    }
    let child = Command::new("sh")
        .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
        .arg(directory.join("cgroup.procs"))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    fs::remove_dir(&directory).unwrap();
}

#[test]
fn a_quota_limits_plans() {
    if kernel::rig().is_some() {
        run_in_cgroup("quota", &[("cpu.max", "150000 100000")], "cgroup::child_under_quota");
    }
}

#[test]
#[ignore = "run by a_quota_limits_plans inside its cgroup"]
fn child_under_quota() {
    let topology = Topology::discover().unwrap();
    assert_eq!(
        topology.quota().map(|quota| quota.to_string()).as_deref(),
        Some("1.50 CPUs (150000 us per 100000 us)")
    );
    assert_eq!(topology.parallelism(), 1);
    assert_eq!(thread::available_parallelism().unwrap().get(), 1);
    assert_eq!(Placement::Compact.plan(&topology).unwrap().workers(), 1);
    let per_node = Placement::PerNode(2).plan(&topology).unwrap();
    assert_eq!(per_node.workers(), per_node.nodes().len());
}

#[test]
fn a_cpuset_limits_masks_and_memory() {
    if kernel::rig().as_deref() == Some("n4") {
        let settings = [("cpuset.cpus", "2-3,6"), ("cpuset.mems", "1,3")];
        run_in_cgroup("cpuset", &settings, "cgroup::child_in_cpuset");
    }
}

#[test]
#[ignore = "run by a_cpuset_limits_masks_and_memory inside its cgroup"]
fn child_in_cpuset() {
    let topology = Topology::discover().unwrap();
    assert_eq!(topology.online_cpus(), &"0-7".parse::<CpuSet>().unwrap());
    assert_eq!(topology.allowed_cpus(), &"2-3,6".parse::<CpuSet>().unwrap());
    assert_eq!(topology.allowed_nodes(), &"1,3".parse().unwrap());
    assert_eq!(topology.nearest_memory_node(NodeId(0)), Some(NodeId(1)));
    let error = pin_current(CpuId(0)).unwrap_err();
    assert!(matches!(error, Error::Pin { .. }), "{error}");
    assert!(error.to_string().contains("CPUs 0 (node 0): Invalid argument"), "{error}");
    assert_eq!(Placement::PerNode(1).plan(&topology).unwrap().nodes(), "1,3".parse().unwrap());
    #[cfg(feature = "hwloc")]
    assert_eq!(topology, Topology::from_hwloc().unwrap());
}

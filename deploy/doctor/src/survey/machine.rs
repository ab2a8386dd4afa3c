//! The kernel, the C library, CPUs and nodes.

use numaslab_numa::{Topology, topology};

use super::files::Files;
use super::policy;
use crate::report::{Cpus, Host, HugePages, Node};

pub(super) fn host(files: &Files) -> Host {
    Host {
        kernel: files.text("proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
        architecture: std::env::consts::ARCH,
        libc: libc_version(),
    }
}

#[cfg(target_env = "gnu")]
fn libc_version() -> Option<String> {
    // SAFETY: returns a static string, for ever.
    #[allow(unsafe_code)]
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_str().ok().map(|version| format!("glibc {version}"))
}

#[cfg(not(target_env = "gnu"))]
fn libc_version() -> Option<String> {
    cfg!(target_env = "musl").then(|| "musl".to_owned())
}

pub(super) fn cpus(topology: &Topology) -> Cpus {
    Cpus {
        online: topology.online_cpus().to_string(),
        allowed: topology.allowed_cpus().to_string(),
        allowed_count: topology.allowed_cpus().len(),
        packages: topology.packages().len(),
        quota_cpus: topology.quota().map(numaslab_numa::CpuQuota::cpus),
        parallelism: topology.parallelism(),
    }
}

pub(super) fn nodes(files: &Files, topology: &Topology) -> Vec<Node> {
    topology.nodes().iter().map(|found| node(files, topology, found)).collect()
}

fn node(files: &Files, topology: &Topology, found: &topology::Node) -> Node {
    let allowed = topology.allowed_nodes().contains(found.id);
    let directory = format!("sys/devices/system/node/node{}", found.id.0);
    Node {
        id: found.id.0,
        cpus: found.cpus.to_string(),
        memory_bytes: found.memory_bytes,
        free_bytes: free_bytes(&files.text(&format!("{directory}/meminfo")).unwrap_or_default()),
        allowed,
        huge_2m: huge_pages(files, &directory, 2048),
        huge_1g: huge_pages(files, &directory, 1 << 20),
        binding: policy::try_binding(found.id, allowed && found.memory_bytes > 0),
        distances: found.distances.clone(),
    }
}

/// `Node 0 MemFree:  1234 kB` in a node's meminfo.
fn free_bytes(meminfo: &str) -> Option<u64> {
    let (_, rest) = meminfo.split_once("MemFree:")?;
    rest.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn huge_pages(files: &Files, directory: &str, kib: u32) -> HugePages {
    let number = |name: &str| files.number(&format!("{directory}/hugepages/hugepages-{kib}kB/{name}"));
    HugePages { total: number("nr_hugepages").unwrap_or(0), free: number("free_hugepages").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_of_a_node_is_a_line_of_its_meminfo() {
        let meminfo = "Node 1 MemTotal:  1000 kB\nNode 1 MemFree:    10 kB\nNode 1 MemUsed:   990 kB\n";
        assert_eq!(free_bytes(meminfo), Some(10 << 10));
        assert_eq!(free_bytes(""), None);
    }

    #[test]
    fn huge_pages_are_counted_by_node_and_size() {
        let dir = tempfile::tempdir().unwrap();
        let pool = dir.path().join("node0/hugepages/hugepages-2048kB");
        std::fs::create_dir_all(&pool).unwrap();
        std::fs::write(pool.join("nr_hugepages"), "16\n").unwrap();
        std::fs::write(pool.join("free_hugepages"), "4\n").unwrap();
        let files = Files::below(dir.path());
        assert_eq!(huge_pages(&files, "node0", 2048), HugePages { total: 16, free: 4 });
        assert_eq!(huge_pages(&files, "node0", 1 << 20), HugePages::default());
    }
}

//! Topologies of every awkward shape, from trees of files.

use super::node::{free_huge_2m_in, meminfo_bytes, unpromised_huge_2m_in};
use super::*;
use crate::os::errno::Errno;
use crate::os::fault::{self, Call};
use crate::os::testing::{TempDir, forbid, in_child};
use crate::os::{cpu, policy};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// A tree like `/sys/devices/system`.
struct Machine {
    dir: TempDir,
}

/// One node: its number, its CPU list, its distance row, its memory in MiB.
type Node<'a> = (u16, &'a str, &'a str, u64);

impl Machine {
    /// A machine whose possible and present CPUs are `cpus`.
    fn new(cpus: &str, nodes: &[Node<'_>]) -> Self {
        let dir = TempDir::new();
        dir.write("cpu/possible", &format!("{cpus}\n"));
        dir.write("cpu/present", &format!("{cpus}\n"));
        let list = |nodes: Vec<String>| format!("{}\n", nodes.join(","));
        dir.write("node/online", &list(nodes.iter().map(|node| node.0.to_string()).collect()));
        let with_memory = nodes.iter().filter(|node| node.3 != 0);
        dir.write("node/has_memory", &list(with_memory.map(|node| node.0.to_string()).collect()));
        for (number, cpus, distances, mib) in nodes {
            dir.write(&format!("node/node{number}/cpulist"), &format!("{cpus}\n"));
            dir.write(&format!("node/node{number}/distance"), &format!("{distances}\n"));
            let meminfo = format!(
                "Node {number} MemTotal:       {} kB\nNode {number} MemFree:        {} kB\n",
                mib << 10,
                mib << 9
            );
            dir.write(&format!("node/node{number}/meminfo"), &meminfo);
        }
        Self { dir }
    }

    fn topology(&self) -> Box<Topology> {
        self.allowed(None)
    }

    fn allowed(&self, nodes: Option<&[u16]>) -> Box<Topology> {
        let mut mask = NodeMask::EMPTY;
        nodes.unwrap_or_default().iter().for_each(|node| mask.insert(KernelNode(*node)));
        // Filled before with something else, which must not shine through.
        let mut topology = Box::new(Topology::new());
        topology.home.fill(9);
        topology.nearest_dense.fill(9);
        topology.memory_bytes.fill(9);
        topology.fill_from(&self.dir.root(), nodes.map(|_| &mask));
        topology.validate();
        topology
    }
}

impl Topology {
    /// Checks the invariants of the module.
    fn validate(&self) {
        assert!((1..=MAX_CPUS).contains(&self.cpu_count()));
        assert!((1..=MAX_NODES).contains(&self.node_count()));
        for cpu in 0..MAX_CPUS as u32 + 1 {
            assert!(self.home(CpuId(cpu)).index() < self.node_count());
        }
        for node in 0..2000 {
            assert!(self.nearest_dense(KernelNode(node)).index() < self.node_count());
        }
        for node in self.nodes() {
            let mut order: Vec<_> = self.nearest(node).collect();
            assert_eq!(order[0], node);
            assert!(order[1..].is_sorted_by_key(|to| self.distance(node, *to)));
            order.sort();
            assert!(order.into_iter().eq(self.nodes()));
            assert_eq!(self.nearest_dense(self.kernel_node(node)), node);
        }
    }

    fn homes(&self) -> Vec<u8> {
        (0..self.cpu_count() as u32).map(|cpu| self.home(CpuId(cpu)).0).collect()
    }

    fn kernel_nodes(&self) -> Vec<u16> {
        self.nodes().map(|node| self.kernel_node(node).0).collect()
    }

    fn order(&self, node: u8) -> Vec<u8> {
        self.nearest(NodeId(node)).map(|node| node.0).collect()
    }
}

#[test]
fn memory_of_zeroes_is_an_unfilled_topology() {
    // SAFETY: what is being tested: every field is an integer, or an enum with a variant 0.
    let zeroed: Box<Topology> = unsafe { Box::new_zeroed().assume_init() };
    assert_eq!(zeroed.source(), Source::Unfilled);
    assert_eq!((zeroed.cpu_count(), zeroed.node_count()), (0, 1));
    assert_eq!(zeroed.home(CpuId(3)), NodeId::ZERO);
    assert!(zeroed.nearest(NodeId::ZERO).eq([NodeId::ZERO]));
}

#[test]
fn four_nodes_in_a_row_know_their_neighbours() {
    let topology = Machine::new(
        "0-7",
        &[
            (0, "0-1", "10 20 30 40", 1024),
            (1, "2-3", "20 10 20 30", 2048),
            (2, "4-5", "30 20 10 20", 1024),
            (3, "6-7", "40 30 20 10", 1024),
        ],
    )
    .topology();
    assert_eq!(topology.source(), Source::Sysfs);
    assert_eq!(topology.homes(), [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(topology.distance(NodeId(0), NodeId(3)), 40);
    assert_eq!(topology.distance(NodeId(2), NodeId(2)), 10);
    assert_eq!(topology.memory_bytes(NodeId(1)), 2048 << 20);
    assert_eq!(topology.order(0), [0, 1, 2, 3]);
    // Equally far: the next number first, so node 1 turns to 2 and node 2 to 3.
    assert_eq!(topology.order(1), [1, 2, 0, 3]);
    assert_eq!(topology.order(2), [2, 3, 1, 0]);
    assert!(topology.cpus_of(NodeId(2)).eq([CpuId(4), CpuId(5)]));
}

#[test]
fn holes_in_node_numbers_are_closed_and_rows_are_read_by_online_node() {
    let topology = Machine::new(
        "0-5",
        &[(0, "0,3", "10 17 28", 64), (2, "1,4", "17 10 28", 64), (5, "2,5", "28 28 10", 64)],
    )
    .topology();
    assert_eq!(topology.kernel_nodes(), [0, 2, 5]);
    assert_eq!(topology.homes(), [0, 1, 2, 0, 1, 2]);
    assert_eq!(topology.distance(NodeId(0), NodeId(1)), 17);
    assert_eq!(topology.distance(NodeId(1), NodeId(2)), 28);
    assert_eq!(topology.nearest_dense(KernelNode(5)), NodeId(2));
}

#[test]
fn a_node_without_cpus_is_a_node() {
    let topology = Machine::new("0-1", &[(0, "0-1", "10 40", 512), (1, "", "40 10", 4096)]).topology();
    assert_eq!(topology.kernel_nodes(), [0, 1]);
    assert_eq!(topology.homes(), [0, 0]);
    assert_eq!(topology.cpus_of(NodeId(1)).count(), 0);
}

#[test]
fn cpus_without_memory_go_to_the_nearest_node_that_has_some() {
    let topology = Machine::new(
        "0-3",
        &[
            (0, "0", "10 15 30 20", 64),
            (1, "1", "15 10 12 11", 0),
            (2, "2", "30 12 10 20", 64),
            (3, "3", "20 11 20 10", 0),
        ],
    )
    .topology();
    assert_eq!(topology.kernel_nodes(), [0, 2]);
    // Node 1 has node 3 nearer still, but that has no memory either. Node 3 has two equally far.
    assert_eq!(topology.homes(), [0, 1, 1, 0]);
    assert_eq!(topology.nearest_dense(KernelNode(1)), NodeId(1));
    assert_eq!(topology.distance(NodeId(0), NodeId(1)), 30);
}

#[test]
fn nodes_outside_the_cpuset_lend_their_cpus_to_the_nearest_inside() {
    let machine = Machine::new(
        "0-5",
        &[(0, "0-1", "10 20 30", 64), (1, "2-3", "20 10 12", 64), (2, "4-5", "30 12 10", 64)],
    );
    let topology = machine.allowed(Some(&[0, 2]));
    assert_eq!(topology.kernel_nodes(), [0, 2]);
    assert_eq!(topology.homes(), [0, 0, 1, 1, 1, 1]);
    assert_eq!(machine.allowed(Some(&[1])).kernel_nodes(), [1]);
    // A cpuset that allows nothing we know of is not believed.
    assert_eq!(machine.allowed(Some(&[7])).kernel_nodes(), [0, 1, 2]);
}

#[test]
fn without_has_memory_the_meminfo_decides() {
    let machine = Machine::new("0-1", &[(0, "0", "10 20", 0), (1, "1", "20 10", 64)]);
    machine.dir.remove("node/has_memory");
    assert_eq!(machine.topology().kernel_nodes(), [1]);
    assert_eq!(machine.topology().homes(), [0, 0]);
}

#[test]
fn missing_and_short_distance_rows_count_as_remote() {
    let machine = Machine::new("0-2", &[(0, "0", "10 16", 64), (1, "1", "", 64), (2, "2", "rubbish", 64)]);
    machine.dir.remove("node/node1/distance");
    let topology = machine.topology();
    assert_eq!(topology.distance(NodeId(0), NodeId(1)), 16);
    assert_eq!(topology.distance(NodeId(0), NodeId(2)), REMOTE_DISTANCE);
    assert_eq!(topology.distance(NodeId(1), NodeId(0)), REMOTE_DISTANCE);
    assert_eq!(topology.distance(NodeId(1), NodeId(1)), LOCAL_DISTANCE);
}

#[test]
fn offline_cpus_keep_the_node_that_their_link_names() {
    let machine = Machine::new("0-5", &[(0, "0", "10 20", 64), (3, "2", "20 10", 64)]);
    machine.dir.write("cpu/present", "0-3\n");
    machine.dir.write("cpu/cpu1/node0/x", "");
    machine.dir.write("cpu/cpu3/node3/x", "");
    // CPU 4 has a link, but is not present.
    machine.dir.write("cpu/cpu4/node3/x", "");
    assert_eq!(machine.topology().homes(), [0, 0, 1, 1, 0, 0]);
}

#[test]
fn possible_cpus_count_to_the_highest_number_and_at_most_the_maximum() {
    let cpu_count = |possible| Machine::new(possible, &[(0, "0", "10", 64)]).topology().cpu_count();
    assert_eq!(cpu_count("0"), 1);
    assert_eq!(cpu_count("0-3,8,10-11"), 12);
    assert_eq!(cpu_count("0-99999"), MAX_CPUS);
    assert_eq!(cpu_count(""), cpu::cpu_limit());
}

#[test]
fn cpu_lists_beyond_the_maximum_and_longer_than_a_buffer_are_read() {
    let even: Vec<_> = (0..4500).map(|n| (n * 2).to_string()).collect();
    let odd: Vec<_> = (0..4500).map(|n| (n * 2 + 1).to_string()).collect();
    let nodes = [(0, &*even.join(","), "10 20", 64), (1, &*odd.join(","), "20 10", 64)];
    let topology = Machine::new("0-8999", &nodes).topology();
    assert_eq!(topology.cpu_count(), MAX_CPUS);
    assert!((0..MAX_CPUS as u32).all(|cpu| u32::from(topology.home(CpuId(cpu)).0) == cpu % 2));
}

#[test]
fn nodes_beyond_the_maximum_share_the_last() {
    let row = |from: u16| {
        let entries: Vec<_> = (0..70u16).map(|to| (10 + from.abs_diff(to)).to_string()).collect();
        entries.join(" ")
    };
    let rows: Vec<_> = (0..70).map(|n| (n.to_string(), row(n))).collect();
    let nodes: Vec<Node<'_>> =
        rows.iter().zip(0..).map(|((cpu, row), n)| (n, cpu.as_str(), row.as_str(), 64)).collect();
    let topology = Machine::new("0-69", &nodes).topology();
    assert_eq!(topology.node_count(), MAX_NODES);
    assert_eq!(topology.kernel_nodes()[62..], [62, 63]);
    assert_eq!(topology.homes()[62..], [62, 63, 63, 63, 63, 63, 63, 63]);
    assert_eq!(topology.memory_bytes(NodeId(62)), 64 << 20);
    assert_eq!(topology.memory_bytes(NodeId(63)), 7 * (64 << 20));
    // The rows of the shared nodes do not overwrite that of the first of them.
    assert_eq!(topology.distance(NodeId(63), NodeId(0)), 73);
    assert_eq!(topology.distance(NodeId(0), NodeId(63)), 73);
    assert_eq!(topology.distance(NodeId(63), NodeId(63)), 10);
}

#[test]
fn without_sysfs_there_is_one_node_and_as_many_cpus_as_the_kernel_counts() {
    let topology = Machine { dir: TempDir::new() }.topology();
    assert_eq!(topology.source(), Source::OneNode);
    assert_eq!(topology.cpu_count(), cpu::cpu_limit());
    assert_eq!(topology.kernel_nodes(), [0]);
    assert_eq!(topology.memory_bytes(NodeId(0)), 0);
}

#[test]
fn this_machine_is_read() {
    let topology = Topology::read().unwrap();
    topology.validate();
    let (cpu, node) = cpu::current_cpu_and_node().unwrap();
    assert!(cpu.index() < topology.cpu_count());
    if topology.source() == Source::Sysfs {
        assert_eq!(topology.nearest_dense(node), topology.home(cpu));
        let first = topology.kernel_node(NodeId::ZERO);
        assert!(node_free_bytes(first).unwrap() <= topology.memory_bytes(NodeId::ZERO));
        if let Ok(allowed) = policy::allowed_nodes() {
            assert!(topology.nodes().all(|node| allowed.contains(topology.kernel_node(node))));
        }
    }
    assert_eq!(node_free_bytes(KernelNode(999)), Err(Errno::ENOENT));
}

#[test]
fn what_a_node_has_free_is_read_in_bytes_and_pages() {
    let machine = Machine::new("0", &[(4, "0", "10", 64)]);
    let root = machine.dir.root();
    assert_eq!(meminfo_bytes(&root, KernelNode(4), b"MemFree:"), Ok(32 << 20));
    assert_eq!(meminfo_bytes(&root, KernelNode(4), b"MemGone:"), Err(Errno::ENOENT));
    assert_eq!(free_huge_2m_in(&root, KernelNode(4)), Err(Errno::ENOENT));
    machine.dir.write("node/node4/hugepages/hugepages-2048kB/free_hugepages", "16\n");
    assert_eq!(free_huge_2m_in(&root, KernelNode(4)), Ok(16));
    assert_eq!(unpromised_huge_2m_in(&root), Err(Errno::ENOENT));
    machine.dir.write("free_hugepages", "20\n");
    machine.dir.write("resv_hugepages", "3\n");
    assert_eq!(unpromised_huge_2m_in(&root), Ok(17));
}

#[test]
fn a_container_that_forbids_get_mempolicy_still_tells_its_nodes() {
    in_child(|| {
        let Ok(allowed) = policy::allowed_nodes() else { return };
        forbid(libc::SYS_get_mempolicy);
        assert_eq!(super::read::allowed_by_status(c"/proc/self/status"), Ok(allowed));
        Topology::read().unwrap().validate();
    });
}

#[test]
fn any_file_may_fail_and_the_topology_is_still_valid() {
    in_child(|| {
        let machine =
            Machine::new("0-3", &[(0, "0-1", "10 20", 64), (2, "2", "20 10", 64), (3, "3", "9 9", 0)]);
        let whole = machine.topology().homes();
        let mut differs = 0;
        for call in [Call::Open, Call::Read, Call::Close] {
            for nth in 1..40 {
                fault::fail_nth(call, nth, Errno::EIO);
                differs += (machine.topology().homes() != whole) as u32;
                fault::clear();
            }
            fault::fail_all(call, Errno::EMFILE);
            machine.topology();
            fault::clear();
        }
        assert!(differs > 0);
        assert_eq!(machine.topology().homes(), whole);
    });
}

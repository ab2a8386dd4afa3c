//! The machine's nodes, and where the kernel has put pages, asked by this file's own system calls.

use super::child::skip;
use super::threads::allowed_cpus;
use numaslab::os::topology::Topology;
use numaslab::units::CpuId;

const PAGE: usize = 4096;

/// A node with memory, as the kernel numbers it, and the CPUs that have no nearer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) number: u16,
    pub(crate) cpus: Vec<usize>,
}

/// The nodes with memory; `None`, and a loud word, if there is only one.
pub(crate) fn several() -> Option<Vec<Node>> {
    let nodes = all();
    if nodes.len() < 2 {
        skip("this machine has one node");
        return None;
    }
    Some(nodes)
}

/// The nodes with memory.
pub(crate) fn all() -> Vec<Node> {
    let topology = Topology::read().expect("memory for the topology");
    let cpus = allowed_cpus();
    let node = |dense| Node {
        number: topology.kernel_node(dense).0,
        cpus: cpus.iter().copied().filter(|cpu| topology.home(CpuId(*cpu as u32)) == dense).collect(),
    };
    topology.nodes().map(node).collect()
}

/// The node whose memory is nearest to each allowed CPU: `(cpu, node)`.
pub(crate) fn homes(nodes: &[Node]) -> Vec<(usize, u16)> {
    nodes.iter().flat_map(|node| node.cpus.iter().map(|cpu| (*cpu, node.number))).collect()
}

/// On which nodes the pages of `bytes` bytes at `address` lie; pages that were never touched are left out.
pub(crate) fn of_pages(address: usize, bytes: usize) -> Vec<u16> {
    let first = address / PAGE * PAGE;
    let pages: Vec<usize> = (first..address + bytes).step_by(PAGE).collect();
    let mut status = vec![-1i32; pages.len()];
    let no_nodes = std::ptr::null::<i32>();
    // SAFETY: without target nodes the kernel only looks the pages up, and writes as many numbers.
    let result = unsafe {
        libc::syscall(libc::SYS_move_pages, 0, pages.len(), pages.as_ptr(), no_nodes, status.as_mut_ptr(), 0)
    };
    assert_eq!(result, 0, "move_pages: {}", std::io::Error::last_os_error());
    status.into_iter().filter_map(|node| u16::try_from(node).ok()).collect()
}

/// What memory the kernel has free, by node and by the size of what is free together: says why it put a page elsewhere.
pub(crate) fn free_memory() -> String {
    let orders = std::fs::read_to_string("/proc/buddyinfo").unwrap_or_default();
    let counts = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let told = ["thp_fault", "compact_", "numa_", "allocstall"];
    let told = counts.lines().filter(|line| told.iter().any(|start| line.starts_with(start)));
    told.fold(orders, |text, line| text + line + "\n")
}

/// Pages of blocks, by whether they lie where they should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
}

impl Tally {
    /// Adds the pages of a block that should lie on `node`.
    pub(crate) fn add(&mut self, address: usize, bytes: usize, node: u16) {
        for page in of_pages(address, bytes) {
            if page == node { self.right += 1 } else { self.wrong += 1 }
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { right: self.right + other.right, wrong: self.wrong + other.wrong }
    }

    /// The share of pages that lie where they should; there must be some.
    pub(crate) fn share(self) -> f64 {
        assert!(self.right + self.wrong > 0, "no pages");
        self.right as f64 / (self.right + self.wrong) as f64
    }
}

/// Free memory of a node in bytes, as sysfs says.
pub(crate) fn free_bytes(node: u16) -> usize {
    let path = format!("/sys/devices/system/node/node{node}/meminfo");
    let text = std::fs::read_to_string(path).expect("sysfs");
    let line = text.lines().find(|line| line.contains("MemFree:")).expect("MemFree");
    line.split_whitespace().nth(3).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

/// Memory of a node that is kept from everybody else.
#[must_use]
pub(crate) struct Hog {
    at: *mut libc::c_void,
    bytes: usize,
}

impl Hog {
    /// Takes all of a node's memory but about `leaves` bytes.
    pub(crate) fn all_but(node: u16, leaves: usize) -> Self {
        let bytes = free_bytes(node).saturating_sub(leaves).next_multiple_of(PAGE).max(PAGE);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut mask = [0u64; 16];
        mask[usize::from(node) / 64] = 1 << (node % 64);
        // SAFETY: a new mapping, written over its whole length; the kernel reads the mask.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            let preferred = libc::MPOL_PREFERRED;
            let bound = libc::syscall(libc::SYS_mbind, at, bytes, preferred, mask.as_ptr(), 1025, 0);
            assert_eq!(bound, 0, "mbind: {}", std::io::Error::last_os_error());
            (0..bytes).step_by(PAGE).for_each(|page| at.cast::<u8>().add(page).write(1));
            Self { at, bytes }
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: its own mapping.
        unsafe { libc::munmap(self.at, self.bytes) };
    }
}

//! The kernel's reserved pool of 2 MiB pages. It is one for the machine: tests that use it take turns.

use super::child::{aloud, is_child};
use std::fs::{File, read_to_string, write};
use std::os::fd::AsRawFd;

/// Bytes of a page.
pub(crate) const PAGE: usize = 2 << 20;

/// The pool, filled for a test and put back as it was at the end of the test. Held by the test itself; its
/// children find the pool as their parent has made it.
#[must_use]
pub(crate) struct Pool {
    /// What each node had, by its number. Empty in a child.
    before: Vec<(u16, usize)>,
    _turn: Option<File>,
}

impl Pool {
    /// A pool with so many free pages on each of these nodes, and with none on all others; `None`, and a loud
    /// word, where it can't be had.
    pub(crate) fn with(pages: &[(u16, usize)]) -> Option<Self> {
        if is_child() {
            return Some(Self { before: Vec::new(), _turn: None });
        }
        let turn = turn();
        let before: Vec<(u16, usize)> = nodes().map(|node| (node, pages_of(node, "nr"))).collect();
        let pool = Self { before, _turn: Some(turn) };
        for (node, before) in &pool.before {
            let wanted = pages.iter().find(|(on, _)| on == node).map_or(0, |(_, pages)| *pages);
            let taken = before - free(*node);
            if set(*node, wanted + taken).is_err() || free(*node) != wanted {
                aloud(&format!("SKIPPED: no {wanted} reserved huge pages are to be had on node {node}"));
                return None;
            }
        }
        Some(pool)
    }

    /// As [`with`](Self::with), with the pages on the first node.
    pub(crate) fn of(pages: usize) -> Option<Self> {
        Self::with(&[(nodes().next()?, pages)])
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (node, pages) in &self.before {
            let _ = set(*node, *pages);
        }
    }
}

/// Waits for the turn of this test.
fn turn() -> File {
    let lock = File::create(std::env::temp_dir().join("numaslab-reserved-pool.lock")).expect("a lock file");
    // SAFETY: the descriptor is open; the lock goes with it.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
    lock
}

/// The numbers of the nodes that can have such pages.
fn nodes() -> impl Iterator<Item = u16> {
    (0..1024).filter(|node| std::fs::exists(file(*node, "nr")).unwrap_or(false))
}

/// Free pages of a node.
pub(crate) fn free(node: u16) -> usize {
    pages_of(node, "free")
}

/// Free pages of all nodes.
pub(crate) fn free_everywhere() -> usize {
    nodes().map(free).sum()
}

/// Pages that are promised to mappings of some process.
pub(crate) fn promised() -> usize {
    number("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages")
}

fn pages_of(node: u16, which: &str) -> usize {
    number(&file(node, which))
}

fn number(path: &str) -> usize {
    read_to_string(path).expect("sysfs").trim().parse().expect("a number")
}

fn set(node: u16, pages: usize) -> std::io::Result<()> {
    write(file(node, "nr"), pages.to_string())
}

fn file(node: u16, which: &str) -> String {
    format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/{which}_hugepages")
}

/// Pages that somebody else has: mapped and populated here, until dropped.
#[must_use]
pub(crate) struct Taken {
    at: *mut libc::c_void,
    bytes: usize,
}

impl Taken {
    /// Takes `pages` pages, of `node` if it is named.
    pub(crate) fn take(pages: usize, node: Option<u16>) -> Self {
        let bytes = pages * PAGE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        let mut mask = [0u64; 16];
        if let Some(node) = node {
            mask[usize::from(node) / 64] = 1 << (node % 64);
        }
        // SAFETY: a new mapping, populated in a way that fails where a touch would kill.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
            assert_ne!(at, libc::MAP_FAILED, "{pages} pages: {}", std::io::Error::last_os_error());
            if node.is_some() {
                let bound =
                    libc::syscall(libc::SYS_mbind, at, bytes, libc::MPOL_BIND, mask.as_ptr(), 1025, 0);
                assert_eq!(bound, 0, "mbind: {}", std::io::Error::last_os_error());
            }
            let populate_write = 23;
            let error = std::io::Error::last_os_error;
            assert_eq!(libc::madvise(at, bytes, populate_write), 0, "{}", error());
            Self { at, bytes }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: its own mapping.
        unsafe { libc::munmap(self.at, self.bytes) };
    }
}

//! What a node has free at this moment.

use crate::os::errno::{Errno, Result};
use crate::os::file::{Path, Reader};
use crate::units::KernelNode;
use core::ffi::CStr;

pub(super) const ROOT: &CStr = c"/sys/devices/system";
/// The reserved pool of 2 MiB pages, of the whole machine.
const POOL_ROOT: &CStr = c"/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Free memory of a node in bytes (`MemFree`, without page cache that could be dropped).
///
/// Errors: `ENOENT` if the node or sysfs does not exist; open(2), read(2).
pub fn node_free_bytes(node: KernelNode) -> Result<u64> {
    meminfo_bytes(ROOT, node, b"MemFree:")
}

/// Free pages of 2 MiB in the node's reserved pool. Some of them may be promised already.
///
/// Errors: `ENOENT` if the node, sysfs or this page size does not exist; open(2), read(2).
pub fn node_free_huge_2m(node: KernelNode) -> Result<u64> {
    free_huge_2m_in(ROOT, node)
}

/// Free pages of 2 MiB in the machine's reserved pool, less those that are promised to mappings already.
///
/// Errors: `ENOENT` if sysfs or this page size does not exist; open(2), read(2).
pub fn unpromised_huge_2m() -> Result<u64> {
    unpromised_huge_2m_in(POOL_ROOT)
}

/// How many CPUs are online at this moment.
///
/// Errors: `ENOENT` if sysfs does not exist; open(2), read(2).
pub fn online_cpus() -> Result<usize> {
    let (mut path, mut count) = (Path::new(ROOT), 0);
    Reader::open(path.push(b"/cpu/online"))?.list(|first, last| {
        count += (last.saturating_sub(first) as usize).saturating_add(1);
    })?;
    Ok(count)
}

/// One line of the node's `meminfo`, in bytes. The file says kB and means KiB.
pub(super) fn meminfo_bytes(root: &CStr, node: KernelNode, key: &[u8]) -> Result<u64> {
    let mut reader = Reader::open(&node_path(root, node, b"/meminfo"))?;
    if !reader.skip_past(key)? {
        return Err(Errno::ENOENT);
    }
    reader.number()?.map(|kib| kib.saturating_mul(1024)).ok_or(Errno::ENOENT)
}

pub(super) fn free_huge_2m_in(root: &CStr, node: KernelNode) -> Result<u64> {
    let file = b"/hugepages/hugepages-2048kB/free_hugepages";
    Reader::open(&node_path(root, node, file))?.number()?.ok_or(Errno::ENOENT)
}

pub(super) fn unpromised_huge_2m_in(root: &CStr) -> Result<u64> {
    let number = |file: &[u8]| {
        let mut path = Path::new(root);
        Reader::open(path.push(file))?.number()?.ok_or(Errno::ENOENT)
    };
    Ok(number(b"/free_hugepages")?.saturating_sub(number(b"/resv_hugepages")?))
}

/// `ROOT/node/nodeN` and `file` behind it.
pub(super) fn node_path(root: &CStr, node: KernelNode, file: &[u8]) -> Path {
    let mut path = Path::new(root);
    path.push(b"/node/node").push_dec(node.0.into()).push(file);
    path
}

//! The memory limits that a container sets for us: cgroup v2.
//!
//! Neighbours: the owner of the soft and hard limits asks here when `Config` says `Cgroup`.

use super::errno::{Errno, Result};
use super::file::{Path, Reader};
use core::ffi::CStr;

/// The limits of the process's control group, the smallest on the way up to the root. `None`: no
/// limit. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemoryLimits {
    /// `memory.high`: above it the kernel slows the group down and reclaims.
    pub high_bytes: Option<u64>,
    /// `memory.max`: above it the kernel kills.
    pub max_bytes: Option<u64>,
}

/// Reads the limits of this process's cgroup (v2) from `/proc/self/cgroup` and `/sys/fs/cgroup`.
///
/// Errors: `ENOENT` if there is no cgroup v2; else open(2), read(2).
pub fn memory_limits() -> Result<MemoryLimits> {
    memory_limits_in(c"/sys/fs/cgroup", c"/proc/self/cgroup")
}

/// As [`memory_limits`], with the mount point of cgroup v2 and the file that names our group.
pub fn memory_limits_in(mount: &CStr, membership: &CStr) -> Result<MemoryLimits> {
    let mut group = [0; Path::BYTES];
    let mut len = own_group(membership, &mut group)?;
    let mut limits = MemoryLimits::default();
    // From our group up to the root: `/a/b`, `/a`, ``.
    loop {
        let group = &group[..len];
        limits.high_bytes = least(limits.high_bytes, limit(mount, group, b"/memory.high"));
        limits.max_bytes = least(limits.max_bytes, limit(mount, group, b"/memory.max"));
        match group.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => len = slash,
            None => return Ok(limits),
        }
    }
}

/// Puts the path of our group (`/a/b`) into `group` and returns its length. The line of v2 is `0::/a/b`.
fn own_group(membership: &CStr, group: &mut [u8]) -> Result<usize> {
    let mut reader = Reader::open(&Path::new(membership))?;
    if !reader.skip_past(b"0::")? {
        return Err(Errno::ENOENT);
    }
    let mut len = 0;
    while let Some(byte) = reader.byte()?.filter(|byte| *byte != b'\n') {
        *group.get_mut(len).ok_or(Errno(libc::ENAMETOOLONG))? = byte;
        len += 1;
    }
    Ok(len)
}

/// The number in one file; none if it says `max` or does not exist (as in the root group).
fn limit(mount: &CStr, group: &[u8], file: &[u8]) -> Option<u64> {
    let mut path = Path::new(mount);
    path.push(group).push(file);
    Reader::open(&path).and_then(|mut reader| reader.number()).ok().flatten()
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::TempDir;
    use std::ffi::CString;

    fn limits(dir: &TempDir) -> Result<MemoryLimits> {
        let mut membership = dir.root().into_bytes();
        membership.extend_from_slice(b"/self");
        memory_limits_in(&dir.root(), &CString::new(membership).unwrap())
    }

    fn tree(membership: &str, files: &[(&str, &str)]) -> Result<MemoryLimits> {
        let dir = TempDir::new();
        dir.write("self", membership);
        files.iter().for_each(|(name, text)| dir.write(name, text));
        limits(&dir)
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let limits = tree(
            "4:memory:/other\n0::/a/b\n",
            &[
                ("a/b/memory.max", "max\n"),
                ("a/b/memory.high", "3000\n"),
                ("a/memory.max", "8192\n"),
                ("a/memory.high", "4000\n"),
                ("memory.max", "9000\n"),
                ("other/memory.max", "1\n"),
            ],
        );
        assert_eq!(limits, Ok(MemoryLimits { high_bytes: Some(3000), max_bytes: Some(8192) }));
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let limits = tree("0::/\n", &[("memory.max", "1048576\n"), ("memory.high", "max\n")]);
        assert_eq!(limits, Ok(MemoryLimits { high_bytes: None, max_bytes: Some(1 << 20) }));
    }

    #[test]
    fn no_group_no_limit() {
        assert_eq!(tree("0::/gone", &[]), Ok(MemoryLimits::default()));
        assert_eq!(tree("4:memory:/old\n", &[]), Err(Errno::ENOENT));
        assert_eq!(limits(&TempDir::new()), Err(Errno::ENOENT));
    }
}

//! The memory limits that a container sets for us: control groups.
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

/// Reads the limits of this process's cgroup from `/proc/self/cgroup` and `/sys/fs/cgroup`: those of
/// v2, and where it sets none, the hard limit of v1.
///
/// Errors: `ENOENT` if there are no cgroups; else open(2), read(2).
pub fn memory_limits() -> Result<MemoryLimits> {
    memory_limits_in(c"/sys/fs/cgroup", c"/proc/self/cgroup")
}

/// As [`memory_limits`], with the mount point of the cgroups and the file that names ours.
pub fn memory_limits_in(mount: &CStr, membership: &CStr) -> Result<MemoryLimits> {
    let unified = least_of(mount, membership, b"0::", |path| MemoryLimits {
        high_bytes: limit(path, b"/memory.high"),
        max_bytes: limit(path, b"/memory.max"),
    });
    if unified.is_ok_and(|limits| limits != MemoryLimits::default()) {
        return unified;
    }
    let v1 = least_of(mount, membership, b":memory:", |path| MemoryLimits {
        high_bytes: None,
        max_bytes: limit(path, b"/memory.limit_in_bytes").filter(|bytes| *bytes < NO_LIMIT_V1),
    });
    v1.or(unified)
}

/// From here on a limit of v1 means none: it says so by the largest multiple of a page.
const NO_LIMIT_V1: u64 = i64::MAX as u64 / (64 << 10) * (64 << 10);

/// Asks `limits_at` for each group from our own up to the root, and takes the least. Our group is on
/// the line that has `key`; v1 has a tree for each controller, `memory` being ours.
fn least_of(
    mount: &CStr,
    membership: &CStr,
    key: &[u8],
    limits_at: impl Fn(Path) -> MemoryLimits,
) -> Result<MemoryLimits> {
    let mut group = [0; Path::BYTES];
    let mut len = own_group(membership, key, &mut group)?;
    let tree: &[u8] = if key == b":memory:" { b"/memory" } else { b"" };
    let mut least = MemoryLimits::default();
    // `/a/b`, `/a`, ``.
    loop {
        let mut path = Path::new(mount);
        let limits = limits_at(*path.push(tree).push(&group[..len]));
        least.high_bytes = lesser(least.high_bytes, limits.high_bytes);
        least.max_bytes = lesser(least.max_bytes, limits.max_bytes);
        match group[..len].iter().rposition(|byte| *byte == b'/') {
            Some(slash) => len = slash,
            None => return Ok(least),
        }
    }
}

/// Puts the path of our group (`/a/b`), which follows `key`, into `group` and returns its length.
fn own_group(membership: &CStr, key: &[u8], group: &mut [u8]) -> Result<usize> {
    let mut reader = Reader::open(&Path::new(membership))?;
    if !reader.skip_past(key)? {
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
fn limit(mut group: Path, file: &[u8]) -> Option<u64> {
    Reader::open(group.push(file)).and_then(|mut reader| reader.number()).ok().flatten()
}

fn lesser(one: Option<u64>, other: Option<u64>) -> Option<u64> {
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
        assert_eq!(tree("1:cpu:/old\n", &[]), Err(Errno::ENOENT));
        assert_eq!(limits(&TempDir::new()), Err(Errno::ENOENT));
    }

    #[test]
    fn the_hard_limit_of_v1_counts_where_v2_sets_none() {
        let files = [
            ("memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.limit_in_bytes", "5000\n"),
        ];
        let v1 = Ok(MemoryLimits { high_bytes: None, max_bytes: Some(5000) });
        assert_eq!(tree("4:memory:/a\n0::/\n", &files), v1);
        assert_eq!(tree("4:memory:/a\n", &files), v1);
        let no_limit = tree("4:memory:/a\n0::/\n", &files[..1]);
        assert_eq!(no_limit, Ok(MemoryLimits::default()));
    }
}

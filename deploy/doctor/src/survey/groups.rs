//! Limits of the process's control groups, of both versions.

use std::path::Path;

use numaslab_numa::{ControlGroup, Result};

use crate::report::GroupLimit;

/// A limit: its name (that of version 2's file), the controller and the file of version 1, and the word for "none" there.
struct Limit {
    name: &'static str,
    controller: &'static str,
    file_v1: Option<&'static str>,
}

const fn limit(name: &'static str, controller: &'static str, file_v1: Option<&'static str>) -> Limit {
    Limit { name, controller, file_v1 }
}

/// What can keep numaslab from CPUs, nodes or memory.
const LIMITS: [Limit; 9] = [
    limit("memory.max", "memory", Some("memory.limit_in_bytes")),
    limit("memory.high", "memory", None),
    limit("memory.swap.max", "memory", None),
    limit("cpu.max", "cpu", Some("cpu.cfs_quota_us")),
    limit("cpuset.cpus", "cpuset", Some("cpuset.cpus")),
    limit("cpuset.mems", "cpuset", Some("cpuset.mems")),
    limit("hugetlb.2MB.max", "hugetlb", Some("hugetlb.2MB.limit_in_bytes")),
    limit("hugetlb.1GB.max", "hugetlb", Some("hugetlb.1GB.limit_in_bytes")),
    limit("pids.max", "pids", Some("pids.max")),
];

/// From here on a number of bytes means no limit: version 1 has no other word for it, and some kernels write the
/// largest multiple of a huge page for `hugetlb` of version 2.
const NO_LIMIT: i64 = 1 << 62;

/// The files that limit something, for the process whose groups `/proc/self` below `root` names.
pub(super) fn groups(root: impl AsRef<Path>) -> Result<Vec<GroupLimit>> {
    let groups = ControlGroup::from_root(root)?;
    let mut found = Vec::new();
    for limit in LIMITS {
        for group in groups.iter().filter(|group| group.may_control(limit.controller)) {
            let version = group.version();
            let Some(file) = (if version == 2 { Some(limit.name) } else { limit.file_v1 }) else { continue };
            let values = group.values(file)?.into_iter().filter(|(_, value)| limits(value));
            found.extend(values.map(|(path, value)| GroupLimit {
                version,
                limit: limit.name,
                path: path.display().to_string(),
                value,
            }));
        }
    }
    Ok(found)
}

/// Whether a value limits anything. Version 1 has -1 for "no quota".
fn limits(value: &str) -> bool {
    let is_unlimited = || value.parse::<i64>().is_ok_and(|number| !(0..NO_LIMIT).contains(&number));
    !(value.is_empty() || value == "max" || value.starts_with("max ") || is_unlimited())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(u8, &'static str, String)> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let groups = groups(dir.path()).unwrap();
        groups.into_iter().map(|group| (group.version, group.limit, group.value)).collect()
    }

    #[test]
    fn limits_of_version_2_are_those_that_say_no_max() {
        let files = [
            ("proc/self/mountinfo", "30 24 0:26 / /cg rw - cgroup2 cgroup2 rw"),
            ("proc/self/cgroup", "0::/pod/app"),
            ("cg/pod/app/memory.max", "1073741824\n"),
            ("cg/pod/memory.max", "2147483648\n"),
            ("cg/pod/app/memory.high", "max\n"),
            ("cg/pod/app/cpu.max", "max 100000\n"),
            ("cg/pod/cpu.max", "150000 100000\n"),
            ("cg/pod/app/cpuset.mems", "\n"),
            ("cg/pod/app/cpuset.cpus", "0-3\n"),
            ("cg/pod/app/hugetlb.1GB.max", "9223372035781033984\n"),
        ];
        assert_eq!(
            found(&files),
            [
                (2, "memory.max", "1073741824".to_owned()),
                (2, "memory.max", "2147483648".to_owned()),
                (2, "cpu.max", "150000 100000".to_owned()),
                (2, "cpuset.cpus", "0-3".to_owned()),
            ]
        );
    }

    #[test]
    fn limits_of_version_1_have_numbers_for_none() {
        let files = [
            (
                "proc/self/mountinfo",
                "33 32 0:29 / /m rw - cgroup cgroup rw,memory\n34 32 0:30 / /c rw - cgroup cgroup rw,cpu",
            ),
            ("proc/self/cgroup", "5:memory:/app\n4:cpu:/app"),
            ("m/app/memory.limit_in_bytes", "4096\n"),
            ("m/memory.limit_in_bytes", "9223372036854771712\n"),
            ("c/app/cpu.cfs_quota_us", "-1\n"),
        ];
        assert_eq!(found(&files), [(1, "memory.max", "4096".to_owned())]);
    }
}

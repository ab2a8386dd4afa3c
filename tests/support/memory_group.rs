//! A control group that bounds the memory of a process, of either version.

use super::child::skip;
use std::fs;
use std::path::{Path, PathBuf};

/// A group of one's own; removed when dropped, if nobody is in it any more.
#[must_use]
pub(crate) struct MemoryGroup {
    path: PathBuf,
    version: Version,
}

/// Which files a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `memory.limit_in_bytes`, and no soft limit that anybody heeds.
    One,
    /// `memory.max` and `memory.high`.
    Two,
}

impl MemoryGroup {
    /// Makes one under the root of the memory controller; `None`, and a loud word, where that may not be.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let name = format!("numaslab-{name}-{}", std::process::id());
        let unified = Path::new("/sys/fs/cgroup");
        if fs::read_to_string(unified.join("cgroup.controllers")).is_ok_and(|all| all.contains("memory")) {
            // Refused where the root has members and is none; then making or limiting the group is, too.
            let _ = fs::write(unified.join("cgroup.subtree_control"), "+memory");
            return Self::make_at(unified.join(name), Version::Two, "memory.max");
        }
        Self::make_at(unified.join("memory").join(name), Version::One, "memory.limit_in_bytes")
    }

    fn make_at(path: PathBuf, version: Version, file: &str) -> Option<Self> {
        let made = fs::create_dir(&path);
        let group = Self { path, version };
        if made.is_err() || !group.path.join(file).exists() {
            skip(&format!("no control group for memory can be made here: {made:?}"));
            return None;
        }
        Some(group)
    }

    /// Whether the kernel knows a soft limit that slows the group down.
    pub(crate) fn has_soft_limit(&self) -> bool {
        self.version == Version::Two
    }

    /// Kills whoever goes beyond.
    pub(crate) fn set_hard_limit(&self, bytes: usize) {
        let file = if self.has_soft_limit() { "memory.max" } else { "memory.limit_in_bytes" };
        self.set(file, bytes);
    }

    /// Slows down whoever goes beyond; version 2 only.
    pub(crate) fn set_soft_limit(&self, bytes: usize) {
        self.set("memory.high", bytes);
    }

    /// Puts the calling process into it.
    pub(crate) fn enter(&self) {
        self.set("cgroup.procs", std::process::id() as usize);
    }

    /// How often the kernel has killed somebody in it.
    pub(crate) fn kills(&self) -> u64 {
        let file = if self.has_soft_limit() { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.path.join(file)).expect("readable");
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }

    fn set(&self, file: &str, number: usize) {
        fs::write(self.path.join(file), number.to_string())
            .unwrap_or_else(|error| panic!("{file} {number}: {error}"));
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

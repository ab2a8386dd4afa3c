//! Which pages an allocator is told to lay its heap on, and on which ones a process really lies.

use std::fs;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::allocator::Allocator;

/// Bytes of a huge page.
pub const HUGE: u64 = 2 << 20;

/// The kinds of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// 2 MiB, from the kernel's reserved pool (hugetlb)
    Reserved,
    /// 2 MiB, as far as the kernel puts them together (THP)
    Transparent,
    /// 4 KiB
    Ordinary,
}

impl Pages {
    /// The name of a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved pages",
            Self::Transparent => "transparent huge pages",
            Self::Ordinary => "ordinary pages",
        }
    }

    /// What tells an allocator so; nothing for those that can't be told.
    pub fn environment(self, allocator: Allocator) -> Option<(&'static str, &'static str)> {
        match allocator.program() {
            Allocator::Numaslab => Some(("NUMASLAB_HUGE", self.of(["reserved", "transparent", "never"]))),
            Allocator::Glibc => {
                let tunable = ["glibc.malloc.hugetlb=2", "glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=0"];
                Some(("GLIBC_TUNABLES", self.of(tunable)))
            }
            Allocator::Mimalloc if self == Self::Reserved => Some(("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1")),
            Allocator::Mimalloc => Some(("MIMALLOC_ALLOW_THP", self.of(["1", "1", "0"]))),
            Allocator::Jemalloc => {
                Some(("_RJEM_MALLOC_CONF", self.of(["thp:default", "thp:always", "thp:never"])))
            }
            _ => None,
        }
    }

    fn of<T: Copy>(self, [reserved, transparent, ordinary]: [T; 3]) -> T {
        match self {
            Self::Reserved => reserved,
            Self::Transparent => transparent,
            Self::Ordinary => ordinary,
        }
    }
}

/// Bytes in pages of the reserved pool that nobody has or was promised; 0 where there is no such pool.
pub fn free_reserved_bytes() -> u64 {
    let number = |file: &str| -> Option<u64> {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{file}_hugepages");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    number("free").unwrap_or(0).saturating_sub(number("resv").unwrap_or(0)) * HUGE
}

/// Bytes of this process on reserved and on transparent huge pages, by the kernel's word; `None` where it does
/// not tell.
pub fn of_this_process() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    Some((bytes_of(&text, "Private_Hugetlb:")?, bytes_of(&text, "AnonHugePages:")?))
}

fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        let text = "Rss:  12 kB\nAnonHugePages:      4096 kB\nPrivate_Hugetlb:       0 kB\n";
        assert_eq!(bytes_of(text, "AnonHugePages:"), Some(4 << 20));
        assert_eq!(bytes_of(text, "Private_Hugetlb:"), Some(0));
        assert_eq!(bytes_of(text, "Swap:"), None);
    }

    #[test]
    fn who_can_be_told_is_told_something_else_for_each_kind() {
        for allocator in [Allocator::Numaslab, Allocator::Glibc, Allocator::Mimalloc, Allocator::Jemalloc] {
            let told =
                [Pages::Reserved, Pages::Transparent, Pages::Ordinary].map(|p| p.environment(allocator));
            assert!(told[0] != told[1] && told[1] != told[2] && told.iter().all(Option::is_some));
        }
        assert_eq!(Pages::Reserved.environment(Allocator::Ceiling), None);
    }
}

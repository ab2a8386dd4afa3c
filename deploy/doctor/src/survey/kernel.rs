//! Settings of the kernel, from `/proc/sys` and `/sys/kernel/mm`.

use super::files::Files;
use crate::report::Kernel;

/// Reads them; what a kernel does not have is `None`.
pub(super) fn kernel(files: &Files) -> Kernel {
    let thp = |name: &str| {
        files.text(&format!("sys/kernel/mm/transparent_hugepage/{name}")).as_deref().and_then(chosen)
    };
    let sysctl = |name: &str| files.number(&format!("proc/sys/{name}"));
    Kernel {
        thp_enabled: thp("enabled"),
        thp_defrag: thp("defrag"),
        overcommit_memory: sysctl("vm/overcommit_memory"),
        overcommit_ratio: sysctl("vm/overcommit_ratio"),
        surplus_huge_pages: sysctl("vm/nr_overcommit_hugepages"),
        numa_balancing: sysctl("kernel/numa_balancing"),
        zone_reclaim_mode: sysctl("vm/zone_reclaim_mode"),
        max_map_count: sysctl("vm/max_map_count"),
    }
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_brackets_is_the_setting() {
        assert_eq!(chosen("always defer defer+madvise [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(chosen("always"), None);
    }

    #[test]
    fn a_kernel_without_these_files_has_no_settings() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = kernel(&Files::below(dir.path()));
        assert_eq!((kernel.thp_enabled, kernel.numa_balancing), (None, None));
    }
}

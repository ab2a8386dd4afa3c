//! What a child process used: memory, page faults, context switches.
//!
//! Memory is that of the whole process: code, stacks and the bench program's own arrays are in it,
//! the same for every allocator. `rss_start` is what the child had before the workload began.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// Usage over a workload. Memory in KiB, the others are counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Resident memory before the workload.
    pub rss_start_kib: u64,
    /// The most resident memory at any time.
    pub rss_peak_kib: u64,
    /// Resident memory after the workload has given back every block.
    pub rss_end_kib: u64,
    /// Page faults served without I/O.
    pub minor_faults: u64,
    /// Page faults that needed I/O.
    pub major_faults: u64,
    /// Context switches because a thread waited.
    pub voluntary_switches: u64,
    /// Context switches because the kernel took the CPU away.
    pub involuntary_switches: u64,
}

impl Resources {
    /// Runs `work` and reports what the process used meanwhile.
    pub fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let rss_start_kib = rss_kib();
        let before = counts();
        let result = work();
        let after = counts();
        let [minor, major, voluntary, involuntary] =
            std::array::from_fn(|at| after[at].saturating_sub(before[at]));
        let used = Self {
            rss_start_kib,
            rss_peak_kib: peak_rss_kib(),
            rss_end_kib: rss_kib(),
            minor_faults: minor,
            major_faults: major,
            voluntary_switches: voluntary,
            involuntary_switches: involuntary,
        };
        (result, used)
    }
}

/// The most resident memory that this process had at any time.
pub fn peak_rss_kib() -> u64 {
    status_kib("VmHWM:")
}

/// The resident memory of this process now.
pub fn rss_kib() -> u64 {
    status_kib("VmRSS:")
}

/// A field of `/proc/self/status` that the kernel gives in KiB; 0 if there is none.
fn status_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_status_kib(&status, field).unwrap_or(0)
}

fn parse_status_kib(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Faults and switches of all threads of this process, ended ones included.
fn counts() -> [u64; 4] {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return [0; 4] };
    [
        usage.minor_page_faults(),
        usage.major_page_faults(),
        usage.voluntary_context_switches(),
        usage.involuntary_context_switches(),
    ]
    .map(|count| u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields_are_found() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t     1024 kB\n";
        assert_eq!(parse_status_kib(status, "VmRSS:"), Some(1024));
        assert_eq!(parse_status_kib(status, "VmHWM:"), Some(2048));
        assert_eq!(parse_status_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn touched_memory_shows_as_faults_and_peak() {
        let (sum, used) = Resources::during(|| {
            let mut pages = vec![0_u8; 16 << 20];
            pages.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            pages.iter().map(|&byte| usize::from(byte)).sum::<usize>()
        });
        assert_eq!(sum, 4096);
        assert!(used.rss_peak_kib >= 16 << 10, "{used:?}");
        assert!(used.minor_faults > 0, "{used:?}");
    }
}

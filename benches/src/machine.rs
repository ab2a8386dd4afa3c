//! The machine that the figures come from.

use std::{fs, thread};

use serde::Serialize;

/// What a reader of the figures must know of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// CPUs that this process may use.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
    /// The kernel's mode of transparent huge pages.
    pub transparent_huge_pages: String,
    /// Processes that ran or wanted to, on average over the minute before.
    pub load: f64,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            cpus: cpus(),
            memory_mib: field("/proc/meminfo", "MemTotal")
                .and_then(|value| value.strip_suffix("kB")?.trim().parse::<u64>().ok())
                .map_or(0, |kib| kib >> 10),
            kernel: line("/proc/sys/kernel/osrelease"),
            transparent_huge_pages: chosen(&line("/sys/kernel/mm/transparent_hugepage/enabled")),
            load: line("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }

    /// One line for headings.
    pub fn summary(&self) -> String {
        let Self { processor, cpus, memory_mib, kernel, transparent_huge_pages, .. } = self;
        format!(
            "{processor}, {cpus} CPUs, {memory_mib} MiB, Linux {kernel}, \
             transparent huge pages: {transparent_huge_pages}"
        )
    }

    /// Whether other programs were busy enough to disturb the figures.
    pub fn is_busy(&self) -> bool {
        self.load > 0.3 * f64::from(self.cpus)
    }
}

/// CPUs that this process may use.
pub fn cpus() -> u32 {
    thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// Numbers of threads to scale over on this machine.
pub fn scaling() -> Vec<u32> {
    scaling_for(cpus())
}

/// Numbers of threads to scale over on so many CPUs: 1, 2, 4 and so on up to four times as many.
pub fn scaling_for(cpus: u32) -> Vec<u32> {
    let most = 4 * cpus;
    let mut counts: Vec<u32> =
        std::iter::successors(Some(1_u32), |count| Some(count * 2)).take_while(|&n| n <= most).collect();
    if counts.last() != Some(&most) {
        counts.push(most);
    }
    counts
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// The value of the first `name: value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().find(|line| line.starts_with(name))?.split_once(':')?;
    Some(value.trim().to_owned())
}

/// The word in brackets of `always [madvise] never`.
fn chosen(modes: &str) -> String {
    let word = modes.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    word.map_or_else(|| modes.to_owned(), |(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_ends_at_four_times_the_cpus() {
        assert_eq!(scaling_for(1), [1, 2, 4]);
        assert_eq!(scaling_for(2), [1, 2, 4, 8]);
        assert_eq!(scaling_for(6), [1, 2, 4, 8, 16, 24]);
    }

    #[test]
    fn chosen_mode_is_the_bracketed_one() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("unknown"), "unknown");
    }
}

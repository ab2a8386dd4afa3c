//! System calls by kind, and the marks between which a traced child wants them counted.
//!
//! A [`mark`] is itself a system call, one that does nothing but carry a number that the tracer knows
//! (`harness::trace`); untraced it costs as little as a call can. Each thread marks its own part of a run, so
//! that its start, its warm-up and its waiting for the others stay out of the count.

#![allow(unsafe_code)]

use crate::outcome::{Figures, Metric};

/// What a thread tells its tracer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Count this thread's calls from here on.
    Begin,
    /// And no longer.
    End,
}

impl Mark {
    /// Both, with the numbers that stand for them.
    const NUMBERS: [(Self, u64); 2] = [(Self::Begin, 0x6e75_6d61_0001), (Self::End, 0x6e75_6d61_0002)];

    /// The mark that a system call is, by its number and first argument; `None` for every other call.
    pub fn of(call: u64, argument: u64) -> Option<Self> {
        let is_carrier = call == libc::SYS_getppid as u64;
        let number = Self::NUMBERS.into_iter().find(|&(_, number)| is_carrier && number == argument);
        number.map(|(mark, _)| mark)
    }
}

/// Tells a tracer, if there is one.
pub fn mark(mark: Mark) {
    let number = Mark::NUMBERS.into_iter().find(|&(known, _)| known == mark).map_or(0, |(_, number)| number);
    // SAFETY: getppid takes no argument, touches no memory and can't fail; what is passed is ignored.
    unsafe { libc::syscall(libc::SYS_getppid, number) };
}

/// The kinds that are told apart, with their figures per 100 million operations.
const KINDS: [(Metric, i64); 7] = [
    (kind("calls_mmap", "mmap"), libc::SYS_mmap),
    (kind("calls_munmap", "munmap"), libc::SYS_munmap),
    (kind("calls_madvise", "madvise"), libc::SYS_madvise),
    (kind("calls_mprotect", "mprotect"), libc::SYS_mprotect),
    (kind("calls_brk", "brk"), libc::SYS_brk),
    (kind("calls_futex", "futex"), libc::SYS_futex),
    (kind("calls_membarrier", "membarrier"), libc::SYS_membarrier),
];

const fn kind(name: &'static str, title: &'static str) -> Metric {
    Metric::lower(name, title).unranked()
}

/// The operations of a traced run, in millions.
pub const OPERATIONS: Metric = Metric::higher("operations_m", "Mops").unranked();

/// All calls together, per 100 million operations.
pub const TOTAL: Metric = Metric::lower("calls_total", "calls/100 Mops");

/// Calls of none of the kinds above.
const OTHERS: Metric = kind("calls_others", "others");

/// The figures of a traced run.
pub const METRICS: [Metric; KINDS.len() + 3] = {
    let mut metrics = [OTHERS; KINDS.len() + 3];
    (metrics[0], metrics[1]) = (OPERATIONS, TOTAL);
    let mut at = 0;
    while at < KINDS.len() {
        metrics[at + 2] = KINDS[at].0;
        at += 1;
    }
    metrics
};

/// Counts of system calls by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    kinds: [u64; KINDS.len()],
    others: u64,
}

impl Tally {
    /// Counts one call, by the kernel's number.
    pub fn add(&mut self, call: u64) {
        match KINDS.iter().position(|&(_, number)| number as u64 == call) {
            Some(kind) => self.kinds[kind] += 1,
            None => self.others += 1,
        }
    }

    /// All kinds together.
    pub fn total(&self) -> u64 {
        self.kinds.iter().sum::<u64>() + self.others
    }

    /// The figures of so many operations, each per 100 million of them.
    pub fn figures(&self, operations: f64) -> Figures {
        let kinds = KINDS.into_iter().map(|(metric, _)| metric).zip(self.kinds);
        let all = kinds.chain([(OTHERS, self.others), (TOTAL, self.total())]);
        all.map(|(metric, count)| (metric.name.to_owned(), count as f64 * 1e8 / operations)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_kind_per_hundred_million_operations() {
        let mut tally = Tally::default();
        for call in [libc::SYS_mmap, libc::SYS_mmap, libc::SYS_membarrier, libc::SYS_getpid] {
            tally.add(call as u64);
        }
        let figures = tally.figures(2e8);
        assert_eq!((figures["calls_mmap"], figures["calls_membarrier"]), (1.0, 0.5));
        assert_eq!((figures["calls_others"], figures["calls_total"]), (0.5, 2.0));
        let named = METRICS.iter().filter(|metric| figures.contains_key(metric.name));
        assert_eq!((named.count(), figures.len()), (METRICS.len() - 1, METRICS.len() - 1));
    }

    #[test]
    fn only_marks_are_marks() {
        let carrier = libc::SYS_getppid as u64;
        for (mark, number) in Mark::NUMBERS {
            assert_eq!(Mark::of(carrier, number), Some(mark));
        }
        assert_eq!(Mark::of(carrier, 0), None);
        assert_eq!(Mark::of(libc::SYS_getpid as u64, Mark::NUMBERS[0].1), None);
        mark(Mark::Begin);
    }
}

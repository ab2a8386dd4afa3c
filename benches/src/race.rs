//! Threads that do their work at the same time, and how long it took.
//!
//! Each thread prepares (arrays, warm-up), waits until all have, runs, waits until all have, and
//! cleans up. Only the running is timed: from the first thread's start to the last one's end, so
//! that a thread the allocator starves counts in full.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// What the threads did together.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// Operations of all threads.
    pub operations: u64,
    /// From the first start to the last end.
    pub elapsed: Duration,
}

impl Lap {
    /// Millions of operations per second.
    pub fn mops(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64() / 1e6
    }

    /// Nanoseconds per operation.
    pub fn nanoseconds(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / self.operations as f64
    }
}

/// Runs `threads` threads through `prepare`, `run` and `finish`. `run` returns its operations.
///
/// What `prepare` makes stays in its thread, so it need not be `Send`.
pub fn race<State>(
    threads: u32,
    prepare: impl Fn(u32) -> State + Sync,
    run: impl Fn(&mut State) -> u64 + Sync,
    finish: impl Fn(State) + Sync,
) -> Lap {
    let line = Barrier::new(threads as usize);
    let one = |index| {
        let mut state = prepare(index);
        line.wait();
        let begun = Instant::now();
        let operations = run(&mut state);
        let ended = Instant::now();
        line.wait();
        finish(state);
        (operations, begun, ended)
    };
    let laps: Vec<_> = thread::scope(|scope| {
        let one = &one;
        let racing: Vec<_> = (0..threads).map(|index| scope.spawn(move || one(index))).collect();
        racing.into_iter().map(|thread| thread.join().expect("a bench thread panicked")).collect()
    });
    let begun = laps.iter().map(|&(_, begun, _)| begun).min().expect("at least one thread");
    let ended = laps.iter().map(|&(_, _, ended)| ended).max().expect("at least one thread");
    Lap { operations: laps.iter().map(|&(operations, ..)| operations).sum(), elapsed: ended - begun }
}

/// Splits `total` over `threads`: the share of thread `index`.
pub fn share(total: u64, threads: u32, index: u32) -> u64 {
    let (threads, index) = (u64::from(threads), u64::from(index));
    total / threads + u64::from(index < total % threads)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn all_prepare_before_any_runs_and_all_run_before_any_finishes() {
        let (prepared, run) = (AtomicU32::new(0), AtomicU32::new(0));
        let lap = race(
            4,
            |index| {
                prepared.fetch_add(1, Ordering::SeqCst);
                index
            },
            |&mut index| {
                assert_eq!(prepared.load(Ordering::SeqCst), 4);
                run.fetch_add(1, Ordering::SeqCst);
                u64::from(index)
            },
            |_| assert_eq!(run.load(Ordering::SeqCst), 4),
        );
        assert_eq!(lap.operations, 6);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|index| share(11, 3, index)).sum::<u64>(), 11);
        assert_eq!(share(2, 3, 2), 0);
    }
}

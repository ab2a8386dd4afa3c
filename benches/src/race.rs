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

use nix::time::ClockId;

/// What the threads did together.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// Operations of all threads.
    pub operations: u64,
    /// From the first start to the last end.
    pub elapsed: Duration,
    /// CPU time of all threads together.
    pub cpu: Duration,
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

    /// Nanoseconds of CPU time per operation: steadier than the others on a busy machine, but
    /// blind to waiting.
    pub fn cpu_nanoseconds(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.operations as f64
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
        let (begun, cpu_begun) = (Instant::now(), cpu_time());
        let operations = run(&mut state);
        let (ended, cpu) = (Instant::now(), cpu_time().saturating_sub(cpu_begun));
        line.wait();
        finish(state);
        Leg { operations, begun, ended, cpu }
    };
    let legs: Vec<Leg> = thread::scope(|scope| {
        let one = &one;
        let racing: Vec<_> = (0..threads).map(|index| scope.spawn(move || one(index))).collect();
        racing.into_iter().map(|thread| thread.join().expect("a bench thread panicked")).collect()
    });
    let begun = legs.iter().map(|leg| leg.begun).min().expect("at least one thread");
    let ended = legs.iter().map(|leg| leg.ended).max().expect("at least one thread");
    Lap {
        operations: legs.iter().map(|leg| leg.operations).sum(),
        elapsed: ended - begun,
        cpu: legs.iter().map(|leg| leg.cpu).sum(),
    }
}

/// One thread's part of a [`Lap`].
struct Leg {
    operations: u64,
    begun: Instant,
    ended: Instant,
    cpu: Duration,
}

/// The CPU time of this thread since its start.
fn cpu_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}

/// The CPU time of all threads of this process since its start, ended ones included.
pub fn process_cpu_time() -> Duration {
    ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
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
        assert!(lap.elapsed > Duration::ZERO);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|index| share(11, 3, index)).sum::<u64>(), 11);
        assert_eq!(share(2, 3, 2), 0);
    }
}

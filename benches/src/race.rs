//! Threads that do their work at the same time, once ([`race`]) or step by step ([`drill`]), and how long it
//! took.
//!
//! Each thread prepares (arrays, warm-up), waits until all have, runs, waits until all have, and
//! cleans up. Only the running is timed: from the first thread's start to the last one's end, so
//! that a thread the allocator starves counts in full.

use std::{
    sync::{Barrier, Mutex, MutexGuard, PoisonError},
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
    /// What some threads did side by side.
    fn of(legs: &[Leg]) -> Self {
        let begun = legs.iter().map(|leg| leg.begun).min().expect("at least one thread");
        let ended = legs.iter().map(|leg| leg.ended).max().expect("at least one thread");
        Self {
            operations: legs.iter().map(|leg| leg.operations).sum(),
            elapsed: ended - begun,
            cpu: legs.iter().map(|leg| leg.cpu).sum(),
        }
    }

    /// What was done one after another.
    pub fn sum(laps: &[Self]) -> Self {
        Self {
            operations: laps.iter().map(|lap| lap.operations).sum(),
            elapsed: laps.iter().map(|lap| lap.elapsed).sum(),
            cpu: laps.iter().map(|lap| lap.cpu).sum(),
        }
    }

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
        let leg = Leg::of(|| run(&mut state));
        line.wait();
        finish(state);
        leg
    };
    let legs: Vec<Leg> = thread::scope(|scope| {
        let one = &one;
        let racing: Vec<_> = (0..threads).map(|index| scope.spawn(move || one(index))).collect();
        racing.into_iter().map(|thread| thread.join().expect("a bench thread panicked")).collect()
    });
    Lap::of(&legs)
}

/// Lets `threads` threads do step after step together: `lead` runs in the calling thread and has all of them
/// do a step, each step timed like a race, by calling its argument.
///
/// The steps of all threads begin when the last one is ready; `lead` goes on when all have ended.
pub fn drill<State, Order: Copy + Send, Result>(
    threads: u32,
    prepare: impl Fn(u32) -> State + Sync,
    step: impl Fn(&mut State, Order) -> u64 + Sync,
    finish: impl Fn(State) + Sync,
    lead: impl FnOnce(&mut dyn FnMut(Order) -> Lap) -> Result,
) -> Result {
    let line = Barrier::new(threads as usize + 1);
    // Written by the leader, or by each thread in its own place, only while the others wait at the line.
    let order = Mutex::new(None);
    let legs: Vec<Mutex<Option<Leg>>> = (0..threads).map(|_| Mutex::new(None)).collect();
    let one = |index: u32| {
        let mut state = prepare(index);
        loop {
            line.wait();
            let Some(order) = *hold(&order) else { break };
            *hold(&legs[index as usize]) = Some(Leg::of(|| step(&mut state, order)));
            line.wait();
        }
        finish(state);
    };
    thread::scope(|scope| {
        let one = &one;
        for index in 0..threads {
            scope.spawn(move || one(index));
        }
        let result = lead(&mut |next| {
            *hold(&order) = Some(next);
            line.wait();
            line.wait();
            let done: Vec<Leg> = legs.iter().filter_map(|leg| hold(leg).take()).collect();
            Lap::of(&done)
        });
        *hold(&order) = None;
        line.wait();
        result
    })
}

/// Locks what nobody can have left half-written.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread's part of a [`Lap`].
struct Leg {
    operations: u64,
    begun: Instant,
    ended: Instant,
    cpu: Duration,
}

impl Leg {
    /// Times what the calling thread does.
    fn of(run: impl FnOnce() -> u64) -> Self {
        let (begun, cpu_begun) = (Instant::now(), cpu_time());
        let operations = run();
        Self { operations, begun, ended: Instant::now(), cpu: cpu_time().saturating_sub(cpu_begun) }
    }
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
    fn every_thread_does_each_step_before_the_next_one_begins() {
        let steps = AtomicU32::new(0);
        let total = drill(
            3,
            |index| index,
            |index, order: u32| {
                assert_eq!(steps.fetch_add(1, Ordering::SeqCst) / 3, order);
                u64::from(*index)
            },
            |_| (),
            |go| Lap::sum(&[go(0), go(1), go(2)]),
        );
        assert_eq!((total.operations, steps.into_inner()), (9, 9));
    }

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|index| share(11, 3, index)).sum::<u64>(), 11);
        assert_eq!(share(2, 3, 2), 0);
    }
}

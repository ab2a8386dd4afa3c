//! `threads`: a thousand threads, mostly idle, that wake in turns.
//!
//! As many threads run at a time as there are CPUs; each takes `burst` blocks, gives all of them
//! back, wakes its successor and sleeps. In the end all sleep, holding no block.
//!
//! *Measured:* operations per second with caches that are always cold or far away, and the memory
//! of the process while every thread is idle: what their caches keep from the system. *Not
//! measured:* the start of the threads. Waking the successor is in the time, the same for all.
//!
//! *Honest because* all threads have run before the first reading of memory, so stacks and arrays
//! are in it, and `kept` is what comes on top; and because a first turn of everyone, with its page
//! faults, is not timed.

use std::{
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    thread::{self, Thread},
    time::Instant,
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Figures, Metric, figures},
    race::process_cpu_time,
    resources::rss_kib,
    rng::Rng,
    sizes::SizeRange,
};

/// Memory of the process while all threads sleep.
const IDLE: Metric = Metric::lower("idle_mib", "idle MiB");
/// How much of it came with the first block.
const KEPT: Metric = Metric::lower("kept_mib", "kept MiB").unranked();

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct ThreadsArgs {
    /// Threads
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000, 4000],
          value_parser = clap::value_parser!(u32).range(1..=30_000))]
    threads: Vec<u32>,

    /// Turns per thread
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,

    /// Blocks per turn
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: u32,

    /// Range of block sizes in bytes or KiB
    #[arg(long, value_name = "MIN-MAX", default_value = "16-1024")]
    sizes: SizeRange,

    /// Seed of the random sizes
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl ThreadsArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&threads: &u32| {
            let Self { turns, burst, sizes, seed, .. } = *self;
            Case::over_threads(sizes.to_string(), threads, Threads { threads, turns, burst, sizes, seed })
        };
        self.threads.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Threads {
    threads: u32,
    turns: u32,
    burst: u32,
    sizes: SizeRange,
    seed: u64,
}

impl Workload for Threads {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[Metric::THROUGHPUT, IDLE, KEPT, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let ring = Ring::new(self);
        thread::scope(|scope| {
            let ring = &ring;
            let start = |index| {
                let builder = thread::Builder::new();
                builder.spawn_scoped(scope, move || ring.member::<A>(index)).expect("a thread starts")
            };
            let members: Vec<Thread> = (0..self.threads).map(|index| start(index).thread().clone()).collect();
            ring.members.set(members).expect("set once");
            ring.all_asleep.wait();
            let before_kib = rss_kib();
            ring.go_round(1);
            let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
            ring.go_round(self.turns);
            let (elapsed, cpu) = (begun.elapsed(), process_cpu_time() - cpu_begun);
            let idle_kib = rss_kib();
            ring.dismiss();
            let operations = 2 * u64::from(self.threads) * u64::from(self.turns) * u64::from(self.burst);
            figures([
                (Metric::THROUGHPUT, operations as f64 / elapsed.as_secs_f64() / 1e6),
                (IDLE, idle_kib as f64 / 1024.0),
                (KEPT, idle_kib.saturating_sub(before_kib) as f64 / 1024.0),
                (Metric::CPU_TIME, cpu.as_secs_f64() * 1e9 / operations as f64),
            ])
        })
    }
}

/// The threads and whose turn it is.
struct Ring<'plan> {
    plan: &'plan Threads,
    /// Set by the main thread once all are started.
    members: OnceLock<Vec<Thread>>,
    /// Passed by every member and the main thread before the first turn.
    all_asleep: Barrier,
    /// Turns that a member has been given and not taken yet, or [`DISMISSED`]. The giver's Release
    /// add pairs with the member's Acquire load.
    given: Vec<AtomicU32>,
    /// Turns that nobody has taken up yet; below 0 once they are used up. Relaxed: a mere count.
    left: AtomicI64,
    /// Tokens that still go round. The last one's Release subtraction pairs with the Acquire load of
    /// the main thread, which it wakes.
    running: AtomicU32,
    main: Thread,
}

/// A member's turn count that sends it home.
const DISMISSED: u32 = u32::MAX;

impl<'plan> Ring<'plan> {
    fn new(plan: &'plan Threads) -> Self {
        Self {
            plan,
            members: OnceLock::new(),
            all_asleep: Barrier::new(plan.threads as usize + 1),
            given: (0..plan.threads).map(|_| AtomicU32::new(0)).collect(),
            left: AtomicI64::new(0),
            running: AtomicU32::new(0),
            main: thread::current(),
        }
    }

    /// Gives one turn to as many members as there are CPUs, spread over the ring, and waits until
    /// so many turns per member are taken. The first Release of a turn publishes the counts.
    fn go_round(&self, turns: u32) {
        let tokens = machine::cpus().min(self.plan.threads);
        self.left.store(i64::from(self.plan.threads) * i64::from(turns), Ordering::Relaxed);
        self.running.store(tokens, Ordering::Relaxed);
        for token in 0..tokens {
            self.give_turn(token * (self.plan.threads / tokens));
        }
        while self.running.load(Ordering::Acquire) > 0 {
            thread::park();
        }
    }

    fn give_turn(&self, member: u32) {
        self.given[member as usize].fetch_add(1, Ordering::Release);
        self.wake(member);
    }

    fn wake(&self, member: u32) {
        self.members.get().expect("set before the first turn")[member as usize].unpark();
    }

    fn dismiss(&self) {
        for member in 0..self.plan.threads {
            self.given[member as usize].store(DISMISSED, Ordering::Release);
            self.wake(member);
        }
    }

    /// The life of a member.
    fn member<A: Contestant>(&self, index: u32) {
        let burst = self.plan.burst;
        let heap = A::for_this_thread(Bounds { largest: self.plan.sizes.max(), live_blocks: burst });
        let mut rng = Rng::new(self.plan.seed, index);
        let mut blocks = Vec::with_capacity(burst as usize);
        blocks.resize_with(burst as usize, || None);
        self.all_asleep.wait();
        let given = &self.given[index as usize];
        loop {
            match given.load(Ordering::Acquire) {
                0 => thread::park(),
                DISMISSED => return,
                _ => {
                    given.fetch_sub(1, Ordering::Relaxed);
                    self.turn(heap, &mut blocks, &mut rng, index);
                }
            }
        }
    }

    /// One turn, after which the next member has it; unless all turns are taken.
    fn turn<A: Contestant>(&self, heap: A, blocks: &mut [Option<Block<A>>], rng: &mut Rng, index: u32) {
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            if self.running.fetch_sub(1, Ordering::Release) == 1 {
                self.main.unpark();
            }
            return;
        }
        for block in blocks.iter_mut() {
            *block = Some(Block::take(heap, self.plan.sizes.pick(rng.draw() as u32)));
        }
        blocks.iter_mut().filter_map(Option::take).for_each(|block| block.give_back(heap));
        self.give_turn((index + 1) % self.plan.threads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn every_turn_is_taken_and_every_block_given_back() {
        for threads in [1, 2, 7, 40] {
            let sizes = "16-64".parse().expect("valid");
            let plan = Threads { threads, turns: 3, burst: 5, sizes, seed: 1 };
            let counts = Counted::counts_of(|| {
                plan.run::<Counted>();
            });
            // One untimed turn and three timed ones.
            assert_eq!((counts.taken, counts.live), (threads as usize * 20, 0));
            assert_eq!(counts.foreign_frees, 0);
        }
    }
}

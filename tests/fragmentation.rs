//! Large blocks don't crumble memory: however long blocks of 33 KiB to 1 MiB come and go, resident memory stays
//! near what the program has; and when other sizes are wanted than before, while one in ten of the old blocks
//! stays and pins what it lies in, maintenance brings it near that again.

mod support;

use numaslab::config::{Config, Profile};
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::block::Block;
use support::child::measured;
use support::confine::status_bytes;
use support::effort::scale;
use support::mode::on_heap;
use support::rng::Rng;
use support::threads;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes that the program has, all threads together.
const LIVE: usize = 512 * MIB;

/// Resident bytes, at most, for each byte that the program has asked for.
const MOST: f64 = 1.3;

/// The same of the profile `balanced` after a shift: it keeps an eighth of what is in use in any case, and
/// huge pages whole of which half is in use.
const MOST_SHIFTED: f64 = 1.4;

/// Operations in each part of a program's life. Tests with assertions are many times slower.
const OPERATIONS: usize = if cfg!(debug_assertions) { 30_000 } else { 200_000 };

/// What CPUs cache does not depend on what is live: so it is little here, however many there are.
const BALANCED: NumaSlab = NumaSlab::with_config(Config::new().with_cpu_cache_bytes(MIB));
const LEAN: NumaSlab = NumaSlab::with_config(Config::of(Profile::Lean));

/// What sizes the program wants for a while, each range of bytes as often as the others.
#[derive(Clone, Copy, Debug)]
struct Mix(&'static [(usize, usize)]);

const ALL: Mix = Mix(&[(33 * KIB, MIB)]);
const LOW: Mix = Mix(&[(33 * KIB, 100 * KIB)]);
const HIGH: Mix = Mix(&[(600 * KIB, MIB)]);
const BOTH_ENDS: Mix = Mix(&[(33 * KIB, 64 * KIB), (900 * KIB, MIB)]);
const DOUBLINGS: Mix = Mix(&[
    (33 * KIB, 64 * KIB),
    (64 * KIB, 128 * KIB),
    (128 * KIB, 256 * KIB),
    (256 * KIB, 512 * KIB),
    (512 * KIB, MIB),
]);

impl Mix {
    fn size(self, rng: &mut Rng) -> usize {
        let (least, most) = self.0[rng.below(self.0.len())];
        least + rng.below(most - least + 1)
    }
}

/// The blocks of one thread.
struct Herd {
    heap: NumaSlab,
    rng: Rng,
    live: Vec<Block>,
    /// Some of those before the last shift of sizes.
    old: Vec<Block>,
    bytes: usize,
    most: usize,
}

impl Herd {
    fn new(heap: NumaSlab, seed: u64, most: usize) -> Self {
        Self { heap, rng: Rng::new(seed), live: Vec::new(), old: Vec::new(), bytes: 0, most }
    }

    /// Takes and frees blocks at random: how long one lives is left to chance.
    fn live_on(&mut self, mix: Mix, operations: usize) {
        for _ in 0..operations {
            if self.bytes < self.most {
                let size = mix.size(&mut self.rng);
                self.take(size);
            } else {
                let which = self.rng.below(self.live.len());
                let block = self.live.swap_remove(which);
                self.free(block);
            }
        }
    }

    fn take(&mut self, size: usize) {
        let (layout, stamp) = (Layout::from_size_align(size, 8).expect("a layout"), self.rng.next());
        // Writes to every page.
        self.live.push(Block::new(&self.heap, layout, stamp).expect("memory"));
        self.bytes += size;
    }

    fn free(&mut self, block: Block) {
        self.bytes -= block.size();
        // Verifies what was written to each page of it.
        block.free(&self.heap);
    }

    /// Other sizes are wanted from now on, but one block in ten stays, and those that stayed the last time go.
    fn shift(&mut self) {
        std::mem::take(&mut self.old).into_iter().for_each(|block| self.free(block));
        let stays = self.live.len() / 10;
        self.old = self.live.drain(..stays).collect();
    }

    fn end(mut self) {
        self.live.append(&mut self.old);
        self.live.into_iter().for_each(|block| block.free(&self.heap));
    }
}

/// Some threads with a herd each.
struct Farm {
    herds: Vec<Herd>,
    /// Resident bytes before; the threads' arrays and stacks are a few hundred KiB.
    before: u64,
}

impl Farm {
    fn new(heap: NumaSlab, threads: usize) -> Self {
        let herds = (0..threads).map(|n| Herd::new(heap, n as u64, LIVE / threads)).collect();
        Self { herds, before: status_bytes("VmRSS") }
    }

    /// New threads for each part of the life: what was taken by one is freed by another.
    fn live(&mut self, mix: Mix, prepare: impl Fn(&mut Herd) + Sync) {
        let count = self.herds.len();
        let hands: Vec<_> = self.herds.drain(..).map(|herd| Mutex::new(Some(herd))).collect();
        self.herds = threads::run(count, |number| {
            let hand = &hands[(number + 1) % count];
            let mut herd = hand.lock().expect("nobody panicked").take().expect("one each");
            prepare(&mut herd);
            herd.live_on(mix, scale(OPERATIONS) / count);
            herd
        });
    }

    /// Resident bytes for each live one.
    fn ratio(&self) -> f64 {
        let live: usize = self.herds.iter().map(|herd| herd.bytes).sum();
        (status_bytes("VmRSS") - self.before) as f64 / live as f64
    }

    /// Maintains until the ratio is at most `most`, or for too long; returns the last one.
    fn ratio_when_settled(&self, most: f64) -> f64 {
        let begun = Instant::now();
        while self.ratio() > most && begun.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(50));
            maintain();
        }
        self.ratio()
    }

    fn end(self) {
        self.herds.into_iter().for_each(Herd::end);
        trim();
        assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
    }
}

/// One mix for as long as it takes to see whether memory grows: twice as long changes nothing.
fn stays_together(heap: NumaSlab, threads: usize, mix: Mix) {
    let mut farm = Farm::new(heap, threads);
    for half in ["half way", "at the end"] {
        farm.live(mix, |_| ());
        let ratio = farm.ratio();
        measured(format_args!("{ratio:.3} resident for each live byte {half}, {threads} threads, {mix:?}"));
        assert!(ratio <= MOST, "{ratio:.3} {half}: {}", stats());
    }
    farm.end();
}

/// Small blocks, then large ones among what is left of the small ones, then everything.
fn comes_together_again(heap: NumaSlab, most: f64) {
    let mut farm = Farm::new(heap, 2);
    for mix in [LOW, HIGH, DOUBLINGS] {
        farm.live(mix, Herd::shift);
        let (at_once, settled) = (farm.ratio(), farm.ratio_when_settled(most));
        measured(format_args!("{at_once:.3}, {settled:.3} when maintained, {mix:?}"));
        assert!(settled <= most, "{settled:.3} with {mix:?}: {}", stats());
    }
    farm.end();
}

#[test]
fn blocks_of_all_sizes_of_one_thread_stay_together() {
    on_heap(BALANCED, || stays_together(BALANCED, 1, ALL));
}

#[test]
fn blocks_that_other_threads_free_stay_together() {
    on_heap(BALANCED, || stays_together(BALANCED, 4, ALL));
}

#[test]
fn the_smallest_and_the_largest_stay_together() {
    on_heap(BALANCED, || stays_together(BALANCED, 1, BOTH_ENDS));
}

#[test]
fn after_other_sizes_are_wanted_memory_comes_together_again() {
    on_heap(BALANCED, || comes_together_again(BALANCED, MOST_SHIFTED));
}

#[test]
fn where_memory_is_dear_it_comes_together_closer() {
    on_heap(LEAN, || comes_together_again(LEAN, MOST));
}

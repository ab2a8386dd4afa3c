//! Memory that nobody uses goes back to the kernel: by age, by number, with a thread that makes maintenance
//! passes or with none; and nothing goes that somebody holds.

mod support;

use numaslab::config::{Config, HugeMode, Profile};
use numaslab::{Maintainer, NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use support::block::Block;
use support::confine::status_bytes;
use support::effort::scale;
use support::mode::on_heap;
use support::rng::Rng;
use support::threads::{allowed_cpus, pin, run};

const MIB: usize = 1 << 20;
/// What the tests fill and free.
const LOAD: usize = 64 * MIB;
/// FREE SuperSlabs leave after 200 ms, those beyond four at once.
const QUICK: NumaSlab = NumaSlab::with_config(
    Config::new().with_free_cache_superslabs(4).with_free_cache_bytes(8 * MIB).with_free_cache_age_ms(200),
);
/// They stay for an hour.
const KEEPING: NumaSlab = NumaSlab::with_config(Config::new().with_free_cache_age_ms(3_600_000));

/// Four of them stay for an hour.
const FEW: NumaSlab =
    NumaSlab::with_config(Config::new().with_free_cache_superslabs(4).with_free_cache_age_ms(3_600_000));

fn block(heap: &NumaSlab, size: usize) -> Block {
    Block::new(heap, Layout::from_size_align(size, 8).expect("a layout"), size as u64).expect("memory")
}

/// Fills and frees; returns the resident bytes when all was full.
fn load(heap: &NumaSlab, size: usize) -> u64 {
    let blocks: Vec<Block> = (0..LOAD / size).map(|_| block(heap, size)).collect();
    assert!(mapped() >= LOAD / 2, "{size}");
    let resident = status_bytes("VmRSS");
    blocks.into_iter().for_each(|block| block.free(heap));
    resident
}

fn mapped() -> usize {
    stats().mapped_bytes() as usize
}

/// Makes passes until `done`, or for too long: machines may be busy.
fn maintain_until(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        maintain();
        if done() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn what_is_free_for_long_goes_back_to_the_kernel() {
    on_heap(QUICK, || {
        pin(&allowed_cpus()[..1]);
        for size in [48, 3000, 200 << 10] {
            let resident = load(&QUICK, size);
            // Where threads have caches, what lies in them can't be taken from outside.
            assert!(maintain_until(|| mapped() <= 16 * MIB), "{size}: {}", stats());
            assert!(status_bytes("VmRSS") + LOAD as u64 / 2 < resident, "{size}: the kernel has it");
        }
    });
}

#[test]
fn young_superslabs_stay_unless_all_are_asked_for() {
    on_heap(KEEPING, || {
        load(&KEEPING, 3000);
        let before = mapped();
        maintain();
        maintain();
        assert!(mapped() + 16 * MIB > before, "young ones stay: {}", stats());
        trim();
        assert!(mapped() <= 4 * MIB, "trim heeds no age: {}", stats());
    });
}

#[test]
fn more_than_the_cache_of_free_superslabs_may_hold_goes_at_once() {
    on_heap(FEW, || {
        // The bound is each node's own.
        pin(&allowed_cpus()[..1]);
        load(&FEW, 3000);
        assert!(maintain_until(|| mapped() <= 24 * MIB), "{}", stats());
    });
}

#[test]
fn allocations_maintain_where_nobody_else_does() {
    on_heap(QUICK, || {
        load(&QUICK, 3000);
        let start = Instant::now();
        while mapped() > 24 * MIB {
            // Misses, but few bytes.
            (0..scale(100)).for_each(|_| load_a_little(&QUICK));
            sleep(Duration::from_millis(5));
            assert!(start.elapsed() < Duration::from_secs(120), "{}", stats());
        }
    });
}

/// More blocks than a list holds: so some of the calls miss.
fn load_a_little(heap: &NumaSlab) {
    let blocks: Vec<Block> = (0..3000).map(|_| block(heap, 16)).collect();
    blocks.into_iter().for_each(|block| block.free(heap));
}

#[test]
fn nothing_goes_that_somebody_holds() {
    on_heap(QUICK, || {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    maintain();
                }
            });
            run(6, |number| {
                let mut rng = Rng::new(number as u64);
                let mut live = Vec::new();
                for _ in 0..scale(30_000) {
                    if live.len() < 20 || rng.below(2) == 0 && live.len() < 300 {
                        live.push(block(&QUICK, 1 << (3 + rng.below(15))));
                    } else {
                        // Verifies what was written to it.
                        live.swap_remove(rng.below(live.len())).free(&QUICK);
                    }
                }
                live.into_iter().for_each(|block: Block| block.free(&QUICK));
            });
            done.store(true, Ordering::Relaxed);
        });
        trim();
        assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
    });
}

#[test]
fn a_maintainer_does_it_all_by_itself() {
    on_heap(QUICK, || {
        load(&QUICK, 3000);
        let maintainer = Maintainer::start(Duration::from_millis(20)).expect("a thread");
        let start = Instant::now();
        while mapped() > 24 * MIB {
            sleep(Duration::from_millis(20));
            assert!(start.elapsed() < Duration::from_secs(120), "{}", stats());
        }
        drop(maintainer);
    });
}

#[test]
fn free_pieces_leave_superslabs_that_stay_in_use() {
    const NO_HUGE: NumaSlab =
        NumaSlab::with_config(Config::new().with_free_cache_age_ms(200).with_huge(HugeMode::Never));
    on_heap(NO_HUGE, || {
        pin(&allowed_cpus()[..1]);
        // One block in each 256 KiB survives: every SuperSlab stays in use.
        let (mut survivors, mut others) = (Vec::new(), Vec::new());
        for number in 0..LOAD / (8 << 10) {
            if number % 32 == 0 { &mut survivors } else { &mut others }.push(block(&NO_HUGE, 8 << 10));
        }
        let (full, resident) = (mapped(), status_bytes("VmRSS"));
        others.into_iter().for_each(|block| block.free(&NO_HUGE));
        let is_half_gone = || status_bytes("VmRSS") + LOAD as u64 / 2 < resident;
        assert!(maintain_until(is_half_gone), "{} of {resident}: {}", status_bytes("VmRSS"), stats());
        assert!(mapped() >= full / 2, "the SuperSlabs themselves stay");
        // What stayed was not touched.
        survivors.into_iter().for_each(|block| block.free(&NO_HUGE));
    });
}

#[test]
fn what_falls_goes_back_while_it_falls() {
    const SMALL_PAGES: NumaSlab = NumaSlab::with_config(Config::new().with_huge(HugeMode::Never));
    on_heap(SMALL_PAGES, || {
        pin(&allowed_cpus()[..1]);
        // One block in ten survives, so every SuperSlab stays in use, and nearly every slab.
        let (mut survivors, mut others) = (Vec::new(), Vec::new());
        for number in 0..2 * LOAD / (16 << 10) {
            if number % 10 == 0 { &mut survivors } else { &mut others }.push(block(&SMALL_PAGES, 16 << 10));
        }
        let (full, resident) = (mapped(), status_bytes("VmRSS"));
        others.into_iter().for_each(|block| block.free(&SMALL_PAGES));
        assert!(mapped() + 16 * MIB >= full, "the SuperSlabs stay: {}", stats());
        assert!(status_bytes("VmRSS") + (LOAD as u64) < resident, "half of it has gone: {}", stats());
        // What stayed was not touched.
        survivors.into_iter().for_each(|block| block.free(&SMALL_PAGES));
    });
}

#[test]
fn a_heap_that_breathes_keeps_its_breath() {
    const SMALL_PAGES: NumaSlab = NumaSlab::with_config(Config::new().with_huge(HugeMode::Never));
    on_heap(SMALL_PAGES, || {
        pin(&allowed_cpus()[..1]);
        let calls_of_a_breath = || {
            let before = stats().calls.total();
            load(&SMALL_PAGES, 16 << 10);
            stats().calls.total() - before
        };
        let breaths: Vec<u64> = (0..20).map(|_| calls_of_a_breath()).collect();
        let (first, last) =
            (breaths[..4].iter().max().expect("four"), breaths[10..].iter().min().expect("ten"));
        // How much depends on the clock as well: a few calls are enough to tell it from none.
        assert!(*first >= 8, "memory went back at first: {breaths:?}");
        assert!(*last < first / 4, "and then stayed: {breaths:?}");
    });
}

#[test]
fn a_heap_that_breathes_by_one_superslab_spares_it() {
    const EAGER: NumaSlab = NumaSlab::with_config(
        Config::new()
            .with_cpu_cache_bytes(4 << 10)
            .with_thread_cache_bytes(4 << 10)
            .with_transfer_node_bytes(0)
            .with_free_cache_age_ms(0),
    );
    on_heap(EAGER, || {
        pin(&allowed_cpus()[..1]);
        let breathe = || {
            let blocks: Vec<Block> = (0..3 * MIB / 3000).map(|_| block(&EAGER, 3000)).collect();
            blocks.into_iter().for_each(|block| block.free(&EAGER));
            maintain();
        };
        (0..3).for_each(|_| breathe());
        let before = stats().sum(|node| node.superslabs_mapped);
        (0..20).for_each(|_| breathe());
        let mapped_since = stats().sum(|node| node.superslabs_mapped) - before;
        assert!(mapped_since <= 4, "{mapped_since} in 20 breaths: {}", stats());
        // Nobody wants it any more, and it is as old as may be.
        for _ in 0..3 {
            maintain();
        }
        assert!(mapped() <= 4 * MIB, "{}", stats());
    });
}

#[test]
fn what_has_gone_back_does_not_count_as_gone_again() {
    const HUGE: NumaSlab = NumaSlab::with_config(
        Config::new().with_free_cache_age_ms(3_600_000).with_huge(HugeMode::Transparent),
    );
    on_heap(HUGE, || {
        pin(&allowed_cpus()[..1]);
        // One block in each MiB survives: every SuperSlab stays in use.
        let (mut survivors, mut others) = (Vec::new(), Vec::new());
        for number in 0..LOAD / (64 << 10) {
            if number % 16 == 0 { &mut survivors } else { &mut others }.push(block(&HUGE, 64 << 10));
        }
        others.into_iter().for_each(|block| block.free(&HUGE));
        assert!(trim().released_bytes >= LOAD / 2);
        for _ in 0..20 {
            // A few of the others come and go.
            let again: Vec<Block> = (0..4).map(|_| block(&HUGE, 64 << 10)).collect();
            let bytes = again.len() * (128 << 10);
            again.into_iter().for_each(|block| block.free(&HUGE));
            let released = trim().released_bytes;
            assert!(released <= bytes, "{released} of {bytes}: {}", stats());
        }
        survivors.into_iter().for_each(|block| block.free(&HUGE));
    });
}

#[test]
fn memory_that_went_back_reads_as_zero_or_is_cleared() {
    const LEAN: NumaSlab = NumaSlab::with_config(Config::of(Profile::Lean));
    on_heap(LEAN, || {
        let mut rng = Rng::new(7);
        let mut live: Vec<Block> = Vec::new();
        for step in 0..6000 {
            if step % 500 == 499 {
                // Nine in ten fall, and much of their memory goes back.
                live.drain(live.len() / 10..).for_each(|block| block.free(&LEAN));
                maintain();
            }
            let size = if rng.below(8) == 0 { MIB + rng.below(3 * MIB) } else { 1 + rng.below(400 << 10) };
            let layout = Layout::from_size_align(size, 8).expect("a layout");
            // A zeroed one checks every byte; both fill theirs.
            let block = match rng.below(2) {
                0 => Block::zeroed(&LEAN, layout, step),
                _ => Block::new(&LEAN, layout, step),
            };
            live.push(block.expect("memory"));
            if live.len() > 250 {
                live.swap_remove(rng.below(live.len())).free(&LEAN);
            }
        }
        live.into_iter().for_each(|block| block.free(&LEAN));
    });
}

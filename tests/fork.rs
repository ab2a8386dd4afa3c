//! A process with many threads forks at any moment, and the child allocates and frees at once: whatever
//! the other threads were doing, nothing in the child waits for them.

mod support;

use numaslab::telemetry::Event;
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, Ordering};
use support::accounts::balance;
use support::block::Block;
use support::child::fork;
use support::effort::scale;
use support::mode::in_both_modes;
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads;

static HEAP: NumaSlab = NumaSlab::new();

const FORKS: usize = 25;
/// The owner that the ledger knows the forking thread as.
const FORKER: u8 = 200;

/// Allocates and frees until told to stop, in a way that reaches all floors.
fn busy(number: usize, stop: &AtomicBool) {
    let mut rng = Rng::new(number as u64);
    let mut slots: [Option<Owned>; 64] = [const { None }; 64];
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..500 {
            let (slot, layout, stamp) = (rng.below(64), any_layout(&mut rng), rng.next());
            match slots[slot].take() {
                Some(old) => old.free(&HEAP),
                None => slots[slot] = Owned::new(&HEAP, layout, number as u8 + 1, stamp),
            }
        }
        if number == 0 {
            trim();
        }
    }
    slots.into_iter().flatten().for_each(|block| block.free(&HEAP));
}

fn some_blocks(rng: &mut Rng, count: usize) -> Vec<Owned> {
    (0..count)
        .map(|_| {
            let (layout, stamp) = (any_layout(rng), rng.next());
            Owned::new(&HEAP, layout, FORKER, stamp).expect("memory")
        })
        .collect()
}

/// Forks again and again while four threads are busy; `child` gets what the forking thread had.
fn fork_amid_work(child: impl Fn(usize, Vec<Owned>)) {
    balance(|| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (stop, busy) = (&stop, &busy);
            let workers: Vec<_> = (0..4).map(|n| scope.spawn(move || busy(n, stop))).collect();
            let mut rng = Rng::new(77);
            for round in 0..scale(FORKS) {
                let before = some_blocks(&mut rng, 60);
                let pid = fork(|| {
                    // The child's own copies of these blocks; it may free them, and the parent its own.
                    // SAFETY: read once, in the child only; the parent's are freed below.
                    child(round, unsafe { std::ptr::read(&before) });
                    0
                });
                before.into_iter().for_each(|block| block.free(&HEAP));
                pid.exits_with(&[0], format_args!("child {round}"));
            }
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    });
}

#[test]
fn a_child_allocates_and_frees_in_all_sizes() {
    in_both_modes(|| {
        fork_amid_work(|round, inherited| {
            let mut rng = Rng::new(round as u64);
            let mut all = inherited;
            for _ in 0..3 {
                all.extend(some_blocks(&mut rng, 200));
                let keep = all.len() / 2;
                all.drain(keep..).for_each(|block| block.free(&HEAP));
            }
            all.into_iter().for_each(|block| block.free(&HEAP));
        });
    });
}

#[test]
fn a_child_trims_and_counts() {
    in_both_modes(|| {
        fork_amid_work(|round, inherited| {
            inherited.into_iter().for_each(|block| block.free(&HEAP));
            trim();
            let before = stats().in_use_bytes();
            let mine = some_blocks(&mut Rng::new(round as u64), 100);
            assert!(stats().in_use_bytes() > before);
            mine.into_iter().for_each(|block| block.free(&HEAP));
            trim();
            assert_eq!(stats().in_use_bytes(), before);
        });
    });
}

#[test]
fn a_child_has_threads_of_its_own_and_forks_again() {
    in_both_modes(|| {
        fork_amid_work(|round, inherited| {
            inherited.into_iter().for_each(|block| block.free(&HEAP));
            let work = |number: usize| {
                let mut rng = Rng::new((round * 10 + number) as u64);
                some_blocks(&mut rng, 50).into_iter().for_each(|block| block.free(&HEAP));
            };
            threads::run(3, work);
            let grandchild = fork(|| {
                work(3);
                threads::run(2, work);
                0
            });
            grandchild.exits_with(&[0], "grandchild");
        });
    });
}

#[test]
fn a_child_has_the_cache_of_every_cpu() {
    in_both_modes(|| {
        fork_amid_work(|_, inherited| {
            inherited.into_iter().for_each(|block| block.free(&HEAP));
            for cpu in threads::allowed_cpus() {
                threads::pin(&[cpu]);
                let work = || {
                    let layout = Layout::from_size_align(100, 8).unwrap();
                    (0..100).for_each(|_| Block::new(&HEAP, layout, 1).expect("memory").free(&HEAP));
                };
                work();
                let before = stats().event(Event::Bypass);
                work();
                assert_eq!(stats().event(Event::Bypass), before, "CPU {cpu}\n{}", stats());
            }
        });
    });
}

#[test]
fn parent_and_child_do_not_see_each_others_writes() {
    in_both_modes(|| {
        balance(|| {
            let layouts =
                [8, 100, 5000, 100_000, 3 << 20].map(|size| Layout::from_size_align(size, 8).unwrap());
            let shared: Vec<Block> =
                layouts.into_iter().map(|layout| Block::new(&HEAP, layout, 1).expect("memory")).collect();
            let child = fork(|| {
                for block in &shared {
                    // SAFETY: the child's own copy of the block.
                    unsafe { block.pointer().write_bytes(0xee, block.size()) };
                }
                0
            });
            child.exits_with(&[0], "child");
            shared.into_iter().for_each(|block| block.free(&HEAP));
        });
    });
}

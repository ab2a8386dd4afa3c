//! Many threads on few CPUs: blocks freed by other threads than allocated them, threads that come and
//! go, threads that are moved from CPU to CPU, `trim` at any moment. At the end nothing is lost, and at no
//! moment has a block two owners.

mod support;

use numaslab::config::{Config, Profile};
use numaslab::{NumaSlab, trim};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::accounts::balance;
use support::effort::scale;
use support::ledger;
use support::mode::{in_both_modes, on_heap};
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads::{self, allowed_cpus, pin};

static HEAP: NumaSlab = NumaSlab::new();

const THREADS: usize = 64;
const SLOTS: usize = 24;

/// Where other threads put blocks for a thread.
type Mailbox = Mutex<Vec<Owned>>;

fn mailboxes() -> Vec<Mailbox> {
    (0..THREADS).map(|_| Mutex::default()).collect()
}

/// The owner that the ledger knows thread `number` as.
fn owner(number: usize) -> u8 {
    (number % 255 + 1) as u8
}

/// What one thread does: fills slots at random, and gives half of what it replaces to other threads.
struct Worker<'a> {
    number: usize,
    rng: Rng,
    mail: &'a [Mailbox],
    slots: [Option<Owned>; SLOTS],
    layout: fn(&mut Rng) -> Layout,
}

impl<'a> Worker<'a> {
    fn new(number: usize, mail: &'a [Mailbox], layout: fn(&mut Rng) -> Layout) -> Self {
        let rng = Rng::new(number as u64 + 1);
        Self { number, rng, mail, slots: [const { None }; SLOTS], layout }
    }

    fn step(&mut self) {
        let layout = (self.layout)(&mut self.rng);
        let stamp = self.rng.next();
        let fresh = Owned::new(&HEAP, layout, owner(self.number), stamp).expect("memory");
        let slot = self.rng.below(SLOTS);
        if let Some(old) = self.slots[slot].replace(fresh) {
            self.dispose(old);
        }
        if self.rng.one_in(16) {
            self.resize();
        }
        if self.rng.one_in(8) {
            self.read_mail();
        }
    }

    fn dispose(&mut self, old: Owned) {
        if self.rng.one_in(2) {
            return old.free(&HEAP);
        }
        let to = self.rng.below(self.mail.len());
        self.mail[to].lock().unwrap().push(old.pass(owner(to)));
    }

    fn resize(&mut self) {
        let (slot, size) = (self.rng.below(SLOTS), (self.layout)(&mut self.rng).size());
        if let Some(block) = &mut self.slots[slot] {
            block.resize(&HEAP, size);
        }
    }

    fn read_mail(&self) {
        let mail = std::mem::take(&mut *self.mail[self.number].lock().unwrap());
        mail.into_iter().for_each(|block| block.free(&HEAP));
    }

    fn finish(self) {
        self.slots.into_iter().flatten().for_each(|block| block.free(&HEAP));
    }
}

fn read_all(mail: Vec<Mailbox>) {
    mail.into_iter().flat_map(|box_| box_.into_inner().unwrap()).for_each(|block| block.free(&HEAP));
}

/// Sizes of a few Tiny classes only, so that threads meet in the same slabs.
fn few_tiny(rng: &mut Rng) -> Layout {
    Layout::from_size_align([1, 8, 16, 48, 200, 1000][rng.below(6)], 1).expect("a layout")
}

#[test]
fn blocks_freed_by_other_threads_are_neither_lost_nor_doubled() {
    in_both_modes(|| {
        for layout in [any_layout, few_tiny] {
            balance(|| {
                let mail = mailboxes();
                threads::run(THREADS, |number| {
                    let mut worker = Worker::new(number, &mail, layout);
                    (0..scale(1500)).for_each(|_| worker.step());
                    worker.finish();
                });
                read_all(mail);
            });
        }
    });
}

#[test]
fn threads_that_move_between_cpus_share_no_block() {
    in_both_modes(|| {
        let cpus = allowed_cpus();
        if cpus.len() < 2 {
            return support::child::skip("there is only one CPU to run on");
        }
        balance(|| {
            let mail = mailboxes();
            threads::run(THREADS, |number| {
                let mut worker = Worker::new(number, &mail, few_tiny);
                for step in 0..scale(3000) {
                    if step % 16 == 0 {
                        pin(&cpus[worker.rng.below(cpus.len())..][..1]);
                    }
                    worker.step();
                }
                worker.finish();
            });
            read_all(mail);
        });
    });
}

#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    in_both_modes(|| {
        balance(|| {
            // Each thread lives briefly, frees what its predecessors left, and leaves something itself.
            let left = Mutex::new(Vec::new());
            let born = AtomicUsize::new(0);
            threads::run(16, |_| {
                for _ in 0..scale(25) {
                    let number = born.fetch_add(1, Ordering::Relaxed);
                    threads::run(1, |_| short_life(number, &left));
                }
            });
            left.into_inner().unwrap().into_iter().for_each(|block: Owned| block.free(&HEAP));
        });
    });
}

fn short_life(number: usize, left: &Mutex<Vec<Owned>>) {
    let mut rng = Rng::new(number as u64);
    let mut mine: Vec<Owned> = (0..100)
        .map(|_| {
            let (layout, stamp) = (any_layout(&mut rng), rng.next());
            Owned::new(&HEAP, layout, owner(number), stamp).expect("memory")
        })
        .collect();
    let theirs: Vec<Owned> = {
        let mut left = left.lock().unwrap();
        let keep = left.len() / 2;
        left.split_off(keep)
    };
    theirs.into_iter().for_each(|block| block.free(&HEAP));
    mine.drain(50..).for_each(|block| block.free(&HEAP));
    left.lock().unwrap().append(&mut mine);
}

#[test]
fn trim_by_several_threads_takes_nothing_from_those_at_work() {
    in_both_modes(|| {
        balance(|| {
            let (mail, working) = (mailboxes(), AtomicUsize::new(12));
            threads::run(16, |number| {
                if number >= 12 {
                    while working.load(Ordering::Relaxed) > 0 {
                        trim();
                        std::thread::yield_now();
                    }
                    return;
                }
                let layout = if number % 2 == 0 { any_layout } else { few_tiny };
                let mut worker = Worker::new(number, &mail[..12], layout);
                (0..scale(4000)).for_each(|_| worker.step());
                worker.finish();
                working.fetch_sub(1, Ordering::Relaxed);
            });
            read_all(mail);
        });
    });
}

#[test]
fn regions_taken_away_again_and_again_lose_no_block() {
    in_both_modes(|| match allowed_cpus()[..] {
        [busy, trimming, ..] => take_away_again_and_again(busy, trimming),
        _ => support::child::skip("there is only one CPU to run on"),
    });
}

/// One thread allocates and frees on its CPU, as fast as it can, in one class; another trims.
fn take_away_again_and_again(busy: usize, trimming: usize) {
    let until = scale(20_000);
    balance(|| {
        let trims = AtomicUsize::new(0);
        threads::run(2, |number| {
            pin(&[if number == 0 { busy } else { trimming }]);
            if number == 1 {
                while trims.fetch_add(1, Ordering::Relaxed) < until {
                    trim();
                }
                return;
            }
            let layout = Layout::from_size_align(64, 8).expect("a layout");
            let mut blocks = [std::ptr::null_mut(); 24];
            while trims.load(Ordering::Relaxed) < until {
                for block in &mut blocks {
                    // SAFETY: the layout has a size.
                    *block = unsafe { HEAP.alloc(layout) };
                    assert!(ledger::enter(block.addr(), 1), "handed out twice");
                }
                for block in blocks {
                    assert!(ledger::strike(block.addr(), 1));
                    // SAFETY: allocated above, freed once.
                    unsafe { HEAP.dealloc(block, layout) };
                }
            }
        });
    });
}

#[test]
fn caches_too_small_for_their_work_lose_nothing() {
    const NARROW: Config = Config::of(Profile::Lean)
        .with_cpu_cache_bytes(2 << 10)
        .with_thread_cache_bytes(1 << 10)
        .with_transfer_class_bytes(4 << 10)
        .with_transfer_node_bytes(16 << 10);
    on_heap(NumaSlab::with_config(NARROW), || {
        balance(|| {
            let mail = mailboxes();
            threads::run(16, |number| {
                let mut worker = Worker::new(number, &mail[..16], few_tiny);
                (0..scale(4000)).for_each(|_| worker.step());
                worker.finish();
            });
            read_all(mail);
        });
    });
}

#[test]
fn a_producer_and_its_consumers_are_always_in_step() {
    in_both_modes(|| {
        balance(|| {
            let (mail, done) = (mailboxes(), AtomicBool::new(false));
            threads::run(5, |number| {
                if number > 0 {
                    // One more look after the end, or the last blocks would stay.
                    while !done.load(Ordering::Acquire) {
                        Worker::new(number, &mail, few_tiny).read_mail();
                        std::thread::yield_now();
                    }
                    return;
                }
                let mut rng = Rng::new(9);
                for _ in 0..scale(30_000) {
                    let (layout, stamp, to) = (few_tiny(&mut rng), rng.next(), 1 + rng.below(4));
                    let block = Owned::new(&HEAP, layout, owner(0), stamp).expect("memory");
                    mail[to].lock().unwrap().push(block.pass(owner(to)));
                }
                done.store(true, Ordering::Release);
            });
            read_all(mail);
        });
    });
}

#[test]
fn threads_that_start_the_heap_together_get_one_heap() {
    // Not started before: all threads make their first request at the same moment, many times over.
    support::mode::before_start(|mode| {
        for round in 0..scale(40) as u64 {
            let child = support::child::fork(|| {
                let barrier = std::sync::Barrier::new(8);
                let sum: usize = threads::run(8, |number| {
                    barrier.wait();
                    let mut rng = Rng::new(round * 100 + number as u64);
                    let blocks: Vec<Owned> = (0..50)
                        .map(|_| {
                            let stamp = rng.next();
                            Owned::new(&HEAP, few_tiny(&mut rng), owner(number), stamp).expect("memory")
                        })
                        .collect();
                    let count = blocks.len();
                    blocks.into_iter().for_each(|block| block.free(&HEAP));
                    count
                })
                .into_iter()
                .sum();
                assert_eq!(sum, 400);
                mode.is_on();
                balance(|| ());
                assert_eq!(numaslab::stats().in_use_bytes(), 0);
                0
            });
            child.exits_with(&[0], format_args!("round {round}"));
        }
    });
}

//! A signal handler may allocate and free at any moment: in the middle of a critical section, of a refill,
//! of a thread's first request, of `trim`. A timer interrupts each thread every 100 microseconds for that.

mod support;

use numaslab::config::{Config, Profile};
use numaslab::{NumaSlab, trim};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use support::accounts::balance;
use support::block::Block;
use support::effort::scale;
use support::ledger;
use support::mode::{in_both_modes, on_heap};
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads::{self, allowed_cpus, pin};
use support::ticker::{self, Ticker};

static HEAP: NumaSlab = NumaSlab::new();

/// The owner that the ledger knows handlers as, whichever thread they interrupt.
const HANDLER: u8 = 255;
/// How often handlers must have run before the work may end.
const TICKS: usize = 3000;

/// Blocks that handlers leave for later handlers: so they free what another thread's handler allocated.
static KEPT: [AtomicPtr<u8>; 64] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 64];
static RUNS: AtomicUsize = AtomicUsize::new(0);
/// The CPUs to which handlers move their thread in turn, in [`handlers_move_their_thread_to_another_cpu`].
static CPUS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
/// How many there are; 0: handlers move nobody.
static CPU_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The size of the blocks kept in `KEPT[slot]`: every slot has its own, from all kinds but Huge.
const fn kept_layout(slot: usize) -> Layout {
    let size = [1, 8, 40, 100, 256, 1000, 1024, 3000, 9000, 33_000, 200_000][slot % 11];
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!(),
    }
}

/// Allocates a block, stamps both ends, and frees the one that lay in its slot. Only what is safe in a
/// handler: no lock, no formatting; what is wrong ends the process.
extern "C" fn handler(_: i32) {
    // SAFETY: this thread's own `errno`, kept for the code that was interrupted.
    let errno = unsafe { *libc::__errno_location() };
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let slot = run % KEPT.len();
    match CPU_COUNT.load(Ordering::Relaxed) {
        0 => {}
        count => pin(&[CPUS[run % count].load(Ordering::Relaxed)]),
    }
    // SAFETY: the layout has a size.
    let block = unsafe { HEAP.alloc(kept_layout(slot)) };
    check(!block.is_null(), "a handler got no memory\n");
    check(ledger::enter(block.addr(), HANDLER), "a handler got a block that is in use\n");
    stamp(block, slot);
    let old = KEPT[slot].swap(block, Ordering::AcqRel);
    give_back(old, slot);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn stamp(block: *mut u8, slot: usize) {
    let size = kept_layout(slot).size();
    // SAFETY: inside a block that nobody else has.
    unsafe {
        block.add(size - 1).write(slot as u8);
        block.write(slot as u8);
    }
}

fn give_back(block: *mut u8, slot: usize) {
    if block.is_null() {
        return;
    }
    let size = kept_layout(slot).size();
    // SAFETY: a handler's block of that size, which nobody else has any more; given back once.
    unsafe {
        let stamps = [block.read(), block.add(size - 1).read()];
        check(stamps == [slot as u8; 2], "a handler's block was written by somebody else\n");
        check(ledger::strike(block.addr(), HANDLER), "a handler's block has another owner\n");
        HEAP.dealloc(block, kept_layout(slot));
    }
}

fn check(fine: bool, line: &str) {
    if !fine {
        // SAFETY: writes a string, ends the process.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
            libc::abort();
        }
    }
}

/// Runs `work` on `count` interrupted threads, again and again until handlers have run often enough, and
/// balances the books.
fn interrupted(count: usize, work: impl Fn(&mut Rng) + Sync) {
    ticker::install(handler);
    let ticks = scale(TICKS);
    balance(|| {
        threads::run(count, |number| {
            let mut rng = Rng::new(number as u64);
            let ticker = Ticker::start();
            while RUNS.load(Ordering::Relaxed) < ticks {
                work(&mut rng);
            }
            drop(ticker);
        });
        for (slot, kept) in KEPT.iter().enumerate() {
            give_back(kept.swap(std::ptr::null_mut(), Ordering::Relaxed), slot);
        }
    });
}

/// Fills and empties a few slots at random.
fn at_work(rng: &mut Rng, steps: usize, layout: fn(&mut Rng) -> Layout) {
    let mut slots: [Option<Owned>; 32] = [const { None }; 32];
    let owner = 1 + rng.below(200) as u8;
    for _ in 0..steps {
        let (slot, layout, stamp) = (rng.below(32), layout(rng), rng.next());
        if let Some(old) = slots[slot].take() {
            old.free(&HEAP);
        } else {
            slots[slot] = Owned::new(&HEAP, layout, owner, stamp);
        }
    }
    slots.into_iter().flatten().for_each(|block| block.free(&HEAP));
}

/// The sizes that handlers use too.
fn handlers_sizes(rng: &mut Rng) -> Layout {
    kept_layout(rng.below(9))
}

#[test]
fn handlers_allocate_and_free_amid_all_kinds_of_work() {
    in_both_modes(|| interrupted(4, |rng| at_work(rng, 500, any_layout)));
}

#[test]
fn handlers_use_the_same_lists_as_the_code_they_interrupt() {
    in_both_modes(|| interrupted(4, |rng| at_work(rng, 2000, handlers_sizes)));
}

#[test]
fn handlers_interrupt_misses() {
    const NARROW: Config = Config::of(Profile::Lean)
        .with_cpu_cache_bytes(512)
        .with_thread_cache_bytes(512)
        .with_transfer_class_bytes(2048);
    on_heap(NumaSlab::with_config(NARROW), || interrupted(4, |rng| at_work(rng, 1000, handlers_sizes)));
}

#[test]
fn handlers_interrupt_the_first_and_last_requests_of_threads() {
    in_both_modes(|| {
        interrupted(2, |rng| {
            let seed = rng.next();
            threads::run(4, |number| {
                let ticker = Ticker::start();
                at_work(&mut Rng::new(seed + number as u64), 40, handlers_sizes);
                // Left ticking while the thread ends: its exit hook is interrupted too.
                std::mem::forget(ticker);
            });
        });
    });
}

#[test]
fn handlers_move_their_thread_to_another_cpu() {
    in_both_modes(|| {
        // On a machine with several nodes also to another node, between any two steps of a slow path.
        let cpus = allowed_cpus();
        CPUS.iter().zip(&cpus).for_each(|(slot, cpu)| slot.store(*cpu, Ordering::Relaxed));
        CPU_COUNT.store(cpus.len().min(CPUS.len()), Ordering::Relaxed);
        interrupted(4, |rng| at_work(rng, 1000, any_layout));
    });
}

#[test]
fn handlers_interrupt_trim() {
    in_both_modes(|| {
        interrupted(3, |rng| {
            at_work(rng, 100, handlers_sizes);
            trim();
        });
    });
}

#[test]
fn handlers_interrupt_reallocs_of_all_kinds() {
    in_both_modes(|| {
        interrupted(2, |rng| {
            let layout = Layout::from_size_align(100, 8).unwrap();
            let mut block = Block::new(&HEAP, layout, rng.next()).expect("memory");
            for size in [2000, 40_000, 2 << 20, 5 << 20, 3 << 20, 500, 8] {
                assert!(block.resize(&HEAP, size));
            }
            block.free(&HEAP);
        });
    });
}

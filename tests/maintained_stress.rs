//! Everything at once: 64 threads at work, two that maintain and two that trim without a pause, and a process
//! that forks meanwhile. And: memory is released a step at a time, and whatever step the kernel refuses, or
//! whatever step a fork falls into, the heap is whole.

mod support;

use numaslab::config::Config;
use numaslab::os::Errno;
use numaslab::os::fault::{self, Call};
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::accounts::balance;
use support::block::Block;
use support::child::{aloud, fork, measured};
use support::effort::{self, next, scale};
use support::mode::{before_start, on_heap, start};
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads;
use support::ticker::{self, Ticker};

/// Nothing is young, and nothing free is kept: so every pass releases what it can.
const EAGER: NumaSlab = NumaSlab::with_config(
    Config::new()
        .with_free_cache_age_ms(0)
        .with_free_cache_superslabs(1)
        .with_free_cache_bytes(2 * MIB)
        .with_slack_percent(0),
);

const MIB: usize = 1 << 20;
const WORKERS: usize = 64;
const MAINTAINERS: usize = 2;
const TRIMMERS: usize = 2;
/// Forks at least, while the workers are at it.
const FORKS: usize = 10;
/// What a fork exits with in which the call to fail was never made.
const NOT_REACHED: i32 = 3;

fn block(size: usize, stamp: u64) -> Option<Block> {
    Block::new(&EAGER, Layout::from_size_align(size, 8).expect("a layout"), stamp)
}

/// What one worker does: its heap grows and falls, and what it leaves is freed by whoever comes by.
fn work(number: usize, left: &Mutex<Vec<Owned>>, rounds: usize) {
    let (mut rng, owner) = (Rng::new(number as u64 + 1), (number + 1) as u8);
    let mut slots: Vec<Owned> = Vec::new();
    for round in 0..rounds {
        for _ in 0..40 {
            let (layout, stamp) = (any_layout(&mut rng), rng.next());
            slots.push(Owned::new(&EAGER, layout, owner, stamp).expect("memory"));
        }
        if round % 4 == 3 {
            let keep = slots.len() / 10;
            slots.drain(keep..).for_each(|block| block.free(&EAGER));
        }
        if rng.one_in(4) && !slots.is_empty() {
            let which = rng.below(slots.len());
            left.lock().unwrap().push(slots.swap_remove(which));
            let taken = left.lock().unwrap().pop();
            taken.into_iter().for_each(|block| block.free(&EAGER));
        }
    }
    slots.into_iter().for_each(|block| block.free(&EAGER));
}

/// What a fork does amid all that: requests of all sizes, a pass, a trim.
fn child() -> i32 {
    let sizes = [1, 100, 1024, 10_000, 100_000, MIB, 3 * MIB];
    let blocks = sizes.map(|size| block(size, size as u64).expect("memory"));
    maintain();
    trim();
    blocks.into_iter().for_each(|block| block.free(&EAGER));
    0
}

#[test]
fn work_maintenance_trims_and_forks_at_once_lose_nothing() {
    on_heap(EAGER, || {
        balance(|| {
            let (left, working) = (Mutex::new(Vec::new()), AtomicUsize::new(WORKERS));
            let passes = AtomicUsize::new(0);
            let forker = WORKERS + MAINTAINERS + TRIMMERS;
            threads::run(forker + 1, |number| {
                if number < WORKERS {
                    work(number, &left, scale(60));
                    working.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
                let mut turns = 0;
                while working.load(Ordering::Relaxed) > 0 || (number == forker && turns < scale(FORKS)) {
                    turns += 1;
                    match number - WORKERS {
                        0..MAINTAINERS => _ = maintain(),
                        _ if number < forker => _ = trim(),
                        _ => _ = fork(child).exits_with(&[0], format_args!("fork {turns}")),
                    }
                    passes.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            });
            assert!(passes.into_inner() >= scale(FORKS));
            left.into_inner().unwrap().into_iter().for_each(|block| block.free(&EAGER));
        });
        trim();
        assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
    });
}

/// A heap full of holes of all kinds, then passes that give everything back that can be.
fn release_step_by_step() {
    let mut rng = Rng::new(5);
    let sizes = [48, 3000, 12 << 10, 200 << 10, 700 << 10, 3 * MIB];
    let mut live: Vec<Block> = Vec::new();
    for size in sizes {
        live.extend((0..6 * MIB / size).map_while(|_| block(size, rng.next())));
    }
    for _ in 0..3 {
        // Half of them in random order, so some SuperSlabs become free and others full of holes.
        for _ in 0..live.len() / 2 {
            let which = rng.below(live.len());
            // Verifies its content: nothing went that was in use.
            live.swap_remove(which).free(&EAGER);
        }
        maintain();
        live.extend((0..3).filter_map(|_| block(300 << 10, rng.next())));
        trim();
    }
    live.into_iter().for_each(|block| block.free(&EAGER));
    maintain();
    trim();
}

/// With a willing kernel everything works, nothing is in use, and nearly all memory has gone back.
fn is_whole() {
    let sizes = [1, 1024, 20_000, 100_000, MIB, 3 * MIB];
    let blocks = sizes.map(|size| block(size, 1).expect("memory again"));
    blocks.into_iter().for_each(|block| block.free(&EAGER));
    trim();
    assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
    assert!(stats().mapped_bytes() <= 8 * MIB as u64, "{}", stats());
}

#[test]
fn each_step_of_a_release_may_be_refused() {
    before_start(|mode| {
        start(&EAGER);
        if !mode.is_on() {
            return;
        }
        let mut reached = 0;
        let mut nth = 1;
        loop {
            let pid = fork(|| {
                fault::fail_nth(Call::Madvise, nth as u64, Errno::EINVAL);
                release_step_by_step();
                let failures = fault::failures(Call::Madvise);
                fault::clear();
                is_whole();
                if failures > 0 { 0 } else { NOT_REACHED }
            });
            if pid.exits_with(&[0, NOT_REACHED], format_args!("madvise number {nth} refused")) == NOT_REACHED
            {
                break;
            }
            (reached, nth) = (reached + 1, next(nth) + nth / 16);
        }
        aloud(&format!("refused {reached} times, up to number {nth}"));
        assert!(reached > 5, "there are calls to refuse");
        // None of them ever succeeds.
        let pid = fork(|| {
            fault::fail_all(Call::Madvise, Errno::EINVAL);
            release_step_by_step();
            fault::clear();
            is_whole();
            0
        });
        pid.exits_with(&[0], "madvise always refused");
    });
}

/// One signal in so many forks: a fork takes far longer than the time between two signals, and the work has to get
/// on. A prime, so that it falls anywhere.
const SIGNALS_A_FORK: usize = 53;

/// Signals so far, forks in them, and those forks that did not end well.
static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static DEATHS: AtomicUsize = AtomicUsize::new(0);
static BROKEN: AtomicUsize = AtomicUsize::new(0);

/// For the child the calling thread dies here, amid whatever it does: nothing that it began is ever ended. Neither
/// side calls what may wait for a lock that the thread holds.
fn die() {
    DEATHS.fetch_add(1, Ordering::Relaxed);
    let mut status = 0;
    // SAFETY: the call itself, since the C library's fork takes locks; the child calls nothing but the
    // allocator, alarm and _exit, and the parent waits for it.
    unsafe {
        // clone(2) with a signal at the end and nothing shared: a fork on every architecture.
        match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
            0 => {
                libc::alarm(60);
                libc::_exit(i32::from(!survives()));
            }
            -1 => _ = BROKEN.fetch_add(1, Ordering::Relaxed),
            pid => {
                libc::waitpid(pid as libc::pid_t, &raw mut status, 0);
            }
        }
    }
    BROKEN.fetch_add(usize::from(status != 0), Ordering::Relaxed);
}

/// Dies at one signal in [`SIGNALS_A_FORK`].
extern "C" fn die_now_and_then(_: i32) {
    if SIGNALS.fetch_add(1, Ordering::Relaxed).is_multiple_of(SIGNALS_A_FORK) {
        die();
    }
}

/// Whether calls count at which [`die_at_a_call`] may die, and how many there were.
static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Dies right before a call by which memory goes back: the first ones, then one in eleven.
fn die_at_a_call(call: Call) {
    let is_step = matches!(call, Call::Madvise | Call::Munmap | Call::Mmap | Call::Mprotect);
    if is_step && COUNTING.load(Ordering::Relaxed) {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        if number < 8 || number.is_multiple_of(11 * effort::one_in()) {
            // The child's own calls are none of its business.
            COUNTING.store(false, Ordering::Relaxed);
            die();
            COUNTING.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether blocks of all sizes are to be had, distinct and writable, and passes go through. Allocates nothing
/// but from the heap in question.
fn survives() -> bool {
    use std::alloc::GlobalAlloc;
    const SIZES: [usize; 7] = [16, 1000, 9000, 30_000, 200_000, MIB, 3 * MIB];
    let mut whole = true;
    for round in 0..3_u8 {
        let mut blocks = [[std::ptr::null_mut::<u8>(); 8]; SIZES.len()];
        for (of_size, size) in blocks.iter_mut().zip(SIZES) {
            let layout = Layout::from_size_align(size, 8).expect("a layout");
            for (number, block) in of_size.iter_mut().enumerate() {
                // SAFETY: the layout has a size; a block has that many bytes.
                unsafe {
                    *block = EAGER.alloc(layout);
                    if block.is_null() {
                        return false;
                    }
                    block.write_bytes(round ^ number as u8, size);
                }
            }
        }
        for (of_size, size) in blocks.iter().zip(SIZES) {
            for (number, block) in of_size.iter().enumerate() {
                // SAFETY: written above, and freed once.
                unsafe {
                    whole &= (0..size).step_by(64).all(|at| block.add(at).read() == round ^ number as u8);
                    EAGER.dealloc(*block, Layout::from_size_align(size, 8).expect("a layout"));
                }
            }
        }
        maintain();
        trim();
    }
    whole
}

#[test]
fn a_thread_that_dies_between_two_steps_of_a_release_leaves_a_heap_that_works() {
    before_start(|_| {
        fault::set_hook(die_at_a_call);
        start(&EAGER);
        COUNTING.store(true, Ordering::Relaxed);
        release_step_by_step();
        COUNTING.store(false, Ordering::Relaxed);
        let (calls, deaths) = (CALLS.load(Ordering::Relaxed), DEATHS.load(Ordering::Relaxed));
        measured(format_args!("{deaths} deaths at {calls} calls"));
        assert!(deaths > 5, "{deaths} at {calls} calls");
        assert_eq!(BROKEN.load(Ordering::Relaxed), 0, "of {deaths}");
        is_whole();
    });
}

#[test]
fn a_thread_that_dies_amid_a_release_leaves_a_heap_that_works() {
    on_heap(EAGER, || {
        ticker::install(die_now_and_then);
        let ticker = Ticker::start();
        (0..scale(6)).for_each(|_| release_step_by_step());
        drop(ticker);
        let deaths = DEATHS.load(Ordering::Relaxed);
        measured(format_args!("{deaths} deaths"));
        assert!(deaths > 5, "{deaths}");
        assert_eq!(BROKEN.load(Ordering::Relaxed), 0, "of {deaths}");
        is_whole();
    });
}

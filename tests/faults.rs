//! The kernel refuses: each kind of call, at the first, the second, the n-th time, once and from then on.
//! Each request is then answered with null or with a good block, nothing crashes, hangs or is damaged, and
//! when the kernel is willing again, everything works and nothing was lost.
//!
//! Each failure is tried in a forked process that has no heap yet, so that the start is among the calls
//! that fail.

mod support;

use numaslab::os::Errno;
use numaslab::os::fault::{self, Call};
use numaslab::telemetry::Event;
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use support::block::Block;
use support::child::{fork, measured, skip};
use support::effort;
use support::mode::{Mode, before_start};
use support::rng::Rng;
use support::threads;

static HEAP: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;
/// The exit code of a child in which the call to fail was never made.
const NOT_REACHED: i32 = 3;

/// What the kernel may say to each kind of call.
fn errors(call: Call) -> &'static [Errno] {
    match call {
        Call::Mmap | Call::Mprotect | Call::Munmap | Call::KeySet => &[Errno::ENOMEM],
        Call::MmapHuge => &[Errno::ENOMEM, Errno::EPERM],
        Call::Madvise => &[Errno::EINVAL, Errno::ENOMEM],
        Call::Populate => &[Errno::EFAULT, Errno::ENOMEM],
        Call::Mremap => &[Errno::ENOMEM, Errno::EFAULT, Errno::EINVAL],
        Call::Mbind | Call::GetMempolicy | Call::MovePages => &[Errno::EPERM, Errno::ENOSYS],
        Call::Membarrier => &[Errno::EPERM, Errno::EINVAL],
        Call::Rseq => &[Errno::EINVAL, Errno::ENOSYS],
        Call::KeyCreate => &[Errno::EAGAIN],
        Call::Read => &[Errno::EIO, Errno::EINTR],
        Call::Open => &[Errno::ENOENT, Errno::EMFILE],
        _ => &[Errno::EIO],
    }
}

/// A program that uses everything, and can do with less: requests of all sizes, from several threads.
fn program() {
    threads::run(2, |number| {
        let mut rng = Rng::new(number as u64);
        let mut blocks = Vec::new();
        for round in 0..2 {
            for size in [1, 24, 300, 1024, 5000, 30_000, 60_000, MIB, 2 * MIB + 1] {
                blocks.extend(request(&mut rng, size, round == 1));
            }
            // Enough of one size to need several slabs and SuperSlabs.
            (0..40).for_each(|_| blocks.extend(request(&mut rng, 30 << 10, false)));
            for _ in 0..8 {
                let (which, size) = (rng.below(blocks.len().max(1)), rng.size(3 * MIB));
                if let Some(block) = blocks.get_mut(which) {
                    // Refused or not, the content is checked.
                    let _ = block.resize(&HEAP, size);
                }
            }
            let keep = rng.below(blocks.len() + 1);
            blocks.drain(keep..).for_each(|block: Block| block.free(&HEAP));
            trim();
        }
        blocks.into_iter().for_each(|block| block.free(&HEAP));
    });
    // A Huge block that can't grow where it is, and has to move.
    let mut moving: Vec<Block> = (0..2).filter_map(|n| Block::new(&HEAP, layout(2 * MIB, 8), n)).collect();
    for block in &mut moving {
        let _ = block.resize(&HEAP, 5 * MIB);
    }
    moving.into_iter().for_each(|block| block.free(&HEAP));
    trim();
}

/// A program that starts the heap and asks for little, where only the start is of interest.
fn small_program() {
    threads::run(2, |number| {
        let mut rng = Rng::new(number as u64);
        let sizes = [8, 1000, 20_000, 100_000, 2 * MIB];
        let blocks: Vec<Block> = sizes.iter().filter_map(|size| request(&mut rng, *size, true)).collect();
        blocks.into_iter().for_each(|block| block.free(&HEAP));
    });
    trim();
}

fn request(rng: &mut Rng, size: usize, zeroed: bool) -> Option<Block> {
    let layout = layout(size, 1 << rng.below(6));
    if zeroed { Block::zeroed(&HEAP, layout, rng.next()) } else { Block::new(&HEAP, layout, rng.next()) }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// With a willing kernel every request succeeds, and at the end nothing is in use.
fn recovers() {
    let sizes = [1, 100, 1024, 10_000, 100_000, MIB, 3 * MIB];
    let all = threads::run(2, |number| {
        sizes.map(|size| {
            let zeroed = Block::zeroed(&HEAP, layout(size, 64), number as u64);
            [zeroed, Block::new(&HEAP, layout(size, 8), 1)].map(|block| block.expect("memory again"))
        })
    });
    all.into_iter().flatten().flatten().for_each(|block| block.free(&HEAP));
    trim();
    let left = stats();
    // Pages that could neither be moved nor the hole be closed are given up for good (`os::memory::remap`).
    if fault::failures(Call::Mremap) == 0 || fault::failures(Call::Mmap) == 0 {
        assert_eq!(left.in_use_bytes(), 0, "{left}");
    }
}

/// Runs `program` in a fork in which `plan` makes calls fail; `false` if none was made that had to.
fn survives(program: fn(), plan: impl Fn(), what: impl std::fmt::Display) -> bool {
    let child = fork(|| {
        plan();
        program();
        let reached = Call::ALL.iter().any(|call| fault::failures(*call) > 0);
        fault::clear();
        recovers();
        if reached { 0 } else { NOT_REACHED }
    });
    child.exits_with(&[0, NOT_REACHED], what) == 0
}

/// Makes the first, the second, the n-th call of a kind fail, as often as `program` makes it.
fn each_call_fails_once(program: fn(), calls: &[Call]) {
    let mut tried = Vec::new();
    for call in calls {
        for errno in errors(*call) {
            let fail = |n| {
                survives(
                    program,
                    || fault::fail_nth(*call, n, *errno),
                    format_args!("{} number {n} fails with {errno}", call.name()),
                )
            };
            let count = effort::numbers().take_while(|n| fail(*n as u64)).count();
            tried.push(format!("{count} x {} {errno}", call.name()));
        }
    }
    measured(tried.join(", "));
}

#[test]
fn each_call_for_memory_may_fail_once() {
    before_start(|_| each_call_fails_once(program, &[Call::Mmap, Call::Mprotect, Call::Munmap]));
}

#[test]
fn each_advice_may_be_refused_once() {
    before_start(|_| {
        each_call_fails_once(program, &[Call::Madvise, Call::Populate, Call::Mremap, Call::MmapHuge])
    });
}

#[test]
fn each_call_about_cpus_nodes_and_threads_may_fail_once() {
    before_start(|_| {
        each_call_fails_once(
            program,
            &[
                Call::Mbind,
                Call::GetMempolicy,
                Call::MovePages,
                Call::Membarrier,
                Call::Rseq,
                Call::GetAffinity,
                Call::GetCpu,
                Call::Clock,
                Call::KeyCreate,
                Call::KeySet,
            ],
        );
    });
}

#[test]
fn each_read_of_a_system_file_may_fail_once() {
    before_start(|_| each_call_fails_once(small_program, &[Call::Open, Call::Read, Call::Close]));
}

#[test]
fn a_kind_of_call_may_never_succeed() {
    before_start(|_| {
        for call in Call::ALL {
            // A call that is always interrupted would rightly be repeated for ever.
            for errno in errors(call).iter().filter(|errno| **errno != Errno::EINTR) {
                let plan = || fault::fail_all(call, *errno);
                survives(program, plan, format_args!("{} always fails with {errno}", call.name()));
            }
        }
    });
}

#[test]
fn from_some_moment_on_every_call_may_fail() {
    before_start(|_| {
        let mut n = 1;
        while survives(
            program,
            || fault::fail_from(n as u64),
            format_args!("every call from number {n} on fails"),
        ) {
            n = effort::next(n) + n * effort::one_in() / 32;
        }
    });
}

#[test]
fn a_running_heap_whose_kernel_refuses_everything_serves_what_it_has() {
    before_start(|mode| {
        support::mode::start(&HEAP);
        if !mode.is_on() {
            return;
        }
        // Half of a SuperSlab's blocks in use, half of them free.
        let mut blocks: Vec<Block> =
            (0..1000).filter_map(|n| Block::new(&HEAP, layout(1024, 8), n)).collect();
        blocks.drain(500..).for_each(|block| block.free(&HEAP));
        fault::fail_from(1);
        let more: Vec<Block> = (0..500).filter_map(|n| Block::new(&HEAP, layout(1024, 8), n)).collect();
        assert_eq!(more.len(), 500, "what was given back is there for the next");
        let many = (0..100_000).map_while(|n| Block::new(&HEAP, layout(1024, 8), n));
        let many: Vec<Block> = many.collect();
        assert!(many.len() < 100_000 && stats().event(Event::RefillFailed) > 0);
        fault::clear();
        blocks.into_iter().chain(more).chain(many).for_each(|block| block.free(&HEAP));
        recovers();
    });
}

#[test]
fn a_thread_whose_cache_was_refused_gets_one_later() {
    before_start(|mode| {
        if mode == Mode::PerCpu {
            return skip("caches are per CPU");
        }
        // Which of the first mappings is for threads' caches is not known here.
        for nth in effort::numbers().take_while(|nth| *nth < 40) {
            let child = fork(|| {
                fault::fail_nth(Call::Mmap, nth as u64, Errno::ENOMEM);
                for round in 0..400 {
                    let sizes = [16, 100, 700, 3000].map(|size| size + 8 * (round % 8));
                    let blocks = sizes.map(|size| Block::new(&HEAP, layout(size, 8), round as u64));
                    blocks.into_iter().flatten().for_each(|block| block.free(&HEAP));
                }
                let stats = stats();
                assert!(stats.sum(|node| node.region_bytes) > 0, "{nth}: no cache\n{stats}");
                0
            });
            child.exits_with(&[0], format_args!("mapping {nth}"));
        }
    });
}

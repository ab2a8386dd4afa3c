//! In a control group that bounds memory: with the limits taken from the group the allocator answers with null
//! where the kernel would kill, and purges harder where the kernel would slow the process down.

mod support;

use numaslab::config::{Config, Limit};
use numaslab::os::fault::Call;
use numaslab::telemetry::resident;
use numaslab::{NumaSlab, stats};
use std::alloc::Layout;
use support::block::Block;
use support::child::{fork, measured};
use support::memory_group::MemoryGroup;
use support::mode::{before_start, start};
use support::threads::{allowed_cpus, pin};

const MIB: usize = 1 << 20;
/// The group's limit.
const LIMIT: usize = 192 * MIB;

static BOUND: NumaSlab = NumaSlab::with_config(Config::new().with_limit_hard(Limit::Cgroup));

/// What a child found.
const PASSED: i32 = 0;

fn block(heap: &NumaSlab, size: usize) -> Option<Block> {
    // Writes to every page.
    Block::new(heap, Layout::from_size_align(size, 8).expect("a layout"), size as u64)
}

/// Takes blocks, all of them touched, until there are no more, or far too many.
fn fill(heap: &NumaSlab, size: usize) -> Vec<Block> {
    (0..4 * LIMIT / size).map_while(|_| block(heap, size)).collect()
}

#[test]
fn at_the_hard_limit_of_the_group_requests_are_refused_and_nobody_is_killed() {
    before_start(|mode| {
        let Some(group) = MemoryGroup::make(&format!("hard-{}", mode.key())) else { return };
        group.set_hard_limit(LIMIT);
        let child = fork(|| {
            group.enter();
            start(&BOUND);
            for size in [100 << 10, 900, 20_000, MIB, 5 * MIB] {
                let blocks = fill(&BOUND, size);
                let bytes = blocks.len() * size;
                assert!(
                    bytes > LIMIT / 2,
                    "most of the group's memory is to be had: {bytes} bytes of {size}"
                );
                assert!(bytes < LIMIT, "{bytes} bytes of {size}");
                assert!(block(&BOUND, 20 * MIB).is_none());
                blocks.into_iter().for_each(|block| block.free(&BOUND));
            }
            PASSED
        });
        child.exits_with(&[PASSED], "a child at the limit of its group");
        assert_eq!(group.kills(), 0);
    });
}

#[test]
fn without_a_limit_of_its_own_the_kernel_kills() {
    static UNBOUND: NumaSlab = NumaSlab::new();
    before_start(|mode| {
        let Some(group) = MemoryGroup::make(&format!("none-{}", mode.key())) else { return };
        group.set_hard_limit(LIMIT);
        let child = fork(|| {
            group.enter();
            start(&UNBOUND);
            fill(&UNBOUND, MIB).into_iter().for_each(|block| block.free(&UNBOUND));
            PASSED
        });
        // So the other tests show something.
        assert!(!child.wait().success());
        assert_eq!(group.kills(), 1);
    });
}

/// Fills up to `bytes`, frees it, wants as much in blocks of other sizes, and frees all but one in ten: what is
/// resident then.
fn resident_after_a_load(heap: &NumaSlab, bytes: usize) -> u64 {
    let mut live: Vec<Block> = (0..bytes / 3000).map_while(|_| block(heap, 3000)).collect();
    live.drain(live.len() / 10..).for_each(|block| block.free(heap));
    let others: Vec<Block> = (0..bytes / 9000).map_while(|_| block(heap, 9000)).collect();
    others.into_iter().for_each(|block| block.free(heap));
    let resident = resident().expect("the kernel answers").bytes();
    live.into_iter().for_each(|block| block.free(heap));
    resident
}

#[test]
fn above_the_soft_limit_less_is_kept() {
    /// Keeps what is free as long as nothing speaks against it.
    const KEEPING: Config = Config::new()
        .with_free_cache_age_ms(3_600_000)
        .with_free_cache_bytes(1 << 30)
        .with_slack_percent(1000);
    static FREE: NumaSlab = NumaSlab::with_config(KEEPING);
    static BY_BYTES: NumaSlab = NumaSlab::with_config(KEEPING.with_limit_soft(Limit::Bytes(LIMIT / 4)));
    static BY_GROUP: NumaSlab = NumaSlab::with_config(KEEPING.with_limit_soft(Limit::Cgroup));
    before_start(|mode| {
        let Some(group) = MemoryGroup::make(&format!("soft-{}", mode.key())) else { return };
        group.set_hard_limit(LIMIT);
        let run = |heap: &'static NumaSlab, bytes: usize, soft: bool| {
            let told = fork(|| {
                if soft {
                    group.set_soft_limit(LIMIT / 2);
                }
                group.enter();
                // On another node it would find none of what it has freed.
                pin(&allowed_cpus()[..1]);
                start(heap);
                let before = stats().calls.of(Call::Madvise);
                let mib = resident_after_a_load(heap, bytes) / MIB as u64;
                let purges = stats().calls.of(Call::Madvise) - before;
                measured(format_args!("{mib} MiB resident, {purges} purges"));
                // An exit code has room for as much.
                if soft { purges.min(200) as i32 } else { mib.min(200) as i32 }
            });
            let status = told.wait();
            status.code().unwrap_or_else(|| panic!("{status}")) as usize
        };
        let kept = run(&FREE, LIMIT / 2, false) * MIB;
        let by_bytes = run(&BY_BYTES, LIMIT / 2, false) * MIB;
        assert!(kept > LIMIT / 3, "{kept}: nothing speaks against it");
        assert!(by_bytes < kept && by_bytes <= LIMIT / 4 + LIMIT / 16, "{by_bytes} of {kept}");
        if group.has_soft_limit() {
            // Hardly above the limit: the kernel slows down those beyond it, to a standstill if they go far.
            let load = LIMIT * 7 / 16;
            let (heedless, heeding) = (run(&FREE, load, true), run(&BY_GROUP, load, true));
            assert!(heeding > heedless + 3, "{heeding} purges, {heedless} where the limit is not looked at");
        } else {
            support::child::skip(
                "control groups of version 1 have no soft limit that is heeded: as a number only",
            );
        }
        assert_eq!(group.kills(), 0);
    });
}

//! SuperSlabs on 2 MiB pages of the kernel's reserved pool: they are taken while there are any, given back,
//! and never missed: whatever the pool, the kernel, and other processes do, there is memory, and no SIGBUS.

mod support;

use numaslab::config::{Config, HugeMode, NumaMode, Profile};
use numaslab::os::Errno;
use numaslab::os::fault::{self, Call};
use numaslab::telemetry::{Purpose, huge_pages, resident};
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;
use support::accounts::balance;
use support::block::Block;
use support::child::{self, fork, measured};
use support::confine::HugeLimit;
use support::effort;
use support::mode::{Mode, before_start, on_heap, start};
use support::reserved::{self, PAGE, Pool, Taken};

const MIB: usize = 1 << 20;
/// Wherever the threads are, they find the pages of the first node.
const CONFIG: Config = Config::new().with_huge(HugeMode::Reserved).with_numa(NumaMode::Off);
const HEAP: NumaSlab = NumaSlab::with_config(CONFIG);

fn block(size: usize) -> Block {
    Block::new(&HEAP, Layout::from_size_align(size, 8).expect("a layout"), size as u64).expect("memory")
}

/// Blocks of `size` bytes, `bytes` of them in all.
fn fill(size: usize, bytes: usize) -> Vec<Block> {
    (0..bytes / size).map(|_| block(size)).collect()
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&HEAP));
}

/// SuperSlabs on reserved pages now, and how often one was got and missed.
fn pages() -> [usize; 3] {
    let stats = stats();
    let sum = |number: fn(&numaslab::telemetry::NodeStats) -> u64| stats.sum(number) as usize;
    [sum(|node| node.superslabs_reserved), sum(|node| node.huge_alloc), sum(|node| node.huge_fail)]
}

#[test]
fn superslabs_lie_on_reserved_pages_and_give_them_back() {
    let Some(_pool) = Pool::of(12) else { return };
    on_heap(HEAP, || {
        balance(|| {
            for size in [100, 9000, 300_000] {
                let blocks = fill(size, 9 * MIB);
                let [now, got, missed] = pages();
                assert!((5..=12).contains(&now), "{now} for blocks of {size}");
                assert!(got >= now && missed == 0, "{}", stats());
                assert_eq!(reserved::free_everywhere(), 12 - now);
                assert_eq!(huge_pages().expect("/proc").reserved_bytes as usize, now * PAGE);
                free(blocks);
                trim();
                assert_eq!(pages()[0], 0, "{}", stats());
                assert_eq!((reserved::free_everywhere(), reserved::promised()), (12, 0));
            }
        });
    });
}

#[test]
fn a_large_heap_takes_pages_by_the_dozen() {
    const PAGES: usize = 160;
    let Some(_pool) = Pool::of(PAGES) else { return };
    on_heap(NumaSlab::with_config(CONFIG.with_slack_percent(100)), || {
        balance(|| {
            let (calls, [_, before, _]) = (stats().calls, pages());
            let blocks = fill(20_000, 250 * MIB);
            let [now, got, missed] = pages();
            assert!((120..=PAGES).contains(&now) && got == before + now && missed == 0, "{}", stats());
            assert_eq!(stats().sum(|node| node.superslabs) as usize, now);
            // All of each page is there, in use or not.
            assert_eq!(stats().sum(|node| node.backed_bytes) as usize, now * PAGE);
            assert_eq!(resident().expect("mincore").of(Purpose::Blocks) as usize, now * PAGE);
            let mapped = stats().calls.since(&calls).of(Call::MmapHuge);
            assert!(mapped < 40, "{mapped} mappings for {got} pages");
            free(blocks);
            trim();
            assert_eq!((reserved::free_everywhere(), reserved::promised()), (PAGES, 0));
        });
    });
}

#[test]
fn a_heap_that_grows_takes_no_page_twice() {
    let Some(_pool) = Pool::of(100) else { return };
    for profile in [Profile::Speed, Profile::Balanced, Profile::Lean] {
        let heap = CONFIG.with_profile(profile).with_huge(HugeMode::Reserved);
        child::succeed(
            &format!("{profile:?}"),
            |_| {},
            || {
                start(&NumaSlab::with_config(heap));
                let mut blocks = Vec::new();
                for _ in 0..150 {
                    blocks.extend(fill(5000, MIB));
                    maintain();
                }
                let [now, got, missed] = pages();
                assert!(now >= 75 && got <= now + 8 && missed == 0, "{}", stats());
                free(blocks);
            },
        );
    }
}

#[test]
fn a_dry_pool_is_no_shortage_and_is_asked_once_a_second() {
    let Some(_pool) = Pool::of(2) else { return };
    on_heap(HEAP, || {
        balance(|| {
            let (start, calls) = (Instant::now(), stats().calls);
            let blocks = fill(1000, 64 * MIB);
            let [now, _, missed] = pages();
            assert_eq!((now, reserved::free_everywhere()), (2, 0));
            assert!(missed >= 30, "{}", stats());
            // Three files a look.
            let looks = stats().calls.since(&calls).of(Call::Open).div_ceil(3);
            assert!(looks <= 3 + start.elapsed().as_secs(), "{looks} looks");
            free(blocks);
        });
    });
}

#[test]
fn pages_that_come_later_are_used() {
    let Some(_pool) = Pool::of(6) else { return };
    on_heap(HEAP, || {
        trim();
        let taken = Taken::take(6, None);
        let before = fill(1000, 8 * MIB);
        assert_eq!(pages()[0], 0, "{}", stats());
        drop(taken);
        // Looked for again after a second.
        let (start, mut later) = (Instant::now(), Vec::new());
        while pages()[0] == 0 && start.elapsed().as_secs() < 60 {
            later.extend(fill(1000, 2 * MIB));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(pages()[0] > 0, "{}", stats());
        free(before);
        free(later);
    });
}

#[test]
fn pages_that_another_takes_between_look_and_map_are_done_without() {
    let Some(_pool) = Pool::of(4) else { return };
    /// Takes all pages at the last moment.
    fn another(call: Call) {
        if call == Call::MmapHuge && reserved::free_everywhere() > 0 {
            std::mem::forget(Taken::take(reserved::free_everywhere(), None));
        }
    }
    before_start(|_| {
        fault::set_hook(another);
        start(&HEAP);
        let blocks = fill(1000, 8 * MIB);
        let [now, got, missed] = pages();
        assert_eq!((now, got, reserved::free_everywhere()), (0, 0, 0));
        assert!(missed > 0);
        free(blocks);
    });
}

/// A program that takes reserved pages and gives them back.
fn program() {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    for _ in 0..2 {
        let blocks: Vec<Block> = [5000, 30 << 10, MIB, 3 * MIB]
            .into_iter()
            .flat_map(|size| {
                (0..4 * MIB / size).filter_map(move |n| Block::new(&HEAP, layout(size), n as u64))
            })
            .collect();
        blocks.into_iter().for_each(|block| block.free(&HEAP));
        trim();
    }
}

#[test]
fn each_call_on_the_way_to_a_page_and_back_may_fail() {
    let Some(_pool) = Pool::of(16) else { return };
    use Call::{
        Clock, Madvise, Mbind, Mmap, MmapHuge, MovePages, Mprotect, Mremap, Munmap, Open, Populate, Read,
    };
    let calls =
        [Madvise, Mbind, Mmap, MmapHuge, MovePages, Mprotect, Mremap, Munmap, Populate, Open, Read, Clock];
    before_start(|mode| {
        let willing = fork(|| {
            program();
            i32::from(pages()[1] == 0)
        });
        willing.exits_with(&[0], "pages without a failure");
        for call in calls {
            // The calls are the same in both modes.
            let errors = [(Errno::ENOMEM, false), (Errno::EINVAL, true)];
            for (errno, all) in errors.into_iter().filter(|_| mode == Mode::PerCpu) {
                let mut nth = 1;
                loop {
                    let child = fork(|| {
                        match all {
                            true => fault::fail_all(call, errno),
                            false => fault::fail_nth(call, nth as u64, errno),
                        }
                        program();
                        let reached = fault::failures(call) > 0;
                        fault::clear();
                        program();
                        let left = stats();
                        // What the kernel refuses to unmap, or leaves half-moved, is given up.
                        assert_eq!(left.in_use_bytes(), 0, "{left}");
                        if reached { 0 } else { 1 }
                    });
                    let what = format_args!("{} number {nth} fails with {errno}", call.name());
                    let reached = child.exits_with(&[0, 1], what) == 0;
                    assert_eq!((reserved::free_everywhere(), reserved::promised()), (16, 0), "{what}");
                    if !reached || all {
                        break;
                    }
                    nth = effort::next(nth) + nth / 8;
                }
            }
        }
    });
}

#[test]
fn free_pieces_of_a_reserved_page_stay() {
    let Some(_pool) = Pool::of(8) else { return };
    const QUICK: NumaSlab = NumaSlab::with_config(CONFIG.with_free_cache_age_ms(20));
    on_heap(QUICK, || {
        let mut blocks = fill(60_000, 8 * MIB);
        let before = pages()[0];
        assert!(before >= 4, "{}", stats());
        // One block in each SuperSlab or so stays.
        let mut number = 0;
        blocks.retain_mut(|block| {
            number += 1;
            let stays = number % 20 == 0;
            if !stays {
                let layout = Layout::from_size_align(8, 8).expect("a layout");
                let one = Block::new(&HEAP, layout, 1).expect("memory");
                std::mem::replace(block, one).free(&HEAP);
            }
            stays
        });
        let (mapped, mut released) = (stats().mapped_bytes(), 0);
        for _ in 0..20 {
            released += maintain().released_bytes as u64;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Those in use have all of their page, the others none.
        let now = pages()[0];
        assert_eq!(released, mapped - stats().mapped_bytes(), "whole ones only");
        assert_eq!(huge_pages().expect("/proc").reserved_bytes as usize, now * PAGE);
        assert!(now > 0 && now <= before);
        free(blocks);
    });
}

#[test]
fn huge_blocks_lie_on_ordinary_memory_also_where_pages_were() {
    let Some(_pool) = Pool::of(16) else { return };
    on_heap(HEAP, || {
        balance(|| {
            let small = fill(5000, 16 * MIB);
            let got = pages()[1];
            free(small);
            trim();
            assert_eq!(reserved::free_everywhere(), 16);
            let mut blocks = [block(2 * MIB), block(5 * MIB)];
            for size in [9 * MIB, 40 * MIB, 3 * MIB, 70 * MIB] {
                blocks.iter_mut().for_each(|block| assert!(block.resize(&HEAP, size)));
            }
            assert_eq!((pages()[1], reserved::free_everywhere()), (got, 16), "{}", stats());
            blocks.into_iter().for_each(|block| block.free(&HEAP));
        });
    });
}

#[test]
fn a_control_group_without_pages_is_no_shortage() {
    let Some(_pool) = Pool::of(8) else { return };
    before_start(|mode| {
        let Some(group) = HugeLimit::make(&format!("numaslab-huge-{}", mode.key()), 2 * PAGE) else { return };
        let child = fork(|| {
            group.enter();
            start(&HEAP);
            let blocks = fill(1000, 12 * MIB);
            let [now, _, missed] = pages();
            assert!(now == 2 && missed > 0, "{}", stats());
            free(blocks);
            trim();
            assert_eq!(reserved::free_everywhere(), 8);
            0
        });
        child.exits_with(&[0], "in a control group");
    });
}

/// Writes to each block.
fn write_to(blocks: &[Block]) {
    for block in blocks {
        // SAFETY: the process's own copy of the block.
        unsafe { block.pointer().write_bytes(0xee, block.size()) };
    }
}

#[test]
fn a_fork_with_a_dry_pool_never_hurts_the_parent() {
    let Some(_pool) = Pool::of(32) else { return };
    on_heap(NumaSlab::with_config(CONFIG.with_slack_percent(100)), || {
        let mut blocks = fill(5000, 40 * MIB);
        // Some mappings of several pages are left in parts.
        free(blocks.drain(blocks.len() / 4..blocks.len() / 2).collect());
        free(blocks.drain(blocks.len() - 1000..blocks.len() - 500).collect());
        trim();
        assert!((10..20).contains(&pages()[0]), "{}", stats());
        let rest = Taken::take(reserved::free_everywhere(), None);
        let child = fork(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            write_to(&blocks);
            0
        });
        // While the child lives, and has not written.
        write_to(&blocks);
        // What the kernel does to the child is no promise of ours; the docs tell of it.
        let status = child.wait();
        measured(format_args!("the child of a fork with a dry pool: {status}"));
        assert!(status.code() == Some(0) || status.signal() == Some(libc::SIGBUS), "{status}");
        drop(rest);
        for block in &blocks {
            // SAFETY: the parent's own block.
            let bytes = unsafe { std::slice::from_raw_parts(block.pointer(), block.size()) };
            assert!(bytes.iter().all(|byte| *byte == 0xee));
        }
        let more = fill(5000, 40 * MIB);
        write_to(&more);
        std::mem::forget((blocks, more));
    });
}

#[test]
fn spare_pages_keep_a_child_alive() {
    let Some(_pool) = Pool::of(8) else { return };
    const SPARING: NumaSlab = NumaSlab::with_config(CONFIG.with_huge_spare_pages(4));
    on_heap(SPARING, || {
        let blocks = fill(5000, 12 * MIB);
        assert_eq!((pages()[0], reserved::free_everywhere()), (4, 4), "{}", stats());
        let child = fork(|| {
            write_to(&blocks);
            // It takes no pages itself.
            let before = reserved::free_everywhere();
            let more = fill(5000, 12 * MIB);
            write_to(&more);
            assert_eq!(reserved::free_everywhere(), before);
            0
        });
        write_to(&blocks);
        child.exits_with(&[0], "the child");
        std::mem::forget(blocks);
    });
}

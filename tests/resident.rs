//! What the allocator says of its resident memory agrees with what the kernel says of the process: within 2 %,
//! whatever was taken, freed, purged or trimmed.

mod support;

use numaslab::config::{Config, HugeMode};
use numaslab::telemetry::{Purpose, resident};
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use support::block::Block;
use support::child::measured;
use support::mode::{before_start, start};
use support::rng::Rng;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const DEFAULT: NumaSlab = NumaSlab::new();
const SMALL_PAGES: NumaSlab = NumaSlab::with_config(Config::new().with_huge(HugeMode::Never));

/// Resident bytes of the process, as the kernel sums them up over its mappings.
fn of_process() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("/proc");
    let line = rollup.lines().find(|line| line.starts_with("Rss:")).expect("the sum");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// Compares what the process has more than `before` with what the allocator says.
fn agrees(before: u64, when: &str) -> u64 {
    let (kernel, own) = (of_process() - before, resident().expect("the kernel answers").bytes());
    measured(format_args!("{when}: {kernel} by smaps_rollup, {own} by resident()"));
    // Stacks, what the C library touches: next to nothing at this size.
    let tolerance = kernel / 50 + MIB as u64;
    assert!(own.abs_diff(kernel) <= tolerance, "{when}: {kernel} and {own}: {}", stats());
    own
}

/// An empty array for so many blocks, all of it touched.
fn array(blocks: usize) -> Vec<Option<Block>> {
    let mut array = Vec::new();
    array.resize_with(blocks, || None);
    std::hint::black_box(&mut array).clear();
    array
}

fn fill(
    heap: &NumaSlab,
    rng: &mut Rng,
    bytes: usize,
    mut blocks: Vec<Option<Block>>,
    size: impl Fn(&mut Rng) -> usize,
) -> Vec<Option<Block>> {
    let mut sum = 0;
    while sum < bytes {
        let layout = Layout::from_size_align(size(rng), 8).expect("a layout");
        sum += layout.size();
        // Writes to every page.
        blocks.push(Some(Block::new(heap, layout, sum as u64).expect("memory")));
    }
    blocks
}

/// A life in which memory comes and goes in every way.
fn live(heap: &NumaSlab) {
    let arrays = [150_000, 20_000, 2000, 100].map(array);
    let mut kept = array(20_000);
    let before = of_process();
    start(heap);
    let [tiny, mid, large, huge] = arrays;
    let mut rng = Rng::new(1);
    let mut tiny = fill(heap, &mut rng, 64 * MIB, tiny, |rng| 16 + rng.below(KIB));
    agrees(before, "tiny blocks");
    let mut mid = fill(heap, &mut rng, 128 * MIB, mid, |rng| 1 + rng.below(32 * KIB));
    let mut large = fill(heap, &mut rng, 128 * MIB, large, |rng| 33 * KIB + rng.below(900 * KIB));
    agrees(before, "and larger ones");
    let mut huge = fill(heap, &mut rng, 64 * MIB, huge, |rng| MIB + rng.below(9 * MIB));
    let full = agrees(before, "and huge ones");
    for block in huge.iter_mut().flatten().step_by(2) {
        assert!(block.resize(heap, MIB + 100 + rng.below(12 * MIB)));
    }
    agrees(before, "resized");
    // One in ten stays, so that pages go, not SuperSlabs.
    for (at, block) in mid.drain(..).flatten().enumerate() {
        if at % 10 == 0 { kept.push(Some(block)) } else { block.free(heap) }
    }
    large.drain(..).flatten().for_each(|block| block.free(heap));
    for _ in 0..3 {
        maintain();
    }
    agrees(before, "maintained");
    trim();
    let trimmed = agrees(before, "trimmed");
    assert!(trimmed + 128 * (MIB as u64) < full, "{trimmed} of {full}");
    for array in [&mut kept, &mut tiny, &mut huge] {
        array.drain(..).flatten().for_each(|block| block.free(heap));
    }
    trim();
    agrees(before, "empty");
}

#[test]
fn the_kernel_agrees_with_pages_of_all_sizes() {
    before_start(|mode| {
        live(&DEFAULT);
        let _ = mode.is_on();
    });
}

#[test]
fn the_kernel_agrees_with_small_pages_and_so_does_the_estimate() {
    before_start(|mode| {
        live(&SMALL_PAGES);
        if !mode.is_on() {
            return;
        }
        // Blocks of all their slabs, all of them touched.
        let blocks = fill(&SMALL_PAGES, &mut Rng::new(2), 256 * MIB, Vec::new(), |_| 16 * KIB);
        let exact = resident().expect("the kernel answers").of(Purpose::Blocks);
        let estimate = stats().sum(|node| node.backed_bytes);
        measured(format_args!("{exact} resident, {estimate} estimated by stats()"));
        assert!(estimate + MIB as u64 >= exact, "never less: {exact}, {estimate}");
        assert!(estimate <= exact + exact / 50, "{exact}, {estimate}: {}", stats());
        blocks.into_iter().flatten().for_each(|block| block.free(&SMALL_PAGES));
    });
}

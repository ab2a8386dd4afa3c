//! Blocks that are given back by their address alone: they serve what was asked for, `errno` says what C
//! demands, and a pointer that is none ends the process.

mod support;

use numaslab::os::Errno;
use numaslab::unsized_blocks::ALIGN;
use numaslab::{NumaSlab, trim};
use std::os::unix::process::ExitStatusExt;
use std::ptr;
use support::child::{describe, test_of, text};
use support::mode::{in_both_modes, outcomes};
use support::rng::Rng;

static HEAP: NumaSlab = NumaSlab::new();

/// No error number: whoever leaves `errno` alone leaves this.
const UNTOUCHED: Errno = Errno(4711);

/// A block and what is in it: `size` bytes of `mark`.
struct Block {
    at: *mut u8,
    size: usize,
    mark: u8,
}

impl Block {
    fn fill(at: *mut u8, size: usize, mark: u8) -> Self {
        // SAFETY: a block of that size, all of whose usable bytes may be written.
        unsafe {
            let usable = HEAP.usable_size(at);
            assert!(usable >= size, "{size} bytes, {usable} of them usable");
            // Megabytes are not worth the time; their ends are.
            let (head, tail) = (usable.min(1 << 16), usable.saturating_sub(1 << 12));
            at.write_bytes(mark, head);
            at.add(tail).write_bytes(mark, usable - tail);
        }
        Self { at, size, mark }
    }

    fn check(&self, bytes: usize) {
        for at in [0, 1, bytes / 2, bytes.saturating_sub(1)] {
            if at < bytes.min(1 << 16) {
                // SAFETY: within the block, written by `fill`.
                assert_eq!(unsafe { self.at.add(at).read() }, self.mark, "byte {at} of {}", self.size);
            }
        }
    }
}

/// Sizes of all groups; few are large.
fn any_size(rng: &mut Rng) -> usize {
    match rng.below(50) {
        0 => rng.below(9 << 20),
        1..5 => rng.below(2 << 20),
        _ => rng.below(2) * rng.size(40 << 10),
    }
}

#[test]
fn blocks_serve_what_was_asked_for_and_errno_stays() {
    in_both_modes(|| {
        let mut rng = Rng::new(6);
        let mut blocks: Vec<Block> = Vec::new();
        for step in 0..30_000 {
            UNTOUCHED.set();
            let (size, mark) = (any_size(&mut rng), step as u8);
            match rng.below(8) {
                0 | 1 => {
                    let at = HEAP.malloc(size);
                    assert!(!at.is_null() && at.addr().is_multiple_of(ALIGN), "{size}: {at:p}");
                    blocks.push(Block::fill(at, size, mark));
                }
                2 => {
                    let at = HEAP.malloc_zeroed(size);
                    assert!(!at.is_null() && at.addr().is_multiple_of(ALIGN), "{size}: {at:p}");
                    for byte in (0..size).step_by(1 + size / 64) {
                        // SAFETY: within the block.
                        assert_eq!(unsafe { at.add(byte).read() }, 0, "byte {byte} of {size}");
                    }
                    blocks.push(Block::fill(at, size, mark));
                }
                3 => {
                    let align = 1 << rng.below(22);
                    let at = HEAP.malloc_aligned(size, align);
                    assert!(!at.is_null() && at.addr().is_multiple_of(align), "{size}, {align}: {at:p}");
                    blocks.push(Block::fill(at, size, mark));
                }
                4 if !blocks.is_empty() => {
                    let at = rng.below(blocks.len());
                    let old = &mut blocks[at];
                    let kept = old.size.min(size);
                    // SAFETY: the test's block.
                    old.at = unsafe { HEAP.resize(old.at, size) };
                    assert!(!old.at.is_null() && old.at.addr().is_multiple_of(ALIGN));
                    old.check(kept);
                    *old = Block::fill(old.at, size, mark);
                }
                _ if !blocks.is_empty() => {
                    let block = blocks.swap_remove(rng.below(blocks.len()));
                    block.check(block.size);
                    // SAFETY: the test's block.
                    unsafe { HEAP.free(block.at) };
                }
                _ => {}
            }
            assert_eq!(Errno::last(), UNTOUCHED, "step {step}");
        }
        for block in blocks {
            block.check(block.size);
            // SAFETY: the test's block.
            unsafe { HEAP.free(block.at) };
        }
    });
}

#[test]
fn a_huge_block_that_grows_within_its_superslabs_keeps_their_pages() {
    in_both_modes(|| {
        for size in [1200 << 10, 5 << 20] {
            let at = HEAP.malloc(size);
            assert!(!at.is_null());
            // SAFETY: the test's block, of which all usable bytes may be written and read.
            unsafe {
                let last = HEAP.usable_size(at) - 1;
                at.add(last).write(7);
                assert_eq!(HEAP.resize(at, size + (100 << 10)), at);
                assert_eq!((HEAP.usable_size(at) - 1, at.add(last).read()), (last, 7));
                HEAP.free(at);
            }
        }
    });
}

#[test]
fn what_can_not_be_had_is_null_and_enomem_and_the_block_stays() {
    in_both_modes(|| {
        let at = HEAP.malloc(100);
        let block = Block::fill(at, 100, 7);
        for size in [usize::MAX, usize::MAX - 15, isize::MAX as usize + 1, isize::MAX as usize, 1 << 62] {
            let null = |at: *mut u8| {
                assert!(at.is_null() && Errno::last() == Errno::ENOMEM, "{size:#x}: {at:p}");
                UNTOUCHED.set();
            };
            null(HEAP.malloc(size));
            null(HEAP.malloc_zeroed(size));
            null(HEAP.malloc_aligned(size, 64));
            // SAFETY: the test's block, which stays.
            null(unsafe { HEAP.resize(at, size) });
            block.check(100);
        }
        // SAFETY: null is no block.
        unsafe {
            HEAP.free(ptr::null_mut());
            assert_eq!(HEAP.usable_size(ptr::null_mut()), 0);
            HEAP.free(HEAP.resize(ptr::null_mut(), 10));
            HEAP.free(at);
        }
        assert_eq!(Errno::last(), UNTOUCHED);
    });
}

const FOREIGN: &str = "not from this allocator";
const NO_BLOCK: &str = "no block begins there";
/// Said where a block leaves a cache; threads with a cache of their own look at once.
const NO_SUCH_BLOCK: &str = "no such block";

/// Demands that `crime` ends the process in both modes, with a line that ends so, or so.
fn dies<F: Fn()>(said: [&str; 2], crime: F) {
    for (mode, output) in outcomes(test_of::<F>(), crime) {
        let err = text(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{mode:?}: {}", describe(output.status));
        let mut lines = err.lines().filter(|line| line.starts_with("numaslab: "));
        assert!(
            lines.any(|line| said.iter().any(|end| line.ends_with(end))),
            "{mode:?}: expected {said:?}, got {err:?}"
        );
    }
}

#[test]
fn a_pointer_from_elsewhere_ends_the_process() {
    dies([FOREIGN, FOREIGN], || {
        let local = 0u64;
        // SAFETY: none: the process has to notice.
        unsafe { HEAP.free(ptr::from_ref(&local).cast_mut().cast()) };
    });
}

#[test]
fn a_pointer_into_memory_without_blocks_ends_the_process() {
    dies([NO_BLOCK, NO_BLOCK], || {
        let huge = HEAP.malloc(3 << 20);
        // SAFETY: none: the process has to notice.
        unsafe { HEAP.free(huge.add(1 << 20)) };
    });
}

#[test]
fn the_size_of_a_pointer_into_memory_without_blocks_ends_the_process() {
    dies([NO_BLOCK, NO_BLOCK], || {
        let huge = HEAP.malloc(3 << 20);
        // SAFETY: none: the process has to notice.
        unsafe { HEAP.usable_size(huge.add(1 << 20)) };
    });
}

#[test]
fn a_pointer_into_a_block_ends_the_process_when_it_leaves_the_cache() {
    dies([NO_SUCH_BLOCK, NO_BLOCK], || {
        let block = HEAP.malloc(100);
        // SAFETY: none: the process has to notice.
        unsafe { HEAP.free(block.add(16)) };
        trim();
    });
}

#[test]
fn zeroed_blocks_are_zero_where_another_lay_before() {
    in_both_modes(|| {
        for size in [24, 3000, 20 << 10, 200 << 10, 3 << 20, 9 << 20] {
            for _ in 0..3 {
                let dirty = HEAP.malloc(size);
                assert!(!dirty.is_null());
                // SAFETY: a fresh block of that size, given back once.
                unsafe {
                    dirty.write_bytes(0x5a, size);
                    HEAP.free(dirty);
                }
                let clean = HEAP.malloc_zeroed(size);
                assert!(!clean.is_null());
                // SAFETY: likewise; all of it is initialised.
                let odd =
                    unsafe { std::slice::from_raw_parts(clean, size) }.iter().position(|byte| *byte != 0);
                assert_eq!(odd, None, "{size}");
                // SAFETY: likewise.
                unsafe { HEAP.free(clean) };
            }
        }
    });
}

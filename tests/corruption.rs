//! Misuse ends the process, with one line that names the pointer and what is wrong with it; it never
//! damages the heap silently.
//!
//! When it is seen: a free of a class writes the pointer into a cache and looks at nothing, which is what
//! makes it fast; the block is checked when the cache gives it back to its slab. That happens when lists
//! overflow, when a thread ends, and in `trim`. Large and Huge blocks are checked at once, and so is a pointer
//! that is freed before anything was allocated.

mod support;

use numaslab::{NumaSlab, trim};
use std::alloc::{GlobalAlloc, Layout};
use std::os::unix::process::ExitStatusExt;
use support::child::{self, describe, test_of, text};
use support::mode::outcomes;

static HEAP: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;
const POINTER: &str = "POINTER ";

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn allocate(size: usize) -> *mut u8 {
    // SAFETY: the layout has a size.
    let block = unsafe { HEAP.alloc(layout(size)) };
    assert!(!block.is_null());
    block
}

/// Gives `pointer` back as a block of `size` bytes, which it may not be: that is what is tested.
fn release(pointer: *mut u8, size: usize) {
    // SAFETY: none: the process has to notice, and end.
    unsafe { HEAP.dealloc(pointer, layout(size)) };
}

/// Says which pointer the line will have to name.
fn announce(pointer: *mut u8) -> *mut u8 {
    println!("{POINTER}{pointer:p}");
    pointer
}

/// Demands that `crime` ends the process, in both modes, with the line `numaslab: {said}`, in which `{}`
/// stands for the pointer that was announced.
fn dies<F: Fn()>(said: &str, crime: F) {
    for (mode, output) in outcomes(test_of::<F>(), crime) {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let pointer = out.lines().find_map(|line| line.split(POINTER).nth(1)).unwrap_or_default();
        let line = format!("numaslab: {}", said.replace("{}", pointer));
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{}: {out}{err}", describe(output.status));
        assert!(err.lines().any(|found| found == line), "{mode:?}: expected {line:?}, got {err:?}");
    }
}

#[test]
fn a_block_freed_twice_in_a_row() {
    dies("double free of {} as a block of 64 bytes", || {
        let block = announce(allocate(64));
        release(block, 64);
        release(block, 64);
        trim();
    });
}

#[test]
fn a_large_block_freed_as_one_much_smaller() {
    dies("free of {} as a block of 65536 bytes: it is one of 131072 bytes", || {
        release(announce(allocate(128 << 10)), 64 << 10);
    });
}

#[test]
fn a_large_block_freed_as_one_larger() {
    dies("free of {} as a block of 147456 bytes: it is one of 131072 bytes", || {
        release(announce(allocate(128 << 10)), 144 << 10);
    });
}

#[test]
fn a_pointer_into_a_large_block() {
    dies("free of {} as a block of 131072 bytes: no such block", || {
        release(announce(allocate(128 << 10).wrapping_add(64)), 128 << 10);
    });
}

#[test]
fn a_block_freed_again_after_it_went_back_to_its_slab() {
    dies("double free of {} as a block of 64 bytes", || {
        let (_keeps_the_slab, block) = (allocate(64), announce(allocate(64)));
        release(block, 64);
        trim();
        release(block, 64);
        trim();
    });
}

#[test]
fn a_block_freed_again_among_its_neighbours() {
    dies("double free of {} as a block of 64 bytes", || {
        let blocks: Vec<_> = (0..8).map(|_| allocate(64)).collect();
        release(announce(blocks[4]), 64);
        trim();
        (3..6).for_each(|number| release(blocks[number], 64));
        trim();
    });
}

#[test]
fn a_block_freed_again_after_its_slab_was_given_up() {
    dies("free of {} as a block of 64 bytes: no such block", || {
        let block = announce(allocate(64));
        release(block, 64);
        trim();
        release(block, 64);
        trim();
    });
}

#[test]
fn a_block_freed_twice_shows_without_trim_once_enough_was_freed() {
    dies("double free of {} as a block of 1024 bytes", || {
        let blocks: Vec<_> = (0..20_000).map(|_| allocate(1000)).collect();
        for (number, block) in blocks.iter().enumerate() {
            release(*block, 1000);
            if number == 15_000 {
                release(announce(blocks[10_000]), 1000);
            }
        }
    });
}

#[test]
fn a_block_freed_by_two_threads() {
    dies("double free of {} as a block of 5120 bytes", || {
        let block = announce(allocate(5000)).expose_provenance();
        support::threads::run(2, |_| release(std::ptr::with_exposed_provenance_mut(block), 5000));
        trim();
    });
}

#[test]
fn a_pointer_to_the_stack() {
    dies("free of {}: not from this allocator", || {
        let mut on_stack = 0u64;
        release(announce((&raw mut on_stack).cast()), 8);
        trim();
    });
}

#[test]
fn a_pointer_of_another_allocator() {
    dies("free of {}: not from this allocator", || {
        let other = announce(Box::leak(Box::new([0u8; 300])).as_mut_ptr());
        release(other, 300);
        trim();
    });
}

#[test]
fn a_pointer_of_another_allocator_as_a_huge_block() {
    dies("free of {}: not from this allocator", || {
        let mut other = vec![0u8; 3 * MIB];
        release(announce(other.as_mut_ptr()), 3 * MIB);
    });
}

#[test]
fn a_block_freed_with_a_smaller_layout() {
    dies("free of {} as a block of 64 bytes: it is one of 512 bytes", || {
        release(announce(allocate(500)), 64);
        trim();
    });
}

#[test]
fn a_block_freed_with_a_larger_layout() {
    dies("free of {} as a block of 40960 bytes: it is one of 64 bytes", || {
        release(announce(allocate(64)), 40_000);
        trim();
    });
}

#[test]
fn a_pointer_into_the_middle_of_a_block() {
    dies("free of {} as a block of 640 bytes: no such block", || {
        release(announce(allocate(600).wrapping_add(16)), 600);
        trim();
    });
}

#[test]
fn a_pointer_that_is_off_by_one() {
    dies("free of {} as a block of 64 bytes: no such block", || {
        release(announce(allocate(64).wrapping_add(1)), 64);
        trim();
    });
}

#[test]
fn a_pointer_behind_the_last_block_of_a_slab() {
    dies("free of {} as a block of 896 bytes: no such block", || {
        // 73 blocks of 896 bytes leave 128 bytes of a slab of 64 KiB.
        let block = allocate(896);
        let slab = block.map_addr(|address| address & !0xffff);
        release(announce(slab.wrapping_add(73 * 896)), 896);
        trim();
    });
}

#[test]
fn a_pointer_to_memory_that_is_in_no_slab() {
    dies("free of {} as a block of 64 bytes: no such block", || {
        // The heap's first SuperSlab has room for 32 slabs, of which few are in use.
        release(announce(allocate(64).map_addr(|address| (address | 0x1f_0000) & !0xffff)), 64);
        trim();
    });
}

#[test]
fn a_huge_block_freed_twice() {
    dies("free of {} as a block of 3145728 bytes: no such block", || {
        let block = announce(allocate(3 * MIB));
        release(block, 3 * MIB);
        release(block, 3 * MIB);
    });
}

#[test]
fn a_huge_block_freed_with_another_length() {
    dies("free of {} as a block of 9437184 bytes: no such block", || {
        let (block, _neighbour) = (announce(allocate(3 * MIB)), allocate(7 * MIB));
        release(block, 9 * MIB);
    });
}

#[test]
fn a_huge_block_freed_as_a_small_one() {
    dies("free of {} as a block of 64 bytes: no such block", || {
        release(announce(allocate(3 * MIB)), 64);
        trim();
    });
}

#[test]
fn a_small_block_freed_as_a_huge_one() {
    dies("free of {} as a block of 3145728 bytes: no such block", || {
        release(announce(allocate(64)), 3 * MIB);
    });
}

#[test]
fn a_pointer_into_the_middle_of_a_huge_block() {
    dies("free of {} as a block of 3145728 bytes: no such block", || {
        release(announce(allocate(6 * MIB).wrapping_add(2 * MIB)), 3 * MIB);
    });
}

#[test]
fn a_null_pointer() {
    dies("free of {}: not from this allocator", || {
        release(announce(std::ptr::null_mut()), 3 * MIB);
    });
}

#[test]
fn a_free_before_anything_was_allocated() {
    let mut on_stack = 0u64;
    let pointer = (&raw mut on_stack).cast::<u8>();
    let output = child::run("fresh", |_| {}, || release(announce(pointer), 8));
    let Some(output) = output else { return };
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{}", describe(output.status));
    assert!(text(&output.stderr).contains(": not from this allocator"));
}

#[test]
fn what_is_freed_properly_ends_nothing() {
    support::mode::in_both_modes(|| {
        for size in [1, 64, 600, 896, 5000, 40_000, 3 * MIB, 9 * MIB] {
            release(allocate(size), size);
        }
        trim();
    });
}

//! The hit path as small functions of their own, for looking at the code the compiler makes of it:
//! `ci/instructions.sh` counts their instructions.

use numaslab::NumaSlab;
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

static HEAP: NumaSlab = NumaSlab::new();

/// Allocates 64 bytes: the class is known at compile time.
#[inline(never)]
#[unsafe(no_mangle)]
pub fn hit_alloc_const() -> *mut u8 {
    // SAFETY: the size is not 0.
    unsafe { HEAP.alloc(Layout::new::<[u64; 8]>()) }
}

/// Frees 64 bytes.
///
/// # Safety
/// `block` comes from [`hit_alloc_const`].
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn hit_dealloc_const(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.dealloc(block, Layout::new::<[u64; 8]>()) }
}

/// Allocates any size: what the compiler calls for `Box`, `Vec` and `String`.
///
/// # Safety
/// `size` and `align` form a layout.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn hit_alloc_dynamic(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { HEAP.alloc(Layout::from_size_align_unchecked(size, align)) }
}

/// Frees any size.
///
/// # Safety
/// `block` comes from [`hit_alloc_dynamic`] with the same size and alignment.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn hit_dealloc_dynamic(block: *mut u8, size: usize, align: usize) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.dealloc(block, Layout::from_size_align_unchecked(size, align)) }
}

/// Allocates any size: what C calls.
#[inline(never)]
#[unsafe(no_mangle)]
pub fn hit_malloc(size: usize) -> *mut u8 {
    HEAP.malloc(size)
}

/// Frees any block: what C calls.
///
/// # Safety
/// `block` comes from [`hit_malloc`].
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn hit_free(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { HEAP.free(block) }
}

fn main() {
    for size in [1, 64, 1000] {
        // SAFETY: each block is freed once, as it was allocated.
        unsafe {
            hit_dealloc_const(black_box(hit_alloc_const()));
            hit_dealloc_dynamic(black_box(hit_alloc_dynamic(black_box(size), 8)), black_box(size), 8);
            hit_free(black_box(hit_malloc(black_box(size))));
        }
    }
    println!("{}", numaslab::stats());
}

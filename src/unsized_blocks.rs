//! Blocks that are given back without a word about their size, as C does it.
//!
//! [`NumaSlab::malloc`] and its sisters are for libraries that offer a C interface, as numaslab's preload
//! library does. They serve from the same heap as [`GlobalAlloc`](core::alloc::GlobalAlloc), whose blocks they
//! take too.
//!
//! A [`free`](NumaSlab::free) that hits reads one thing more than `dealloc`: the two bytes of the page map that
//! tell the class of the block's slab. A pointer that is no block is found out there and ends the process; one
//! into the middle of a block when it leaves the CPU's cache.
//!
//! All of them may be called at any time: in a signal handler, in a forked child, before `main` and after it.
//! Where they return null for want of memory, `errno` is `ENOMEM` after; else it is as it was.

use crate::cache::gate;
use crate::global::NumaSlab;
use crate::heap::{self, by_address};
use crate::os::Errno;
use crate::size_class::{SizeClass, TINY_MAX};
use core::ptr;

/// The alignment of blocks that are asked for without one, in bytes: what C programs on 64-bit machines expect
/// (`max_align_t`).
pub const ALIGN: usize = 16;

/// `size` bytes, one at least, rounded up to `align`; `None` if that is more than half of the address space.
#[inline]
const fn rounded(size: usize, align: usize) -> Option<usize> {
    let size = if size == 0 { 1 } else { size };
    match size.checked_next_multiple_of(align) {
        Some(size) if size <= isize::MAX as usize => Some(size),
        _ => None,
    }
}

/// A block that was found, or null with `errno` saying why.
#[inline]
fn or_no_memory(block: Option<*mut u8>) -> *mut u8 {
    let block = block.unwrap_or(ptr::null_mut());
    if block.is_null() {
        Errno::ENOMEM.set();
    }
    block
}

impl NumaSlab {
    /// A block of at least `size` bytes, not initialised, aligned to [`ALIGN`]; null if there is no memory.
    /// Size 0 gives a block like any other.
    #[inline]
    pub fn malloc(&self, size: usize) -> *mut u8 {
        if size <= TINY_MAX && gate::admits_alloc(size) {
            // SAFETY: the gate is open.
            let block = unsafe { gate::pop_direct(SizeClass::of_tiny_by_16(size)) };
            if !block.is_null() {
                return block;
            }
        }
        self.malloc_slowly(size)
    }

    #[inline(never)]
    fn malloc_slowly(&self, size: usize) -> *mut u8 {
        or_no_memory(rounded(size, ALIGN).map(|size| heap::allocate(self.config(), size, ALIGN)))
    }

    /// As [`malloc`](Self::malloc), with all `size` bytes zero.
    #[inline]
    pub fn malloc_zeroed(&self, size: usize) -> *mut u8 {
        if size <= TINY_MAX && gate::admits_alloc(size) {
            // SAFETY: the gate is open.
            let block = unsafe { gate::pop_direct(SizeClass::of_tiny_by_16(size)) };
            if !block.is_null() {
                // SAFETY: the block has that many bytes.
                unsafe { block.write_bytes(0, size) };
                return block;
            }
        }
        self.malloc_zeroed_slowly(size)
    }

    #[inline(never)]
    fn malloc_zeroed_slowly(&self, size: usize) -> *mut u8 {
        or_no_memory(
            rounded(size, ALIGN).map(|rounded| heap::allocate_zeroed(self.config(), rounded, ALIGN, size)),
        )
    }

    /// As [`malloc`](Self::malloc), aligned to `align` bytes, a power of two, or to [`ALIGN`] if that is more.
    #[inline(never)]
    pub fn malloc_aligned(&self, size: usize, align: usize) -> *mut u8 {
        debug_assert!(align.is_power_of_two());
        let align = align.max(ALIGN);
        or_no_memory(rounded(size, align).map(|size| heap::allocate(self.config(), size, align)))
    }

    /// Gives a block back; null is none, and nothing happens. Aborts the process, with a line on stderr, if
    /// the pointer lies in no block of this allocator.
    ///
    /// # Safety
    /// `block` is null, or a block of this allocator, which is not used any more.
    #[inline]
    pub unsafe fn free(&self, block: *mut u8) {
        if let Some(class) = gate::class_in_view(block)
            // SAFETY: what is in view may be pushed while the gate is open; the caller gives up the block.
            && unsafe { gate::push_direct(class, block) }
        {
            return;
        }
        if !block.is_null() {
            // SAFETY: as above.
            unsafe { by_address::release_found(block) };
        }
    }

    /// Resizes a block to at least `size` bytes and returns where it lies then, aligned to [`ALIGN`]; null if
    /// there is no memory, and the block is then as it was. Null is no block, and a new one is returned. Aborts
    /// the process as [`free`](Self::free) does.
    ///
    /// # Safety
    /// As [`free`](Self::free), unless null is returned.
    #[inline]
    pub unsafe fn resize(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            return self.malloc(size);
        }
        // SAFETY: the caller's block.
        let resize = |size| unsafe { by_address::resize_found(self.config(), block, size) };
        or_no_memory(rounded(size, ALIGN).map(resize))
    }

    /// To be called by a thread that is about to call `vfork`, or `clone` with `CLONE_VM` and without
    /// `CLONE_THREAD`: the child, which works in its place, may then allocate and give back as the thread could. Two
    /// system calls with [`after_vfork`](Self::after_vfork), to which each call belongs.
    ///
    /// Where the C library registers areas for restartable sequences (rseq(2)) with a length that it does not
    /// tell, nothing is done, and the child must not allocate.
    #[inline(never)]
    pub fn before_vfork(&self) {
        if let Some(heap) = heap::Heap::started(self.config()) {
            heap.lend_thread();
        }
    }

    /// To be called by the same thread when the system call has returned to it, whether there was a child or not; not
    /// by the child.
    #[inline(never)]
    pub fn after_vfork(&self) {
        if let Some(heap) = heap::Heap::get() {
            heap.take_thread_back();
        }
    }

    /// Bytes of a block that may be used: at least as many as were asked for. 0 for null. Aborts the process if
    /// the pointer lies in no block of this allocator; one into the middle of a block may be taken for one.
    ///
    /// # Safety
    /// `block` is null, or a block of this allocator that has not been given back.
    #[inline]
    pub unsafe fn usable_size(&self, block: *mut u8) -> usize {
        // Some programs, redis for one, ask this at each malloc and free: it reads no more than `free` does.
        match gate::class_in_view(block) {
            Some(class) => class.bytes(),
            None if block.is_null() => 0,
            None => by_address::usable_bytes(block),
        }
    }
}

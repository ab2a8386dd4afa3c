//! Blocks from a contestant: the one place where the bench program calls an allocator.
//!
//! Everything a workload does to memory goes through [`Block`], so the same few lines are compiled
//! into every workload for every allocator, and the workloads themselves need no unsafe code.
//!
//! A block is touched when it is taken: its first and its last byte are written with volatile
//! stores. This is what a program does with memory at the very least, and it also keeps the
//! optimiser honest: a pair of `alloc` and `dealloc` with a volatile store between can't be
//! removed, although LLVM knows what `malloc` is. Nothing is read when it is given back.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout},
    marker::PhantomData,
    ptr::NonNull,
};

use crate::sizes::BlockSize;

/// The alignment of every block, in bytes: that of a `u64` or a pointer, the usual one in Rust.
pub const ALIGN: usize = 8;

/// The size of the kernel's smallest pages in bytes; larger ones are written the more often.
const PAGE: usize = 4096;

/// What a workload will ask for at most, for the contestants that must prepare.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest block.
    pub largest: BlockSize,
    /// How many blocks one thread holds at once.
    pub live_blocks: u32,
}

/// An allocator on trial: a small value that stands for one heap.
///
/// # Safety
/// All values of the type must serve the same heap: a block taken with one of them may be given
/// back with any other one, on any thread that can hold one.
pub unsafe trait Contestant: GlobalAlloc + Copy + 'static {
    /// The value that the calling thread uses in its loop.
    fn for_this_thread(bounds: Bounds) -> Self;

    /// The node to which the allocator itself says that a block at this address belongs, by the
    /// kernel's number; `None` if it does not tell.
    fn home(_address: usize) -> Option<u32> {
        None
    }

    /// The system calls that the allocator itself has counted since the process began; `None` if it does
    /// not count.
    fn system_calls() -> Option<u64> {
        None
    }
}

/// A live block of the heap `A`. Dropping it leaks it: a workload gives back what it took.
#[must_use = "a block that is not given back is leaked"]
#[derive(Debug)]
pub struct Block<A> {
    ptr: NonNull<u8>,
    size: BlockSize,
    heap: PhantomData<fn() -> A>,
}

// SAFETY: a block owns its memory like a Box, and a contestant's heap takes blocks back on any
// thread that has a value of `A` (the promise of `Contestant`).
unsafe impl<A> Send for Block<A> {}

impl<A: Contestant> Block<A> {
    /// Allocates and touches a block.
    #[inline(always)]
    pub fn take(heap: A, size: BlockSize) -> Self {
        // SAFETY: the layout's size is not zero, as no `BlockSize` is.
        let ptr = unsafe { heap.alloc(layout(size)) };
        let Some(ptr) = NonNull::new(ptr) else { out_of_memory(size) };
        // SAFETY: both bytes lie within the `size` bytes just allocated.
        unsafe {
            ptr.as_ptr().write_volatile(1);
            ptr.as_ptr().add(size.bytes() - 1).write_volatile(2);
        }
        Self { ptr, size, heap: PhantomData }
    }

    /// Allocates a block that reads as zero, and touches nothing of it.
    #[inline(always)]
    pub fn take_zeroed(heap: A, size: BlockSize) -> Self {
        // SAFETY: the layout's size is not zero, as no `BlockSize` is.
        let ptr = unsafe { heap.alloc_zeroed(layout(size)) };
        // LLVM could drop a block that nobody looks at.
        let Some(ptr) = NonNull::new(std::hint::black_box(ptr)) else { out_of_memory(size) };
        Self { ptr, size, heap: PhantomData }
    }

    /// Reads a byte in every page that the block has a part of, and ends the child if one is not zero.
    #[inline(always)]
    pub fn check_zero(&self) {
        let mut all = 0;
        for at in (0..self.size.bytes()).step_by(PAGE).chain([self.size.bytes() - 1]) {
            // SAFETY: `at` is below the size of the block, all of which `alloc_zeroed` has initialised.
            all |= unsafe { self.ptr.as_ptr().add(at).read_volatile() };
        }
        assert_eq!(all, 0, "a block from alloc_zeroed is not zero");
    }

    /// Gives the block back.
    #[inline(always)]
    pub fn give_back(self, heap: A) {
        // SAFETY: the block was allocated with this layout by a value of `A` and is owned here, so
        // it is freed once.
        unsafe { heap.dealloc(self.ptr.as_ptr(), layout(self.size)) };
    }

    /// Gives the block back and takes one of another size in its place.
    #[inline(always)]
    pub fn replace(&mut self, heap: A, size: BlockSize) {
        // SAFETY: as in `give_back`; `self` is overwritten at once. (Should `take` panic, nothing
        // uses `self` again: blocks have no `Drop`, and the panic ends the workload.)
        unsafe { heap.dealloc(self.ptr.as_ptr(), layout(self.size)) };
        *self = Self::take(heap, size);
    }

    /// Writes the first byte `times` times, each time reading what is there.
    #[inline(always)]
    pub fn scribble(&mut self, times: u32) {
        for _ in 0..times {
            // SAFETY: the first byte belongs to the block, which is borrowed mutably.
            unsafe {
                let byte = self.ptr.as_ptr().read_volatile();
                self.ptr.as_ptr().write_volatile(byte.wrapping_add(1));
            }
        }
    }

    /// Writes a byte in every 4 KiB of the block, as a program does that uses all of it. (The last byte, should
    /// it lie in a page of its own, was written by `take`.)
    #[inline(always)]
    pub fn use_all(&mut self) {
        for at in (0..self.size.bytes()).step_by(PAGE) {
            // SAFETY: `at` is below the size of the block, which is borrowed mutably.
            unsafe { self.ptr.as_ptr().add(at).write_volatile(3) };
        }
    }

    /// The block's memory, for who has a proof that nobody else uses it.
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.size.bytes()
    }

    /// Where the block is, for tests and for counting cache lines.
    pub fn address(&self) -> usize {
        self.ptr.as_ptr().addr()
    }
}

/// A live block of a size known at compile time: the handle is a bare pointer, and an allocator
/// that is inlined can do its arithmetic on the size at compile time.
#[must_use = "a block that is not given back is leaked"]
#[derive(Debug)]
pub struct FixedBlock<A, const BYTES: u32> {
    ptr: NonNull<u8>,
    heap: PhantomData<fn() -> A>,
}

// SAFETY: as for `Block`.
unsafe impl<A, const BYTES: u32> Send for FixedBlock<A, BYTES> {}

impl<A: Contestant, const BYTES: u32> FixedBlock<A, BYTES> {
    const SIZE: BlockSize = BlockSize::new(BYTES);

    /// Allocates and touches a block.
    #[inline(always)]
    pub fn take(heap: A) -> Self {
        let Block { ptr, heap, .. } = Block::take(heap, Self::SIZE);
        Self { ptr, heap }
    }

    /// Gives the block back.
    #[inline(always)]
    pub fn give_back(self, heap: A) {
        Block { ptr: self.ptr, size: Self::SIZE, heap: self.heap }.give_back(heap);
    }
}

/// The layout of a block.
#[inline(always)]
fn layout(size: BlockSize) -> Layout {
    // SAFETY: `ALIGN` is a power of two, and a `BlockSize` (at most 1 GiB) rounded up to it is far
    // below `isize::MAX`.
    unsafe { Layout::from_size_align_unchecked(size.bytes(), ALIGN) }
}

/// Ends the child: its figures would mean nothing.
#[cold]
#[inline(never)]
fn out_of_memory(size: BlockSize) -> ! {
    panic!("the allocator had no {} bytes left", size.bytes());
}

/// Declares a unit struct that forwards to one allocator value and is a [`Contestant`].
///
/// Forwarding is inlined; it exists because most allocators' own types are not `Copy`.
#[macro_export]
macro_rules! contestant {
    ($name:ident, $allocator:ty = $value:expr) => {
        $crate::contestant!($name, $allocator = $value, |_| None, || None);
    };
    ($name:ident, $allocator:ty = $value:expr, $home:expr, $system_calls:expr) => {
        /// The allocator on trial.
        #[derive(Clone, Copy, Debug)]
        struct $name;

        impl $name {
            #[inline(always)]
            fn heap() -> &'static $allocator {
                static HEAP: $allocator = $value;
                &HEAP
            }
        }

        // SAFETY: forwards every method, with its arguments unchanged, to one allocator.
        unsafe impl std::alloc::GlobalAlloc for $name {
            #[inline(always)]
            unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
                // SAFETY: the caller's promise is this method's.
                unsafe { Self::heap().alloc(layout) }
            }
            #[inline(always)]
            unsafe fn dealloc(&self, ptr: *mut u8, layout: std::alloc::Layout) {
                // SAFETY: the caller's promise is this method's.
                unsafe { Self::heap().dealloc(ptr, layout) }
            }
            #[inline(always)]
            unsafe fn alloc_zeroed(&self, layout: std::alloc::Layout) -> *mut u8 {
                // SAFETY: the caller's promise is this method's.
                unsafe { Self::heap().alloc_zeroed(layout) }
            }
            #[inline(always)]
            unsafe fn realloc(&self, ptr: *mut u8, layout: std::alloc::Layout, new_size: usize) -> *mut u8 {
                // SAFETY: the caller's promise is this method's.
                unsafe { Self::heap().realloc(ptr, layout, new_size) }
            }
        }

        // SAFETY: all values stand for the one static heap.
        unsafe impl $crate::block::Contestant for $name {
            #[inline(always)]
            fn for_this_thread(_: $crate::block::Bounds) -> Self {
                Self
            }

            fn home(address: usize) -> Option<u32> {
                let home: fn(usize) -> Option<u32> = $home;
                home(address)
            }

            fn system_calls() -> Option<u64> {
                let system_calls: fn() -> Option<u64> = $system_calls;
                system_calls()
            }
        }
    };
}

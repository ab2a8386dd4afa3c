//! Floor 6: the front door.

use crate::cache::gate;
use crate::config::Config;
use crate::heap::{self, resize::Resize};
use core::alloc::{GlobalAlloc, Layout};

/// The allocator. All values of this type in a process are doors to one heap; the first request that
/// comes through any of them builds it, with the configuration of that one.
///
/// ```
/// use numaslab::NumaSlab;
///
/// #[global_allocator]
/// static GLOBAL: NumaSlab = NumaSlab::new();
///
/// fn main() {
///     let numbers: Vec<u64> = (0..1000).collect();
///     assert_eq!(numbers.iter().sum::<u64>(), 499_500);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NumaSlab {
    config: Config,
}

impl NumaSlab {
    /// With the default configuration (the profile `balanced`), as changed by the environment.
    pub const fn new() -> Self {
        Self { config: Config::new() }
    }

    /// With a configuration of its own, as changed by the environment.
    pub const fn with_config(config: Config) -> Self {
        Self { config }
    }

    /// The configuration, as it was given.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }
}

impl Default for NumaSlab {
    fn default() -> Self {
        Self::new()
    }
}

/// The request's size rounded up to its alignment: enough to find a class whose blocks are aligned.
/// Cannot overflow: a `Layout` promises that the sum is at most `isize::MAX`.
#[inline(always)]
pub(crate) const fn padded(size: usize, align: usize) -> usize {
    (size + align - 1) & !(align - 1)
}

// SAFETY: blocks are at least `layout.size()` bytes, aligned as `padded` makes sure, and disjoint: each
// is taken off a bitmap or a list by exactly one thread. Nothing unwinds.
unsafe impl GlobalAlloc for NumaSlab {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = padded(layout.size(), layout.align());
        if gate::admits_alloc(size) {
            // SAFETY: the gate is open, and admitted the size.
            let block = unsafe { gate::pop(gate::admitted_class(size)) };
            if !block.is_null() {
                return block;
            }
        }
        heap::allocate(&self.config, size, layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let size = padded(layout.size(), layout.align());
        // SAFETY: the gate is open for frees (only where all nodes are one) and admitted the size; the
        // caller gives up the block, which it got with this layout.
        if gate::admits_free(size) && unsafe { gate::push(gate::admitted_class(size), block) } {
            return;
        }
        // SAFETY: as above.
        unsafe { heap::release(block, size, layout.align()) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = padded(layout.size(), layout.align());
        if gate::admits_alloc(size) {
            // SAFETY: the gate is open, and admitted the size.
            let block = unsafe { gate::pop(gate::admitted_class(size)) };
            if !block.is_null() {
                // SAFETY: the block has that many bytes.
                unsafe { block.write_bytes(0, layout.size()) };
                return block;
            }
        }
        heap::allocate_zeroed(&self.config, size, layout.align(), layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let align = layout.align();
        let size = Resize { old: padded(layout.size(), align), new: padded(new_size, align), align };
        // SAFETY: the caller's promise; `new_size` rounded up does not overflow either.
        unsafe { heap::resize::resize(&self.config, block, size) }
    }
}

//! Huge blocks that find no room in any node's range: a mapping each, and a list of them.
//!
//! The list is what tells such a block from a pointer that is not ours. It is a fixed array; when it
//! is full, such a request fails.
//!
//! A node's range is several times its memory, so what does not fit is mostly absurd. The kernel is asked
//! whether it can promise that much, so that such a request fails instead of the program, later.

use super::{Heap, corruption};
use crate::os::memory;
use crate::sync::{AtomicUsize, Ordering};
use crate::units::{SUPERSLAB_BYTES, SUPERSLAB_SHIFT};
use core::ptr::{self, NonNull};

/// Mappings at a time.
const MOST: usize = 1024;

/// The mappings. Zeroed memory is an empty list.
pub(crate) struct Mappings {
    /// Each a [`Mapping`], or 0. Written by who maps (from 0) and who unmaps (to 0).
    blocks: [AtomicUsize; MOST],
    /// Bytes in them, for the statistics.
    bytes: AtomicUsize,
}

/// Where a mapping lies, `{address: 32, length: 32}`, both in SuperSlabs: a block that is given back with
/// another length is none.
struct Mapping(usize);

impl Mapping {
    fn new(address: usize, bytes: usize) -> Self {
        Self((address >> SUPERSLAB_SHIFT) << 32 | bytes >> SUPERSLAB_SHIFT)
    }

    fn address(&self) -> usize {
        self.0 >> 32 << SUPERSLAB_SHIFT
    }

    fn bytes(&self) -> usize {
        (self.0 as u32 as usize) << SUPERSLAB_SHIFT
    }
}

impl Mappings {
    fn put(&self, mapping: Mapping) -> bool {
        self.blocks.iter().any(|slot| {
            // Relaxed: the word is all that is handed on; the block itself travels with the program.
            slot.load(Ordering::Relaxed) == 0
                && slot.compare_exchange(0, mapping.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    fn take(&self, mapping: Mapping) -> bool {
        self.blocks
            .iter()
            .any(|slot| slot.compare_exchange(mapping.0, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok())
    }

    /// Bytes of the mapping that begins at `address`; `None` if there is none.
    fn bytes_at(&self, address: usize) -> Option<usize> {
        let begins = |mapping: &Mapping| mapping.address() == address;
        // Relaxed: as in `put`.
        let mut all = self.blocks.iter().map(|slot| Mapping(slot.load(Ordering::Relaxed)));
        all.find(begins).map(|mapping| mapping.bytes()).filter(|bytes| *bytes > 0)
    }

    /// Calls `visit` with the address and bytes of each mapping, as they were a moment ago.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(NonNull<u8>, usize)) {
        for slot in &self.blocks {
            // Relaxed: for statistics, which read no memory there.
            let word = slot.load(Ordering::Relaxed);
            let address = ptr::without_provenance_mut((word >> 32) << SUPERSLAB_SHIFT);
            if let Some(at) = NonNull::new(address) {
                visit(at, (word & u32::MAX as usize) << SUPERSLAB_SHIFT);
            }
        }
    }

    /// Bytes in mappings at this moment.
    pub(crate) fn bytes(&self) -> usize {
        // Relaxed: a statistic.
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Heap {
    /// Bytes of the mapping that begins at `block`; `None` if there is none.
    pub(super) fn mapping_bytes(&self, block: *mut u8) -> Option<usize> {
        self.shared.mappings.bytes_at(block.addr())
    }

    /// A mapping of `bytes` bytes for one block, zeroed; null if there is none to be had.
    pub(super) fn allocate_mapping(&self, bytes: usize, align: usize) -> *mut u8 {
        if !self.budget.take(bytes) {
            return ptr::null_mut();
        }
        let Ok(block) = memory::map_promised(bytes, align.max(SUPERSLAB_BYTES)) else {
            self.budget.give(bytes);
            return ptr::null_mut();
        };
        if self.shared.mappings.put(Mapping::new(block.addr().get(), bytes)) {
            self.shared.mappings.bytes.fetch_add(bytes, Ordering::Relaxed);
            return block.as_ptr();
        }
        self.budget.give(bytes);
        // SAFETY: mapped above, and nobody else's.
        let _ = unsafe { memory::unmap(block, bytes) };
        ptr::null_mut()
    }

    /// Takes back a mapping. Aborts the process if it is none.
    pub(super) fn release_mapping(&self, block: *mut u8, bytes: usize) {
        match NonNull::new(block).filter(|block| block.addr().get().is_multiple_of(SUPERSLAB_BYTES)) {
            Some(address) if self.shared.mappings.take(Mapping::new(block.addr(), bytes)) => {
                self.shared.mappings.bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.budget.give(bytes);
                // SAFETY: it was on the list, so it is a mapping of ours, and the caller is done with it.
                let _ = unsafe { memory::unmap(address, bytes) };
            }
            _ => corruption::foreign(block),
        }
    }
}

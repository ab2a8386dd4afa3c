//! The transfer cache of a node: whole batches of blocks on their way from CPUs that free to CPUs
//! that allocate.
//!
//! A batch travels in a parcel, an array of pointers in a table of its own: a CPU whose list is full copies a batch in
//! and pushes the parcel on its class's stack, a CPU whose list is empty pops one and copies it out. Two
//! exchanges and one copy each way; the blocks are not touched.
//!
//! Bounded by bytes for each class and for the node. The bounds are checked before adding, so threads
//! that push at the same moment may pass them by one batch each.

use super::batch::{Batch, MAX_BATCH};
use crate::size_class::{CLASSES, SizeClass};
use crate::sync::tagged_stack::{Links, TaggedStack};
use crate::sync::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// The most parcels that a node's cache holds.
pub(crate) const MAX_PARCELS: usize = if cfg!(loom) { 2 } else { 2048 };

/// A batch on its way. Belongs to the thread that popped it, or that is about to push it.
#[repr(C)]
pub(crate) struct Parcel {
    link: AtomicU32,
    /// How many of `blocks` are filled. Written by the owner.
    len: AtomicU32,
    /// The blocks' addresses. Written and read by the owner.
    blocks: [AtomicUsize; MAX_BATCH],
}

/// What the cache may hold, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of blocks of one class.
    pub(crate) class_bytes: usize,
    /// Bytes of blocks of all classes.
    pub(crate) node_bytes: usize,
}

/// The transfer cache of one node. Zeroed memory is a valid empty one.
#[repr(C)]
pub(crate) struct TransferCache {
    /// The parcels of each class.
    full: [TaggedStack; CLASSES],
    /// Parcels without blocks.
    spare: TaggedStack,
    /// How many parcels of the table were ever used.
    fresh: AtomicU32,
    /// Bytes held of each class. Added to before a push, subtracted after a pop.
    class_bytes: [AtomicUsize; CLASSES],
    /// Bytes held of all classes, likewise.
    node_bytes: AtomicUsize,
    /// Whether a class was popped since the maintenance last looked. Set by who pops, cleared by it.
    popped: [AtomicU8; CLASSES],
}

/// A table of parcels, as links for the stacks.
pub(crate) struct Parcels<'a>(pub(crate) &'a [Parcel]);

impl Links for Parcels<'_> {
    fn link(&self, index: u32) -> &AtomicU32 {
        &self.0[index as usize].link
    }
}

impl TransferCache {
    /// Takes a batch of `class`, if there is one, into `out`, which must be empty; returns how many
    /// blocks that are.
    pub(crate) fn pop(&self, parcels: &Parcels<'_>, class: SizeClass, out: &mut Batch) -> usize {
        let stack = &self.full[class.index()];
        if stack.looks_empty() {
            return 0;
        }
        let Some(index) = stack.pop(parcels) else { return 0 };
        let parcel = &parcels.0[index as usize];
        // Relaxed, here and for the blocks: the pop acquired the parcel.
        let len = (parcel.len.load(Ordering::Relaxed) as usize).min(MAX_BATCH);
        for block in &parcel.blocks[..len] {
            out.push(core::ptr::with_exposed_provenance_mut(block.load(Ordering::Relaxed)));
        }
        self.spare.push(parcels, index);
        // Relaxed: a hint.
        self.popped[class.index()].store(1, Ordering::Relaxed);
        self.account(class, (len * class.bytes()).wrapping_neg());
        len
    }

    /// Puts `blocks` (at most [`MAX_BATCH`], of this node) in as one batch; `false` if there is no
    /// room.
    pub(crate) fn push(
        &self,
        parcels: &Parcels<'_>,
        bounds: Bounds,
        class: SizeClass,
        blocks: &[*mut u8],
    ) -> bool {
        let bytes = blocks.len() * class.bytes();
        // Relaxed: bounds, not ownership.
        if self.class_bytes[class.index()].load(Ordering::Relaxed) + bytes > bounds.class_bytes
            || self.node_bytes.load(Ordering::Relaxed) + bytes > bounds.node_bytes
            || blocks.len() > MAX_BATCH
        {
            return false;
        }
        let Some(index) = self.spare_parcel(parcels) else { return false };
        self.account(class, bytes);
        let parcel = &parcels.0[index as usize];
        // Relaxed, here and for the blocks: the push releases the parcel.
        parcel.len.store(blocks.len() as u32, Ordering::Relaxed);
        for (cell, block) in parcel.blocks.iter().zip(blocks) {
            cell.store(block.expose_provenance(), Ordering::Relaxed);
        }
        self.full[class.index()].push(parcels, index);
        true
    }

    fn spare_parcel(&self, parcels: &Parcels<'_>) -> Option<u32> {
        if let Some(index) = self.spare.pop(parcels) {
            return Some(index);
        }
        // Relaxed: the number is all that is handed out; a fresh parcel has no content.
        let fresh = self.fresh.load(Ordering::Relaxed);
        if fresh as usize >= parcels.0.len() {
            return None;
        }
        let index = self.fresh.fetch_add(1, Ordering::Relaxed);
        // Threads that came at the same moment may count past the end, by one each; such a number is
        // lost, which only costs a parcel that does not exist.
        ((index as usize) < parcels.0.len()).then_some(index)
    }

    fn account(&self, class: SizeClass, bytes: usize) {
        // Relaxed: bounds and statistics.
        self.class_bytes[class.index()].fetch_add(bytes, Ordering::Relaxed);
        self.node_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether nobody has popped a batch of `class` since this was last asked.
    pub(crate) fn is_idle(&self, class: SizeClass) -> bool {
        // Relaxed: a hint.
        self.popped[class.index()].swap(0, Ordering::Relaxed) == 0
    }

    /// Bytes of blocks of `class` held at this moment.
    pub(crate) fn bytes_of(&self, class: SizeClass) -> usize {
        // Relaxed: statistics.
        self.class_bytes[class.index()].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl TransferCache {
    fn new() -> Self {
        Self {
            full: core::array::from_fn(|_| TaggedStack::new()),
            spare: TaggedStack::new(),
            fresh: AtomicU32::new(0),
            class_bytes: core::array::from_fn(|_| AtomicUsize::new(0)),
            node_bytes: AtomicUsize::new(0),
            popped: core::array::from_fn(|_| AtomicU8::new(0)),
        }
    }
}

#[cfg(test)]
impl Parcel {
    fn new() -> Self {
        Self {
            link: AtomicU32::new(0),
            len: AtomicU32::new(0),
            blocks: core::array::from_fn(|_| AtomicUsize::new(0)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{collections::HashSet, vec::Vec};

    const WIDE: Bounds = Bounds { class_bytes: usize::MAX / 2, node_bytes: usize::MAX / 2 };

    fn block(n: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(n)
    }

    fn class() -> SizeClass {
        SizeClass::of(64)
    }

    fn table(n: usize) -> Vec<Parcel> {
        (0..n).map(|_| Parcel::new()).collect()
    }

    #[test]
    fn a_batch_comes_out_as_it_went_in() {
        let (cache, table) = (TransferCache::new(), table(2));
        let parcels = Parcels(&table);
        let blocks: Vec<_> = (1..=100).map(|n| block(n * 64)).collect();
        assert!(cache.push(&parcels, WIDE, class(), &blocks));
        assert_eq!(cache.bytes_of(class()), 6400);
        let mut out = Batch::new();
        assert_eq!(cache.pop(&parcels, SizeClass::of(80), &mut out), 0);
        assert_eq!(cache.pop(&parcels, class(), &mut out), 100);
        assert_eq!(out.blocks(), blocks);
        assert_eq!((cache.pop(&parcels, class(), &mut Batch::new()), cache.bytes_of(class())), (0, 0));
    }

    #[test]
    fn is_bounded_by_bytes_and_by_batches() {
        let (cache, table) = (TransferCache::new(), table(3));
        let parcels = Parcels(&table);
        let two = [block(64), block(128)];
        let narrow = Bounds { class_bytes: 256, node_bytes: 384 };
        assert!(cache.push(&parcels, narrow, class(), &two));
        assert!(cache.push(&parcels, narrow, class(), &two));
        assert!(!cache.push(&parcels, narrow, class(), &two), "class bound");
        assert!(cache.push(&parcels, narrow, SizeClass::of(32), &two));
        assert!(!cache.push(&parcels, narrow, SizeClass::of(48), &two), "node bound");
        assert!(!cache.push(&parcels, WIDE, SizeClass::of(48), &two), "no batch left");
        assert_eq!(cache.pop(&parcels, class(), &mut Batch::new()), 2);
        assert!(cache.push(&parcels, WIDE, SizeClass::of(48), &two), "a spare batch is used again");
    }

    #[test]
    fn threads_lose_and_double_no_block() {
        let (cache, table) = (TransferCache::new(), table(16));
        let parcels = Parcels(&table);
        let owned: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..8usize)
                .map(|t| {
                    let (cache, parcels) = (&cache, &parcels);
                    scope.spawn(move || {
                        let mut mine: Vec<*mut u8> = (1..=32).map(|i| block((t * 32 + i) * 64)).collect();
                        for round in 0..20_000 {
                            let n = mine.len().min(1 + round % 16);
                            if n > 0 && cache.push(parcels, WIDE, class(), &mine[mine.len() - n..]) {
                                mine.truncate(mine.len() - n);
                            }
                            let mut out = Batch::new();
                            cache.pop(parcels, class(), &mut out);
                            mine.extend(&*out.blocks());
                        }
                        mine.into_iter().map(|b| b as usize).collect()
                    })
                })
                .collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        let mut all: Vec<usize> = owned.into_iter().flatten().collect();
        let mut out = Batch::new();
        while cache.pop(&parcels, class(), &mut out) > 0 {
            all.extend(out.blocks().iter().map(|b| *b as usize));
            out = Batch::new();
        }
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (256, 256));
        assert_eq!(cache.bytes_of(class()), 0);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};
    use std::vec::Vec;

    fn block(n: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(n)
    }

    #[test]
    fn two_threads_exchange_batches() {
        // Three preemptions: the whole state space is too large, and every known bug of such stacks
        // shows with two.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = Arc::new((TransferCache::new(), [Parcel::new(), Parcel::new()]));
            let bounds = Bounds { class_bytes: 1 << 20, node_bytes: 1 << 20 };
            let class = SizeClass::of(64);
            let work = move |world: &(TransferCache, [Parcel; 2]), blocks: [usize; 2]| -> Vec<usize> {
                let parcels = Parcels(&world.1);
                let pushed = world.0.push(&parcels, bounds, class, &blocks.map(block));
                let mut left = if pushed { Vec::new() } else { blocks.to_vec() };
                let mut out = Batch::new();
                world.0.pop(&parcels, class, &mut out);
                left.extend(out.blocks().iter().map(|b| *b as usize));
                left
            };
            let other = {
                let world = world.clone();
                thread::spawn(move || work(&world, [64, 128]))
            };
            let mut all = work(&world, [192, 256]);
            all.extend(other.join().unwrap());
            let mut out = Batch::new();
            while world.0.pop(&Parcels(&world.1), class, &mut out) > 0 {
                all.extend(out.blocks().iter().map(|b| *b as usize));
                out = Batch::new();
            }
            all.sort_unstable();
            assert_eq!(all, [64, 128, 192, 256]);
        });
    }
}

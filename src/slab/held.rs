//! The slab that a CPU, or a thread in fallback mode, holds for a class.
//!
//! Its owner is whoever swaps it out. A taker swaps it out, takes blocks from it, and swaps in what it
//! leaves. Two threads may miss on the same CPU at the same moment, or one be interrupted by a handler
//! that does: then the second finds nothing, and the last to swap its slab in finds the other's, which is
//! its own to list.

use crate::sync::{AtomicU32, Ordering};

/// The index of the slab plus one, or 0 for none. Zeroed memory holds none.
#[repr(transparent)]
pub(crate) struct HeldSlab(AtomicU32);

impl HeldSlab {
    /// Whether there was a slab a moment ago.
    pub(crate) fn is_there(&self) -> bool {
        // Relaxed: a hint.
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Takes the slab out; the caller owns it then.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        // Relaxed: seeds the exchange, and spares it where there is nothing.
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire: pairs with the Release in `put`.
        self.0.swap(0, Ordering::Acquire).checked_sub(1)
    }

    /// Puts a slab in that the caller owns; the one that lay there is the caller's then.
    #[inline]
    #[must_use]
    pub(crate) fn put(&self, slab: u32) -> Option<u32> {
        // AcqRel: Release hands the slab to the next taker; Acquire takes over the one found here.
        self.0.swap(slab + 1, Ordering::AcqRel).checked_sub(1)
    }
}

#[cfg(any(test, loom))]
impl HeldSlab {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn hands_out_what_was_put_in_once() {
        let held = HeldSlab::new();
        assert_eq!(held.take(), None);
        assert_eq!(held.put(0), None);
        assert_eq!(held.put(7), Some(0));
        assert_eq!((held.take(), held.take()), (Some(7), None));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{cell::UnsafeCell, sync::Arc, thread};
    use std::vec::Vec;

    struct World {
        held: HeldSlab,
        /// What only the owner of a slab touches; loom reports two owners at once.
        slabs: [UnsafeCell<u32>; 3],
    }

    /// What a miss does: works on the held slab, or on one of its own; returns the slab to list.
    fn miss(w: &World, own: u32) -> Vec<u32> {
        let slab = w.held.take();
        let mut to_list: Vec<u32> = slab.map(|_| own).into_iter().collect();
        let slab = slab.unwrap_or(own);
        // SAFETY: the caller owns the slab; loom checks it.
        w.slabs[slab as usize].with_mut(|p| unsafe { *p += 1 });
        to_list.extend(w.held.put(slab));
        for slab in &to_list {
            // SAFETY: as above.
            w.slabs[*slab as usize].with_mut(|p| unsafe { *p += 1 });
        }
        to_list
    }

    #[test]
    fn misses_at_the_same_moment_neither_share_nor_lose_a_slab() {
        loom::model(|| {
            let slabs = core::array::from_fn(|_| UnsafeCell::new(0));
            let w = Arc::new(World { held: HeldSlab::new(), slabs });
            assert_eq!(w.held.put(0), None);
            let other = {
                let w = w.clone();
                thread::spawn(move || miss(&w, 1))
            };
            let mut all = miss(&w, 2);
            all.extend(other.join().unwrap());
            all.extend(w.held.take());
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
        });
    }

    #[test]
    fn a_drain_takes_the_slab_from_who_is_not_using_it() {
        loom::model(|| {
            let slabs = core::array::from_fn(|_| UnsafeCell::new(0));
            let w = Arc::new(World { held: HeldSlab::new(), slabs });
            assert_eq!(w.held.put(0), None);
            let other = {
                let w = w.clone();
                thread::spawn(move || {
                    let drained = w.held.take();
                    // SAFETY: drained, so this thread's; loom checks it.
                    drained.iter().for_each(|s| w.slabs[*s as usize].with_mut(|p| unsafe { *p += 1 }));
                    drained
                })
            };
            let mut all = miss(&w, 1);
            all.extend(other.join().unwrap());
            all.extend(w.held.take());
            all.sort_unstable();
            assert_eq!(all, [0, 1]);
        });
    }
}

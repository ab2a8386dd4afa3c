//! A Treiber stack of indices with a tag against ABA.
//!
//! The nodes live elsewhere (slab descriptors, SuperSlab descriptors, transfer batches) in memory
//! that is never unmapped; each lends one `AtomicU32` as its link, found through [`Links`]. That
//! is why a late reader may always follow a stale link: it reads a number, and the tag makes its
//! compare-exchange fail.
//!
//! Neighbours: `pool::shelf`, `pool::superslabs` and `pool::transfer` are stacks of this type.
//!
//! # Invariants
//! * A node is on at most one stack, at most once.
//! * Whoever pops a node, or takes the whole chain, owns it until pushing it again.
//! * The tag grows by one on every change of the head. It has 32 bits: a thread would have to sleep
//!   through exactly 2^32 changes of one head, and wake to the same index, to be fooled.

use super::{AtomicU32, AtomicU64, Ordering, lost};

/// Where the nodes of a stack keep their links.
pub(crate) trait Links {
    /// The link of node `index`. Written by the owner of the node before it pushes it; read by
    /// everyone who sees the node at the head. Holds `0` for "last", else the next index plus one.
    fn link(&self, index: u32) -> &AtomicU32;
}

/// The head word: `{tag: 32, index + 1: 32}`; an index field of 0 says "empty".
///
/// Zeroed memory is a valid empty stack.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head(u64);

impl Head {
    const fn top(self) -> Option<u32> {
        (self.0 as u32).checked_sub(1)
    }

    /// The head after a change: the next tag, and `link` as its index field.
    const fn followed_by(self, link: u32) -> Self {
        let tag = ((self.0 >> 32) as u32).wrapping_add(1);
        Self(((tag as u64) << 32) | link as u64)
    }
}

/// The head that another thread has put there meanwhile.
fn lost_to(seen: u64) -> Head {
    lost::count();
    Head(seen)
}

/// A lock-free stack of node indices.
pub(crate) struct TaggedStack {
    /// Written by every push, pop and take-all (compare-exchange, never a plain store).
    head: AtomicU64,
}

impl TaggedStack {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self { head: AtomicU64::new(0) }
    }

    /// Puts `index`, which the caller owns, on top.
    #[inline]
    pub(crate) fn push(&self, links: &impl Links, index: u32) {
        self.push_chain(links, index, index);
    }

    /// Puts a chain that the caller owns (`first` links through to `last`) on top.
    pub(crate) fn push_chain(&self, links: &impl Links, first: u32, last: u32) {
        // Relaxed: the value only seeds the exchange below, which checks it.
        let mut head = Head(self.head.load(Ordering::Relaxed));
        loop {
            // Relaxed: published by the Release exchange below.
            links.link(last).store(head.0 as u32, Ordering::Relaxed);
            let new = head.followed_by(first + 1);
            // Release: pairs with the Acquire loads in `pop` and `take_all`; what the owner wrote to
            // the nodes is seen by the next owner. Later exchanges continue the release sequence.
            match self.head.compare_exchange_weak(head.0, new.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = lost_to(seen),
            }
        }
    }

    /// Takes the topmost node, which the caller then owns.
    pub(crate) fn pop(&self, links: &impl Links) -> Option<u32> {
        // Acquire: pairs with the Release exchange in `push_chain`.
        let mut head = Head(self.head.load(Ordering::Acquire));
        loop {
            let top = head.top()?;
            // Relaxed: written before the push that this load's head was acquired from. If the node
            // has moved on since, the value is stale and the tag makes the exchange fail.
            let below = links.link(top).load(Ordering::Relaxed);
            let new = head.followed_by(below);
            // Acquire on both sides: pairs with `push_chain`. Not Release: a pop publishes nothing.
            match self.head.compare_exchange_weak(head.0, new.0, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(top),
                Err(seen) => head = lost_to(seen),
            }
        }
    }

    /// Takes all nodes at once; the caller owns the chain and walks it with [`Chain::next`].
    pub(crate) fn take_all(&self) -> Chain {
        // Acquire: pairs with the Release exchange in `push_chain`.
        let mut head = Head(self.head.load(Ordering::Acquire));
        loop {
            let Some(_) = head.top() else { return Chain { link: 0 } };
            match self.head.compare_exchange_weak(
                head.0,
                head.followed_by(0).0,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Chain { link: head.0 as u32 },
                Err(seen) => head = lost_to(seen),
            }
        }
    }

    /// Whether the stack was empty a moment ago. A hint: spares an exchange that would find nothing.
    #[inline]
    pub(crate) fn looks_empty(&self) -> bool {
        // Relaxed: a hint, nothing is read on the strength of it.
        self.head.load(Ordering::Relaxed) as u32 == 0
    }
}

/// A chain of nodes owned by the caller, from [`TaggedStack::take_all`].
pub(crate) struct Chain {
    link: u32,
}

impl Chain {
    /// The next node; its own link may be reused as soon as this returns.
    pub(crate) fn next(&mut self, links: &impl Links) -> Option<u32> {
        let index = self.link.checked_sub(1)?;
        // Relaxed: the chain is owned, and was acquired as a whole in `take_all`.
        self.link = links.link(index).load(Ordering::Relaxed);
        Some(index)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Nodes(Vec<AtomicU32>);

    impl Links for Nodes {
        fn link(&self, index: u32) -> &AtomicU32 {
            &self.0[index as usize]
        }
    }

    fn nodes(n: usize) -> Nodes {
        Nodes((0..n).map(|_| AtomicU32::new(0)).collect())
    }

    #[test]
    fn pops_in_reverse_order_of_pushes() {
        let (stack, links) = (TaggedStack::new(), nodes(3));
        for i in 0..3 {
            stack.push(&links, i);
        }
        assert_eq!((0..4).map(|_| stack.pop(&links)).collect::<Vec<_>>(), [Some(2), Some(1), Some(0), None]);
        assert!(stack.looks_empty());
    }

    #[test]
    fn take_all_leaves_nothing_and_yields_every_node() {
        let (stack, links) = (TaggedStack::new(), nodes(4));
        for i in 0..4 {
            stack.push(&links, i);
        }
        let mut chain = stack.take_all();
        let mut seen = Vec::new();
        while let Some(i) = chain.next(&links) {
            stack.push(&links, i); // the link may be reused at once
            seen.push(i);
            if seen.len() == 2 {
                assert_eq!(stack.pop(&links), Some(i));
                stack.push(&links, i);
            }
        }
        assert_eq!(seen, [3, 2, 1, 0]);
        assert_eq!(stack.pop(&links), Some(0));
    }

    #[test]
    fn the_tag_changes_when_the_same_node_comes_back() {
        let (stack, links) = (TaggedStack::new(), nodes(1));
        stack.push(&links, 0);
        let before = stack.head.load(Ordering::Relaxed);
        assert_eq!(stack.pop(&links), Some(0));
        stack.push(&links, 0);
        assert_ne!(stack.head.load(Ordering::Relaxed), before);
    }

    #[test]
    fn many_threads_never_own_the_same_node() {
        let (stack, links) = (TaggedStack::new(), nodes(8));
        let owned: Vec<AtomicU32> = (0..8).map(|_| AtomicU32::new(0)).collect();
        for i in 0..8 {
            stack.push(&links, i);
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(i) = stack.pop(&links) {
                            assert_eq!(owned[i as usize].fetch_add(1, Ordering::Relaxed), 0);
                            owned[i as usize].fetch_sub(1, Ordering::Relaxed);
                            stack.push(&links, i);
                        }
                    }
                });
            }
        });
        assert_eq!((0..8).filter_map(|_| stack.pop(&links)).count(), 8);
    }
}

#[cfg(all(test, loom))]
#[allow(unsafe_code)]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    struct World {
        stack: TaggedStack,
        links: [AtomicU32; 2],
        /// What the owner of a node writes; a data race here would be a lost Acquire or Release.
        payload: [loom::cell::UnsafeCell<u32>; 2],
    }

    impl Links for World {
        fn link(&self, index: u32) -> &AtomicU32 {
            &self.links[index as usize]
        }
    }

    fn world() -> Arc<World> {
        Arc::new(World {
            stack: TaggedStack::new(),
            links: [AtomicU32::new(0), AtomicU32::new(0)],
            payload: [loom::cell::UnsafeCell::new(0), loom::cell::UnsafeCell::new(0)],
        })
    }

    fn own(world: &World, index: u32) {
        // SAFETY: the caller popped the node; loom checks that nobody else touches it meanwhile.
        world.payload[index as usize].with_mut(|p| unsafe { *p += 1 });
    }

    #[test]
    fn pop_and_push_of_two_threads_share_nothing() {
        loom::model(|| {
            let w = world();
            w.stack.push(&*w, 0);
            w.stack.push(&*w, 1);
            let other = {
                let w = w.clone();
                thread::spawn(move || {
                    // Pop both, push back in the other order: the shape that ABA needs.
                    let (a, b) = (w.stack.pop(&*w), w.stack.pop(&*w));
                    for i in [a, b].into_iter().flatten() {
                        own(&w, i);
                        w.stack.push(&*w, i);
                    }
                })
            };
            if let Some(i) = w.stack.pop(&*w) {
                own(&w, i);
                w.stack.push(&*w, i);
            }
            other.join().unwrap();
            let (a, b) = (w.stack.pop(&*w).unwrap(), w.stack.pop(&*w).unwrap());
            assert_ne!(a, b);
            assert_eq!(w.stack.pop(&*w), None);
        });
    }

    #[test]
    fn take_all_against_pop_and_push() {
        loom::model(|| {
            let w = world();
            w.stack.push(&*w, 0);
            w.stack.push(&*w, 1);
            let other = {
                let w = w.clone();
                thread::spawn(move || {
                    if let Some(i) = w.stack.pop(&*w) {
                        own(&w, i);
                        w.stack.push(&*w, i);
                    }
                })
            };
            let mut chain = w.stack.take_all();
            while let Some(i) = chain.next(&*w) {
                own(&w, i);
                w.stack.push(&*w, i);
            }
            other.join().unwrap();
            let (a, b) = (w.stack.pop(&*w).unwrap(), w.stack.pop(&*w).unwrap());
            assert_ne!(a, b);
            assert_eq!(w.stack.pop(&*w), None);
        });
    }
}

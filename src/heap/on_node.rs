//! Blocks of a node that is asked for, whichever CPU asks.
//!
//! # A block of a named node
//! A CPU keeps blocks of another node in the outbox for it, on their way home. Who asks for a block of
//! that node by name takes it from there, and what a batch from that node's pool leaves over goes there
//! too. So such requests have a cache of the usual form, with the usual bounds; nothing new is cached
//! anywhere, a batch is one visit to the other node, and frees fill what requests empty.
//!
//! This is sound: an outbox is a list like any other, popped and pushed by critical sections. A thread
//! that is moved between looking at its seat and popping may get a block of another node, from the list
//! of another CPU; every block is compared with the node asked for before it is handed out. Using a
//! region of a CPU of the node itself would not be sound: sections work for the CPU that they run on and no
//! other.
//!
//! Where the first touch decides on which node a page lies, the thread goes to a CPU of that node for the
//! moment in which it carves a slab; pages of a node without CPUs come to lie where the thread is.
//!
//! # A node that a thread prefers
//! A hit takes from the region of the CPU it runs on, without a look at the thread; a look would cost
//! every hit of every program. So the thread gets a region of its own, as threads without rseq have,
//! tied to the node that it prefers, and the gate sends all requests past the direct way while any
//! thread prefers a node (see [`gate`]): a call and a comparison more for the others meanwhile, nothing
//! afterwards. In fallback mode the thread's region moves to the node, and that is all.

use super::refill::refilled_from;
use super::{Heap, start};
use crate::cache::control::Event;
use crate::cache::gate;
use crate::cache::layout::ListIndex;
use crate::cache::per_thread;
use crate::cache::policy::max_batch;
use crate::cache::seat::Seat;
use crate::os::ErrnoGuard;
use crate::os::cpu::Visit;
use crate::pool::Pool;
use crate::pool::batch::Batch;
use crate::rseq::thread_block;
use crate::size_class::SizeClass;
use crate::units::NodeId;
use core::ptr;

/// A block of `class` from where the calling thread's cache is, while the gate is not direct; null if
/// there is none.
#[inline]
pub(super) fn pop(class: SizeClass) -> *mut u8 {
    if !gate::is_open() || thread_block::current().preference().is_some() {
        return per_thread::pop(class);
    }
    // SAFETY: the gate is open.
    unsafe { gate::pop(class) }
}

impl Heap {
    /// A block of at least `size` bytes (rounded up to `align` already) whose home is `node`; null if
    /// that node has no memory.
    pub(crate) fn allocate_on(&self, node: NodeId, size: usize, align: usize) -> *mut u8 {
        let _errno = ErrnoGuard::new();
        if Self::is_huge(size, align) {
            return self.allocate_huge_on(node, size, align);
        }
        let class = SizeClass::of(size);
        let seat = self.seat();
        let _stay = seat.stay();
        let Some(region) = seat.region() else {
            self.count(&seat, Event::Bypass);
            return self.take_from(&seat, node, class, 1, &mut Batch::new());
        };
        if region.node() == node {
            return self.allocate_own(&seat, size, align);
        }
        let list = ListIndex::new(node.index() ^ region.node().index(), class);
        let mut batch = Batch::new();
        seat.pop_batch(list, 1, &mut batch);
        match batch.pop() {
            Some(block) if self.space.node_of(block.addr()) == Some(node) => return block,
            Some(block) => {
                self.give_home(class, &mut [block]);
            }
            None => {}
        }
        self.refill_outbox(&seat, node, class, list)
    }

    /// A block of the seat's node: by the ordinary way, unless that ends on another node.
    fn allocate_own(&self, seat: &Seat, size: usize, align: usize) -> *mut u8 {
        let block = super::allocate(&self.config, size, align);
        if block.is_null() || self.space.node_of(block.addr()) == Some(seat.node()) {
            return block;
        }
        // SAFETY: just allocated so, and nobody's.
        unsafe { super::release(block, size, align) };
        self.take_from(seat, seat.node(), SizeClass::of(size), 1, &mut Batch::new())
    }

    /// A block of another node; its neighbours go to the outbox `list` for that node, which gets room
    /// that doubles with each miss.
    #[cold]
    fn refill_outbox(&self, seat: &Seat, node: NodeId, class: SizeClass, list: ListIndex) -> *mut u8 {
        self.count(seat, Event::PopMiss);
        let room = seat
            .region()
            .map_or(0, |region| region.header(list).end().saturating_sub(self.layout.first(list)));
        let mut batch = Batch::new();
        let answer = self.take_from(seat, node, class, (room / 2).clamp(1, max_batch(class)), &mut batch);
        if answer.is_null() {
            return answer;
        }
        self.make_room(seat, class, list, (2 * room).max(2).min(self.layout.most(list)));
        let shelved = seat.push_batch(list, batch.blocks());
        if shelved < batch.len() {
            self.give_home(class, &mut batch.blocks()[shelved..]);
        }
        answer
    }

    /// A block from the pool of `node`; null if it has no memory. What else came with it is in `rest`.
    fn take_from(
        &self,
        seat: &Seat,
        node: NodeId,
        class: SizeClass,
        want: usize,
        rest: &mut Batch,
    ) -> *mut u8 {
        let pool = self.pool(node);
        let mut find = |pool: Pool<'_>, want| {
            if want > 1 && pool.node.transfer.pop(&pool.parcels(), class, rest) > 0 {
                return Event::RefillTransfer;
            }
            pool.take_blocks(class, None, want, rest).map_or(Event::RefillFailed, refilled_from)
        };
        let mut found = find(pool, want);
        if found == Event::RefillFailed && self.settings.touch_on_carve {
            // Only CPUs of the node carve there. One without CPUs can't be visited.
            let visit = Visit::to(self.topology.cpus_of(node));
            if visit.is_ok() {
                found = find(pool, want);
            }
        }
        if found == Event::RefillFailed {
            self.reclaim();
            found = find(pool.open_to_all(), 1);
        }
        self.count(seat, found);
        rest.pop().unwrap_or(ptr::null_mut())
    }

    /// A Huge block in the range of `node`; null if there is no room or no memory.
    fn allocate_huge_on(&self, node: NodeId, size: usize, align: usize) -> *mut u8 {
        let mut block = self.place_huge(node, size, align);
        if block.is_none() && self.budget.is_within_reach(size) {
            self.reclaim();
            block = self.place_huge(node, size, align);
        }
        block.map_or(ptr::null_mut(), ptr::NonNull::as_ptr)
    }

    /// Lets the calling thread prefer `node` to that of its CPU, or none; returns what it did prefer.
    pub(crate) fn prefer(&self, node: Option<NodeId>) -> Option<NodeId> {
        let _errno = ErrnoGuard::new();
        let before = thread_block::current().set_preference(node);
        if self.per_cpu.is_some() {
            // The one who published the heap may not have come to it yet.
            start::open_gate(self);
            match (before, node) {
                (None, Some(_)) => gate::divert(),
                (Some(_), None) => gate::undivert(start::ALLOC_LIMIT),
                _ => {}
            }
        }
        if before != node {
            self.follow_at_once();
        }
        before
    }
}

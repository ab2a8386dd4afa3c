//! Where a thread works at this moment: at its CPU's region, at its own, or at none.
//!
//! A seat is taken on a miss, and may be stale at once, since the thread may be moved: operations on a
//! CPU's seat name its region and do nothing if the thread is elsewhere by then.

use super::control::{Control, Event, Events};
use super::layout::ListIndex;
use super::per_thread::{Busy, Stay};
use super::region::Region;
use crate::pool::batch::Batch;
use crate::rseq::{self, Area, Regions};
use crate::sync::{AtomicU64, Ordering};
use crate::units::NodeId;
use core::ptr;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seat {
    /// The region of the CPU on which the thread was a moment ago.
    Cpu(CpuSeat),
    /// The thread's own region.
    Thread(Region),
    /// No cache: the region is revoked, the thread is ending or inside its cache (this is a signal
    /// handler), or no region could be had.
    Bare(NodeId),
}

/// A seat at a CPU's region. Does not go through the gate, which may not be open yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuSeat {
    region: Region,
    regions: Regions,
    area: Area,
}

impl CpuSeat {
    /// A seat at `region`.
    ///
    /// # Safety
    /// `regions` and `area` satisfy [`rseq::pop`] for ever, with lists for all classes.
    pub(crate) unsafe fn new(region: Region, regions: Regions, area: Area) -> Self {
        Self { region, regions, area }
    }
}

impl Seat {
    /// The node of which memory should come.
    pub(crate) fn node(&self) -> NodeId {
        match self {
            Self::Cpu(seat) => seat.region.node(),
            Self::Thread(region) => region.node(),
            Self::Bare(node) => *node,
        }
    }

    /// The region, if there is one.
    pub(crate) fn region(&self) -> Option<Region> {
        match self {
            Self::Cpu(seat) => Some(seat.region),
            Self::Thread(region) => Some(*region),
            Self::Bare(_) => None,
        }
    }

    /// Keeps a thread's region on its node while the result lives. A CPU's never leaves it.
    pub(crate) fn stay(&self) -> Option<Stay> {
        matches!(self, Self::Thread(_)).then(Stay::begin)
    }

    /// The slow-path state, if there is one.
    pub(crate) fn control(&self) -> Option<&'static Control> {
        self.region().map(Region::control)
    }

    /// Counts an event of this seat's region, so many times; `elsewhere` takes what can't be counted there.
    #[inline]
    pub(crate) fn count(&self, event: Event, times: usize, elsewhere: &Events) {
        let add = |control: &Control| self.add(control.events.counter(event), times as u64);
        if !self.control().is_some_and(add) {
            elsewhere.add(event, times);
        }
    }

    /// Adds to a word of the region's control, without a lock prefix; `false` if the thread has moved
    /// away, or has no region.
    #[inline]
    pub(crate) fn add(&self, word: &AtomicU64, value: u64) -> bool {
        match self {
            // SAFETY: as in `pop_batch`; the words of a CPU's control are written by such sections only.
            Self::Cpu(seat) => unsafe {
                rseq::add(seat.regions, seat.area, seat.region.base(), word.as_ptr(), value)
            },
            Self::Thread(_) => {
                // Relaxed, and not one operation: only this thread writes it, and a signal handler that
                // interrupts it inside its region sits elsewhere.
                word.store(word.load(Ordering::Relaxed).wrapping_add(value), Ordering::Relaxed);
                true
            }
            Self::Bare(_) => false,
        }
    }

    /// Takes one block off a list: of the CPU on which the thread is by now. Null if it is empty.
    #[inline]
    pub(crate) fn pop(&self, list: ListIndex) -> *mut u8 {
        match self {
            // SAFETY: who made the seat promised what the sections need.
            Self::Cpu(seat) => unsafe { rseq::pop(seat.regions, seat.area, list.index()) },
            Self::Thread(_) => Busy::enter().map_or(ptr::null_mut(), |busy| busy.pop(list)),
            Self::Bare(_) => ptr::null_mut(),
        }
    }

    /// Takes up to `want` blocks off a list into `batch`, which must be empty: of the CPU on which the
    /// thread is by now, whose blocks may live on another node than this seat's.
    pub(crate) fn pop_batch(&self, list: ListIndex, want: usize, batch: &mut Batch) {
        match self {
            // SAFETY: who made the seat promised what the sections need; they write as many blocks as
            // they say.
            Self::Cpu(seat) => unsafe {
                batch.fill(want, |cells, most| {
                    rseq::pop_batch(seat.regions, seat.area, list.index(), cells, most)
                });
            },
            Self::Thread(_) => {
                if let Some(busy) = Busy::enter() {
                    busy.pop_batch(list, want, batch);
                }
            }
            Self::Bare(_) => {}
        }
    }

    /// Puts blocks that belong there on a list; returns how many, from the first.
    pub(crate) fn push_batch(&self, list: ListIndex, blocks: &[*mut u8]) -> usize {
        match self {
            // SAFETY: as above; the caller owns the blocks.
            Self::Cpu(seat) => unsafe {
                rseq::push_batch(seat.regions, seat.area, seat.region.base(), list.index(), blocks)
            },
            Self::Thread(_) => Busy::enter().map_or(0, |busy| busy.push_batch(list, blocks)),
            Self::Bare(_) => 0,
        }
    }

    /// Exchanges a list's header, if it is still `old` and the thread still sits here.
    pub(crate) fn exchange_header(&self, list: ListIndex, old: u32, new: u32) -> bool {
        match self {
            // SAFETY: as above; the header comes from the layout.
            Self::Cpu(seat) => unsafe {
                rseq::exchange_header(seat.regions, seat.area, seat.region.base(), list.index(), old, new)
            },
            Self::Thread(_) => Busy::enter().is_some_and(|busy| busy.exchange_header(list, old, new)),
            Self::Bare(_) => false,
        }
    }
}

//! Regions of threads in fallback mode, and what happens when a thread ends.
//!
//! Regions are made in chunks, kept on a tagged stack when their thread has ended, and never
//! unmapped. A thread gets one at its first miss, and its exit hook empties it. While no region can be had
//! the thread works without a cache and asks again; without a hook it does so for ever.

use super::Heap;
use super::flush::left;
use crate::cache::per_thread::{Busy, Stay};
use crate::cache::region::Region;
use crate::cache::revoke::empty_all;
use crate::os::{ErrnoGuard, memory};
use crate::rseq::area;
use crate::rseq::thread_block::{self, Life, ThreadBlock};
use crate::size_class::SizeClass;
use crate::sync::tagged_stack::{Links, TaggedStack};
use crate::sync::{AtomicPtr, AtomicU32, Ordering, compiler_fence};
use core::ffi::c_void;
use core::ptr::{self, NonNull};

/// Regions in a chunk.
const CHUNK: usize = 64;
/// Chunks at most: 65,536 threads at a time have a cache.
const CHUNKS: usize = 1024;

/// After the kernel has refused a chunk, it is asked again at each so many misses of threads without a region.
const ASK_EVERY: u32 = 64;

/// All threads' regions. Zeroed memory is valid.
pub(crate) struct ThreadRegions {
    /// The chunks' memory. Each written once, by whoever makes the chunk.
    chunks: [AtomicPtr<u8>; CHUNKS],
    /// How many regions were ever handed out. Only grows.
    made: AtomicU32,
    /// Misses since the kernel refused a chunk; 0 if it did not. Written by those who ask for one.
    refused: AtomicU32,
    /// Regions without a thread.
    idle: TaggedStack,
    /// The links of `idle`. A region's link is written by whoever gives the region up.
    links: [AtomicU32; CHUNK * CHUNKS],
}

impl Links for ThreadRegions {
    fn link(&self, index: u32) -> &AtomicU32 {
        &self.links[index as usize % self.links.len()]
    }
}

impl ThreadRegions {
    /// How many regions were made.
    pub(crate) fn made(&self) -> u32 {
        // Relaxed: a statistic.
        self.made.load(Ordering::Relaxed).min((CHUNK * CHUNKS) as u32)
    }

    /// Whether the kernel may be asked for a chunk.
    fn may_ask(&self) -> bool {
        // Relaxed: a hint.
        self.refused.load(Ordering::Relaxed) == 0
            || self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(ASK_EVERY)
    }

    /// Notes what the kernel said.
    fn note<T, E>(&self, answer: Result<T, E>) -> Option<T> {
        // Relaxed: a hint.
        match &answer {
            Ok(_) => self.refused.store(0, Ordering::Relaxed),
            Err(_) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
        answer.ok()
    }
}

impl Heap {
    /// The calling thread's region: its own, or a new one if it may have one.
    pub(super) fn thread_region(&self) -> Option<Region> {
        let block = thread_block::current();
        if block.region.get().is_null() {
            return self.settle_in(block);
        }
        let busy = Busy::enter()?;
        if !Stay::is_asked_for() {
            self.follow(&busy);
        }
        Some(busy.region())
    }

    /// Gives the thread a region and arms its exit hook. Without a region the thread asks again at its next
    /// miss; one whose hook can't be armed does without for ever.
    fn settle_in(&self, block: &ThreadBlock) -> Option<Region> {
        let before = block.life();
        if matches!(before, Life::Settling | Life::Leaving) {
            return None;
        }
        let _errno = ErrnoGuard::new();
        // Arming may allocate: such a request, and a handler's, finds the thread settling.
        block.set_life(Life::Settling);
        compiler_fence(Ordering::SeqCst);
        if !block.region.get().is_null() {
            // A handler has settled this thread since it looked.
            block.set_life(Life::Served);
            return Busy::enter().map(|busy| busy.region());
        }
        let taken = self.take_region();
        let armed = taken.filter(|(index, _)| self.arm_exit(Some(*index)));
        match (armed, taken) {
            (Some((_, region)), _) => {
                region.set_node(self.current_node());
                block.region.set(region.base());
                block.free_region.set(region.base());
            }
            (None, Some((index, _))) => self.shared.threads.idle.push(&self.shared.threads, index),
            (None, None) => {}
        }
        compiler_fence(Ordering::SeqCst);
        block.set_life(match (armed, taken) {
            (Some(_), _) => Life::Served,
            (None, Some(_)) => Life::Leaving,
            (None, None) => before,
        });
        armed.map(|(_, region)| region)
    }

    /// Lets the region of a thread that has moved to another node follow it: its blocks go home, and its
    /// lists are for the new node from then on.
    fn follow(&self, busy: &Busy) {
        let node = self.current_node();
        if node != busy.region().node() {
            self.empty_region(busy.region());
            busy.region().set_node(node);
        }
    }

    /// Empties the calling thread's own region, if it has one, and ties it to the node for which the thread
    /// works by now. Does nothing inside a slow path that a signal interrupted: the region follows at the
    /// thread's next miss.
    pub(super) fn follow_at_once(&self) {
        if let Some(busy) = Busy::enter()
            && !Stay::is_asked_for()
        {
            self.empty_region(busy.region());
            busy.region().set_node(self.current_node());
        }
    }

    /// Gives back everything that a region holds, which the caller owns.
    fn empty_region(&self, region: Region) {
        empty_all(region, &self.layout, |list, class, blocks| {
            region.control().events.add(left(list), blocks.len());
            self.give_home(class, blocks);
        });
        for class in SizeClass::all() {
            self.let_go_of_held(region, class);
        }
    }

    /// An empty region without a thread.
    fn take_region(&self) -> Option<(u32, Region)> {
        let index = self.take_number()?;
        match self.region_at(index).or_else(|| self.make_region(index)) {
            Some(region) => Some((index, region)),
            None => {
                // No memory now; the number stays known, its chunk is tried again at the next use.
                self.shared.threads.idle.push(&self.shared.threads, index);
                None
            }
        }
    }

    /// The number of a region without a thread, or one that no region had yet.
    fn take_number(&self) -> Option<u32> {
        let threads = &self.shared.threads;
        if let Some(index) = threads.idle.pop(threads) {
            return Some(index);
        }
        // Relaxed: the number is all that is handed out.
        if threads.made.load(Ordering::Relaxed) as usize >= CHUNK * CHUNKS {
            return None;
        }
        let index = threads.made.fetch_add(1, Ordering::Relaxed);
        ((index as usize) < CHUNK * CHUNKS).then_some(index)
    }

    /// The region with this number, if its chunk exists.
    pub(crate) fn region_at(&self, index: u32) -> Option<Region> {
        let start = self.region_start(index)?;
        // SAFETY: `make_region` made a region there, or the chunk's zeroed memory is one for node 0.
        unsafe { Region::from_base(start.as_ptr().add(crate::cache::region::CONTROL_BYTES)) }
    }

    fn region_start(&self, index: u32) -> Option<NonNull<u8>> {
        let (chunk, place) = (index as usize / CHUNK, index as usize % CHUNK);
        // Acquire: pairs with the Release in `make_region`.
        let memory = NonNull::new(self.shared.threads.chunks.get(chunk)?.load(Ordering::Acquire))?;
        // SAFETY: a chunk has `CHUNK` strides.
        Some(unsafe { memory.add(place * Region::stride(&self.layout)) })
    }

    /// Calls `visit` with the memory of each chunk of threads' regions, and its bytes: for statistics.
    pub(crate) fn for_each_thread_chunk(&self, mut visit: impl FnMut(NonNull<u8>, usize)) {
        let bytes = CHUNK * Region::stride(&self.layout);
        let made = (0..CHUNKS as u32).map_while(|chunk| self.region_start(chunk * CHUNK as u32));
        made.for_each(|at| visit(at, bytes));
    }

    fn make_region(&self, index: u32) -> Option<Region> {
        let chunk = self.shared.threads.chunks.get(index as usize / CHUNK)?;
        if self.region_start(index).is_none() {
            let bytes = CHUNK * Region::stride(&self.layout);
            let threads = &self.shared.threads;
            let memory = threads.may_ask().then(|| threads.note(memory::map(bytes))).flatten()?;
            // SAFETY: a fresh mapping; the advice changes no contents.
            let _ = unsafe { memory::advise(memory, bytes, memory::Advice::NoHugePage) };
            // Release: pairs with the Acquire in `region_start`.
            let first = chunk.compare_exchange(
                ptr::null_mut(),
                memory.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            if first.is_err() {
                // SAFETY: another thread made the chunk; this one is nobody's.
                let _ = unsafe { memory::unmap(memory, bytes) };
            }
        }
        let start = self.region_start(index)?;
        // SAFETY: one stride of the chunk, zeroed, for this number alone.
        Some(unsafe { Region::new(start, self.current_node()) })
    }

    /// Arms the exit hook of the calling thread, with the number of its region if it has one.
    pub(super) fn arm_exit(&self, region: Option<u32>) -> bool {
        // Numbers count from 2, so that no value is null; 1 says "no region".
        let value = region.map_or(1, |index| index as usize + 2);
        match (&self.exit, NonNull::new(ptr::without_provenance_mut::<c_void>(value))) {
            (Some(exit), Some(value)) => exit.arm(value).is_ok(),
            _ => false,
        }
    }

    /// Gives back everything that a region holds, and the region. The caller owns it.
    fn give_up_region(&self, index: u32) {
        let Some(region) = self.region_at(index) else { return };
        self.empty_region(region);
        self.shared.threads.idle.push(&self.shared.threads, index);
    }

    /// Empties the calling thread's own region, if it has one and is not inside it.
    pub(super) fn drain_own_thread(&self) {
        if let Some(busy) = Busy::enter() {
            self.empty_region(busy.region());
        }
    }

    /// Lists the slab that a region holds for `class`.
    pub(super) fn let_go_of_held(&self, region: Region, class: SizeClass) {
        let Some(held) = region.control().held.get(class.index()) else { return };
        self.let_go_of(held, class);
    }
}

/// The exit hook: empties the thread's cache, ends its own rseq registration. From then on the thread
/// works without a cache.
///
/// # Safety
/// Called by pthread, on the ending thread, with what [`Heap::arm_exit`] armed.
pub(crate) unsafe extern "C" fn on_exit(value: *mut c_void) {
    let block = thread_block::current();
    block.set_life(Life::Leaving);
    block.free_region.set(ptr::null_mut());
    block.region.set(ptr::null_mut());
    compiler_fence(Ordering::SeqCst);
    area::unregister_own();
    if let (Some(heap), Some(index)) = (Heap::get(), value.addr().checked_sub(2)) {
        heap.give_up_region(index as u32);
    }
}

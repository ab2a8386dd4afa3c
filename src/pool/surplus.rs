//! How much free memory a node keeps, and giving back what is beyond.
//!
//! A node keeps a slack: some percent of what is in use, and a floor. What is free beyond that goes back to
//! the kernel soon, a little at a time. That would be dear for a program that takes the same memory again
//! and again, so each byte taken that had gone back is regretted: it adds to the slack, and the sum fades
//! over some time. So a heap that breathes pays for a breath or two, and then the slack is as large as its
//! breath.
//!
//! Neighbours: [`super::tiers`] releases whole SuperSlabs, [`super::purge`] parts of them.

use super::Pool;
use super::purge::Want;
use super::tiers::FreeBounds;
use crate::slab::avail::State;
use crate::slab::space::SuperIndex;
use crate::sync::Ordering;
use crate::units::{PIECE_BYTES, PIECES, SUPERSLAB_BYTES};

/// How long it is between two looks, at least, in milliseconds.
const LOOK_MS: u64 = 10;
/// And a millisecond more for so many SuperSlabs, of which each takes a microsecond at most to look at: so
/// looking never takes more than some percent of anybody's time.
const LOOKS_PER_MS: u64 = 16;
/// The part of a node's SuperSlabs by which what is free must have grown for a look whatever the clock says.
const WORTHWHILE: usize = 64;
/// For each call into the kernel, then, so many bytes must have come.
const BYTES_PER_CALL: usize = 4 << 10;
/// How long it takes until regret has faded to a third, in milliseconds.
const FADING_MS: u64 = 10_000;

/// How much a node keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slack {
    /// Of what is in use.
    pub(crate) percent: usize,
    /// At least so many bytes.
    pub(crate) least_bytes: usize,
}

/// A node at a glance.
#[derive(Clone, Copy, Debug, Default)]
struct Glance {
    /// Bytes in use: handed out, in a cache, or free in too small blocks to go back.
    used: usize,
    /// Bytes that are free, and that the kernel backs.
    dirty: usize,
    /// Likewise, but in SuperSlabs that may not be split yet.
    scattered: usize,
    /// SuperSlabs of which every piece is free.
    free: usize,
}

impl Pool<'_> {
    /// Notes that `bytes` bytes were taken that had gone back to the kernel.
    pub(super) fn regret(&self, bytes: usize) {
        // Relaxed: a rule of thumb.
        self.node.regretted.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that a SuperSlab is taken from the kernel.
    pub(super) fn regret_superslab(&self) {
        let released = &self.node.released;
        // Relaxed: a rule of thumb.
        if released.load(Ordering::Relaxed) > 0
            && released.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
        {
            self.regret(SUPERSLAB_BYTES);
        }
    }

    /// Gives what is free beyond the slack back to the kernel, with `calls` calls into it at most, if it is
    /// time to look; returns the bytes.
    pub(crate) fn release_surplus(&self, now_ms: u64, calls: usize) -> usize {
        let Some(since_ms) = self.begin_look(now_ms) else { return 0 };
        let glance = self.glance();
        let slack = self.slack(glance.used, since_ms);
        self.give_back(glance, Want { bytes: glance.dirty.saturating_sub(slack), calls })
    }

    /// How many bytes must have come back to slabs to be worth a look whatever the clock says.
    pub(crate) fn worthwhile_growth(&self) -> usize {
        // Relaxed: a rule of thumb.
        let superslabs = self.node.counts.superslabs.load(Ordering::Relaxed) as usize;
        self.settings.slack.least_bytes.max(superslabs * SUPERSLAB_BYTES / WORTHWHILE)
    }

    /// Gives what is free beyond the slack back to the kernel, since `growth` bytes have come; the work is in
    /// proportion to those. Returns whether it was worth a look: there is surplus, or will be if this goes on.
    pub(crate) fn release_grown(&self, now_ms: u64, growth: usize) -> bool {
        self.retire_if_worthwhile();
        // Relaxed: a clock.
        let since_ms = now_ms.saturating_sub(self.node.looked_ms.swap(now_ms, Ordering::Relaxed));
        let glance = self.glance();
        let slack = self.slack(glance.used, since_ms);
        let calls = growth / BYTES_PER_CALL;
        self.give_back(glance, Want { bytes: glance.dirty.saturating_sub(slack), calls });
        glance.dirty + glance.scattered > slack
    }

    /// Gives all that is free back to the kernel; returns the bytes.
    pub(crate) fn release_all(&self) -> usize {
        self.sort_all();
        let glance = self.glance();
        self.give_back(glance, Want::ALL)
    }

    /// About how many bytes stay free, at least.
    pub(super) fn least_slack(&self) -> usize {
        let slack = self.settings.slack;
        // Relaxed: a rule of thumb.
        let superslabs = self.node.counts.superslabs.load(Ordering::Relaxed) as usize;
        slack.least_bytes.max(superslabs * SUPERSLAB_BYTES / 100 * slack.percent)
    }

    fn give_back(&self, glance: Glance, mut want: Want) -> usize {
        let wanted = want.bytes;
        if wanted == 0 {
            return 0;
        }
        self.sort_returned();
        self.discard_kept(0, 0, &mut want);
        let keeps = glance.free.saturating_sub(wanted.div_ceil(SUPERSLAB_BYTES));
        let released =
            self.release_beyond(FreeBounds { superslabs: keeps, age_ms: u32::MAX }, 0, 0, &mut want);
        // Relaxed: a rule of thumb.
        self.node.released.fetch_add((released / SUPERSLAB_BYTES) as u64, Ordering::Relaxed);
        // What goes might come back from another node.
        if self.strict.is_none() {
            self.purge_pieces(&mut want);
            self.purge_blocks(&mut want);
        }
        wanted.saturating_sub(want.bytes)
    }

    /// Whether it is time for another look, and how long the last one is ago, in milliseconds. Only one thread
    /// hears so.
    fn begin_look(&self, now_ms: u64) -> Option<u64> {
        let superslabs = u64::from(self.node.counts.superslabs.load(Ordering::Relaxed));
        // Relaxed: a clock; the exchange lets one thread in.
        let last = self.node.looked_ms.load(Ordering::Relaxed);
        let since = now_ms.saturating_sub(last);
        let is_time = since >= LOOK_MS + superslabs / LOOKS_PER_MS
            && self
                .node
                .looked_ms
                .compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        is_time.then_some(since)
    }

    /// Bytes to keep, for one who has begun a look.
    fn slack(&self, used: usize, since_ms: u64) -> usize {
        let node = self.node;
        // Relaxed, and not one operation: one thread looks, and a rule of thumb.
        let regret = node.regret.load(Ordering::Relaxed);
        let faded = regret - regret * since_ms.min(FADING_MS) / FADING_MS;
        let regret = faded + node.regretted.swap(0, Ordering::Relaxed);
        node.regret.store(regret, Ordering::Relaxed);
        if regret == 0 {
            node.released.store(0, Ordering::Relaxed);
        }
        if self.budget.is_tight(0) {
            // Beyond the soft limit nothing is kept.
            return 0;
        }
        let slack = self.settings.slack;
        slack.least_bytes.max(used / 100 * slack.percent).saturating_add(regret as usize)
    }

    /// Looks at every SuperSlab that holds slabs, and at the freed Huge blocks, at about this moment; notes at
    /// each SuperSlab how much of it could go back. Of a Huge block it looks at the first SuperSlab only,
    /// however large the block is: the clock that says when to look knows nothing of those.
    fn glance(&self) -> Glance {
        let kept = self.node.huge_cache.superslabs() * SUPERSLAB_BYTES;
        let mut glance = Glance { dirty: kept, ..Glance::default() };
        let (range, mut next) = (self.range(), 0);
        while let Some(number) = range.next_used(next) {
            let superslab = self.superslab(number);
            self.glance_at(superslab, &mut glance);
            // Stale if the block ends at this moment: then what comes there is seen at the next look.
            next = number + self.space.superslab(superslab).huge().max(1);
        }
        glance
    }

    fn glance_at(&self, superslab: SuperIndex, glance: &mut Glance) {
        let descriptor = self.space.superslab(superslab);
        if descriptor.units().avail().state() == State::None {
            return;
        }
        let free = descriptor.units().word(0) as u32;
        if descriptor.is_on_reserved() {
            let is_free = free == u32::MAX;
            glance.dirty += if is_free { SUPERSLAB_BYTES } else { 0 };
            glance.used += if is_free { 0 } else { SUPERSLAB_BYTES };
            glance.free += usize::from(is_free);
            return;
        }
        let dirty = (free & descriptor.backed()).count_ones() as usize * PIECE_BYTES;
        let of_blocks = self.dirt_of_blocks(superslab);
        descriptor.set_dirt(dirty + of_blocks);
        let is_free = free == u32::MAX;
        let goes = if is_free || self.may_split(superslab) { dirty + of_blocks } else { 0 };
        glance.dirty += goes;
        glance.scattered += dirty + of_blocks - goes;
        glance.used += ((PIECES - free.count_ones() as usize) * PIECE_BYTES).saturating_sub(of_blocks);
        glance.free += usize::from(is_free);
    }
}

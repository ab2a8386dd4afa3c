//! A model of the machine's caches, fed by every atomic operation of the crate (cargo feature
//! `line-counts`, for the cost model in `docs/cost-model.md`).
//!
//! For each cache line it keeps who wrote it last and which CPUs have read it since: a write by a CPU that is
//! not the only one with a copy, and a read by one without, each fetch the line from elsewhere: from the
//! writer's cache, on the same node or on another. Caches are infinite, and lines know no neighbours.
//!
//! What only critical sections touch (the lists of a region) is not seen; it is private to its CPU. So are
//! the blocks, which are the program's own affair.
//!
//! The model slows everything down and loses a race now and then. Figures are for ratios, not for time.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// CPUs that are told apart; those beyond are not counted.
pub const MOST_CPUS: usize = 32;
/// Lines that are told apart: others evict one another, and count as [`Lines::cold`].
const LINES: usize = 1 << 21;
const LINE_SHIFT: u32 = 6;

/// What an operation does to its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Load,
    Store,
    /// A read-modify-write that was done.
    Update,
    /// A compare-and-exchange that found another value.
    FailedUpdate,
}

/// How often each thing happened, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Atomic read-modify-writes that were done.
    pub updates: u64,
    /// Those that found another value than expected, and were tried again or given up.
    pub failed_updates: u64,
    /// Plain atomic stores.
    pub stores: u64,
    /// Writes to a line that another CPU of the same node had.
    pub written_near: u64,
    /// Writes to a line that a CPU of another node had.
    pub written_far: u64,
    /// Reads of a line that a CPU of the same node had written.
    pub read_near: u64,
    /// Reads of a line that a CPU of another node had written.
    pub read_far: u64,
    /// Accesses to lines of which nothing was known.
    pub cold: u64,
}

const KINDS: usize = 8;

/// The counters of one CPU, on lines of their own.
#[repr(align(128))]
struct Counters([AtomicU64; KINDS]);

static COUNTERS: [Counters; MOST_CPUS] =
    [const { Counters([const { AtomicU64::new(0) }; KINDS]) }; MOST_CPUS];
/// The node of each CPU.
static NODES: [AtomicU8; MOST_CPUS] = [const { AtomicU8::new(0) }; MOST_CPUS];
/// What is known of each line: a [`Line`].
static TABLE: [AtomicU64; LINES] = [const { AtomicU64::new(0) }; LINES];

/// Says on which node each CPU is: `nodes[cpu]`.
pub fn set_nodes(nodes: &[u8]) {
    for (known, node) in NODES.iter().zip(nodes) {
        // Relaxed, here and below: figures, nothing is published by them.
        known.store(*node, Ordering::Relaxed);
    }
}

/// Whether accesses are counted.
static ON: AtomicBool = AtomicBool::new(false);

/// Switches counting on or off. Who takes a snapshot of the statistics reads every line, and should switch it
/// off meanwhile.
pub fn set_counting(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// What was counted since the process began.
pub fn lines() -> Lines {
    let sum = |kind: usize| COUNTERS.iter().map(|counters| counters.0[kind].load(Ordering::Relaxed)).sum();
    Lines {
        updates: sum(0),
        failed_updates: sum(1),
        stores: sum(2),
        written_near: sum(3),
        written_far: sum(4),
        read_near: sum(5),
        read_far: sum(6),
        cold: sum(7),
    }
}

/// `{tag: 24, writer: 8, copies: 32}`: the upper bits of the line's number plus one, who wrote it last, and
/// which CPUs have a copy.
#[derive(Clone, Copy)]
struct Line(u64);

impl Line {
    fn new(tag: u64, writer: usize, copies: u32) -> Self {
        Self(tag << 40 | (writer as u64) << 32 | u64::from(copies))
    }

    const fn tag(self) -> u64 {
        self.0 >> 40
    }

    const fn writer(self) -> usize {
        self.0 as usize >> 32 & 0xff
    }

    const fn copies(self) -> u32 {
        self.0 as u32
    }
}

/// Counts an access by the calling thread.
pub(super) fn count(address: usize, access: Access) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: takes no argument, touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() } as usize;
    let Some(counters) = COUNTERS.get(cpu) else { return };
    let add = |kind: usize| counters.0[kind].fetch_add(1, Ordering::Relaxed);
    match access {
        Access::Load => {}
        Access::Update => drop(add(0)),
        Access::FailedUpdate => drop(add(1)),
        Access::Store => drop(add(2)),
    }
    let (number, bit) = (address >> LINE_SHIFT, 1 << cpu);
    let tag = ((number / LINES) as u64 & 0xff_ffff) + 1;
    let entry = &TABLE[number % LINES];
    let known = Line(entry.load(Ordering::Relaxed));
    let is_known = known.tag() == tag;
    let is_read = access == Access::Load;
    let kind = match (is_known, is_read) {
        (false, _) => 7,
        (true, true) if known.copies() & bit != 0 => return,
        (true, true) => 5 + usize::from(is_far(known.writer(), cpu)),
        (true, false) if known.copies() == bit => return,
        (true, false) => {
            let others = (0..MOST_CPUS).filter(|other| known.copies() & !bit & 1 << other != 0);
            3 + usize::from({ others }.any(|other| is_far(other, cpu)))
        }
    };
    add(kind);
    let new = match (is_known, is_read) {
        (true, true) => Line::new(tag, known.writer(), known.copies() | bit),
        _ => Line::new(tag, cpu, bit),
    };
    entry.store(new.0, Ordering::Relaxed);
}

fn is_far(a: usize, b: usize) -> bool {
    let node = |cpu: usize| NODES.get(cpu).map(|node| node.load(Ordering::Relaxed));
    node(a) != node(b)
}

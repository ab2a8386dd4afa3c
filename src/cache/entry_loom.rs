//! Loom models of [`super`]: one CPU, whose region is a list of two cells.
//!
//! What the kernel guarantees is a lock here: it runs one section at a time to its end or not at all, and
//! when the fence returns, each section has ended or begins later. The section's plain load of the entry is
//! an Acquire: it stands for the address dependency through which a section reads a region.

use super::*;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::vec::Vec;

const CELLS: usize = 2;

/// A region: how many blocks it has, and which. Plain memory: loom reports two who touch it at once.
struct List {
    len: UnsafeCell<usize>,
    cells: [UnsafeCell<u32>; CELLS],
}

struct World {
    entry: Entry,
    /// Held by who runs a section on the CPU.
    cpu: Mutex<()>,
    list: List,
    /// Blocks that went to the layer below.
    below: Mutex<Vec<u32>>,
}

fn region() -> *mut u8 {
    core::ptr::without_provenance_mut(16)
}

fn empty() -> *mut u8 {
    core::ptr::without_provenance_mut(32)
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            entry: Entry::new(region()),
            cpu: Mutex::new(()),
            list: List { len: UnsafeCell::new(0), cells: [UnsafeCell::new(0), UnsafeCell::new(0)] },
            below: Mutex::new(Vec::new()),
        })
    }

    /// Runs a critical section: on the region, or not at all if there is none.
    fn section<T>(&self, body: impl FnOnce(&List) -> Option<T>) -> Option<T> {
        let _on_the_cpu = self.cpu.lock().unwrap();
        // SAFETY (of the accesses in `body`): loom checks that nobody else touches the region.
        if self.entry.base.load(Ordering::Acquire) == region() { body(&self.list) } else { None }
    }

    fn push(&self, block: u32) {
        let pushed = self.section(|list| {
            // SAFETY: the section has the region to itself; loom checks it.
            let len = list.len.with(|len| unsafe { *len });
            let cell = list.cells.get(len)?;
            // SAFETY: as above.
            cell.with_mut(|cell| unsafe { *cell = block });
            // SAFETY: as above.
            list.len.with_mut(|len| unsafe { *len += 1 });
            Some(())
        });
        if pushed.is_none() {
            self.below.lock().unwrap().push(block);
        }
    }

    fn pop(&self) -> Option<u32> {
        self.section(|list| {
            // SAFETY: as in `push`.
            let len = list.len.with(|len| unsafe { *len }).checked_sub(1)?;
            // SAFETY: as above.
            list.len.with_mut(|to| unsafe { *to = len });
            // SAFETY: as above.
            Some(list.cells[len].with(|cell| unsafe { *cell }))
        })
    }

    /// Takes the region away and gives its blocks to the layer below; whether it could.
    fn drain(&self, has_fence: bool) -> bool {
        let fence = || {
            if has_fence {
                drop(self.cpu.lock().unwrap());
            }
            has_fence
        };
        let Some(taken) = self.entry.take_away(empty(), fence) else { return false };
        assert_eq!(taken.base(), region());
        // SAFETY: the region is taken away; loom checks that nobody else touches it.
        let len = self.list.len.with_mut(|len| unsafe { std::mem::take(&mut *len) });
        let mut below = self.below.lock().unwrap();
        // SAFETY: as above.
        below.extend(self.list.cells[..len].iter().map(|cell| cell.with(|cell| unsafe { *cell })));
        true
    }

    /// All blocks, wherever they are, sorted.
    fn all(&self, popped: impl IntoIterator<Item = Option<u32>>) -> Vec<u32> {
        assert_eq!(self.entry.in_use(empty()), Some(region()));
        let mut all: Vec<u32> = self.below.lock().unwrap().drain(..).collect();
        all.extend(popped.into_iter().flatten());
        all.extend(core::iter::from_fn(|| self.pop()));
        all.sort_unstable();
        all
    }
}

/// Explores with at most three preemptions: the whole state space is too large.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_region_taken_away_is_touched_by_nobody_else() {
    check(|| {
        let w = World::new();
        w.push(1);
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                w.push(2);
                w.pop()
            })
        };
        w.drain(true);
        let mine = w.pop();
        let popped = [mine, other.join().unwrap()];
        assert_eq!(w.all(popped), [1, 2]);
    });
}

#[test]
fn of_two_who_want_a_region_one_at_a_time_has_it() {
    check(|| {
        let w = World::new();
        w.push(1);
        let others: Vec<_> = [2, 3]
            .map(|block| {
                let w = w.clone();
                thread::spawn(move || {
                    if block == 2 {
                        w.drain(true);
                    } else {
                        w.push(block);
                    }
                })
            })
            .into();
        w.drain(true);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(w.all([]), [1, 3]);
    });
}

#[test]
fn a_region_without_a_fence_stays_with_its_cpu() {
    check(|| {
        let w = World::new();
        w.push(1);
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                w.push(2);
                w.pop()
            })
        };
        assert!(!w.drain(false));
        let popped = other.join().unwrap();
        assert_eq!(w.all([popped]), [1, 2]);
    });
}

//! A contestant that keeps books on every block, for the tests of the workloads.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use crate::block::{Bounds, Contestant};

/// What happened to the blocks of a workload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Blocks allocated.
    pub(super) taken: usize,
    /// Blocks not given back yet.
    pub(super) live: usize,
    /// Blocks given back by another thread than allocated them.
    pub(super) foreign_frees: usize,
}

/// Every live block: its layout and the thread that allocated it.
#[derive(Default)]
struct Books {
    live: HashMap<usize, (Layout, ThreadId)>,
    counts: Counts,
}

static BOOKS: Mutex<Option<Books>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// `System` with books. It panics at a free of what is not live or with a wrong layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted;

impl Counted {
    /// Runs `work` and says what it did to its blocks. Other tests wait meanwhile.
    pub(super) fn counts_of(work: impl FnOnce()) -> Counts {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        *books() = Some(Books::default());
        work();
        let books = books().take().expect("set above");
        Counts { live: books.live.len(), ..books.counts }
    }
}

fn books() -> MutexGuard<'static, Option<Books>> {
    BOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: one heap, `System`.
unsafe impl Contestant for Counted {
    fn for_this_thread(_: Bounds) -> Self {
        Self
    }
}

// SAFETY: forwards to `System`; the books are kept beside.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is this method's.
        let ptr = unsafe { System.alloc(layout) };
        let mut books = books();
        let books = books.as_mut().expect("only used within counts_of");
        books.counts.taken += 1;
        let before = books.live.insert(ptr.addr(), (layout, thread::current().id()));
        assert!(before.is_none(), "two live blocks at one address");
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let mut books = books();
        let books = books.as_mut().expect("only used within counts_of");
        let (taken_with, owner) = books.live.remove(&ptr.addr()).expect("the block is live");
        assert_eq!(taken_with, layout);
        books.counts.foreign_frees += usize::from(owner != thread::current().id());
        // SAFETY: the caller's promise is this method's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

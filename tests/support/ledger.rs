//! Who has which address: one byte for every 8 bytes of address space, so that no block, however small,
//! is with two owners unseen.
//!
//! Lock-free, so that signal handlers and forked children may use it. The books are made where blocks
//! turn up, a GiB of address space at a time.

use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// Address space of a book, as a power of two.
const BOOK_SHIFT: u32 = 30;
const BOOKS: usize = 1 << (47 - BOOK_SHIFT);
const BOOK_BYTES: usize = 1 << (BOOK_SHIFT - 3);

/// Each null, or a mapping of `BOOK_BYTES` entries: 0 for free, else the owner. Made by whoever is first.
static BOOKS_BY_ADDRESS: [AtomicPtr<AtomicU8>; BOOKS] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; BOOKS];

/// Notes that `owner` (not 0) has the block at `address` now; `false` if somebody else has it already.
pub(crate) fn enter(address: usize, owner: u8) -> bool {
    // Relaxed, here and below: nothing is published; each entry is a matter of its own.
    entry(address).compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Notes that `owner` is about to give the block at `address` up; `false` if it was not its owner.
pub(crate) fn strike(address: usize, owner: u8) -> bool {
    entry(address).compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Notes that the block at `address` goes from one owner to another.
pub(crate) fn pass(address: usize, from: u8, to: u8) -> bool {
    entry(address).compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

fn entry(address: usize) -> &'static AtomicU8 {
    let (book, at) = (address >> BOOK_SHIFT, (address % (1 << BOOK_SHIFT)) >> 3);
    // SAFETY: a book has an entry for every 8 bytes of its address space, and is never unmapped.
    unsafe { &*open(&BOOKS_BY_ADDRESS[book]).add(at) }
}

fn open(book: &AtomicPtr<AtomicU8>) -> *const AtomicU8 {
    // Acquire: pairs with the Release below.
    let found = book.load(Ordering::Acquire);
    if !found.is_null() {
        return found;
    }
    // SAFETY: a new mapping of zeroes, which are free entries.
    let fresh = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            BOOK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    assert_ne!(fresh, libc::MAP_FAILED);
    match book.compare_exchange(std::ptr::null_mut(), fresh.cast(), Ordering::Release, Ordering::Acquire) {
        Ok(_) => fresh.cast(),
        Err(winner) => {
            // SAFETY: nobody has seen it.
            unsafe { libc::munmap(fresh, BOOK_BYTES) };
            winner
        }
    }
}

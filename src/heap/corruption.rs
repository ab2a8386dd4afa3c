//! The last words: one line that names the pointer and what is wrong with it, then abort.

use crate::os::fatal::{Line, die};
use crate::pool::blocks::Corruption;
use crate::size_class::SizeClass;

/// A pointer that this allocator never handed out.
#[cold]
#[inline(never)]
pub(crate) fn foreign(block: *mut u8) -> ! {
    die(Line::new().push_str("free of ").push_hex(block.addr()).push_str(": not from this allocator"))
}

/// A pointer into this allocator's memory at which no block begins.
#[cold]
#[inline(never)]
pub(crate) fn no_block(block: *mut u8) -> ! {
    die(Line::new().push_str("free of ").push_hex(block.addr()).push_str(": no block begins there"))
}

/// A block of `class` that can't be given back.
#[cold]
#[inline(never)]
pub(crate) fn found(block: *mut u8, class: SizeClass, what: Corruption) -> ! {
    let mut line = Line::new();
    line.push_str(match what {
        Corruption::DoubleFree => "double free of ",
        Corruption::NotABlock | Corruption::WrongClass(_) => "free of ",
    });
    line.push_hex(block.addr()).push_str(" as a block of ").push_dec(class.bytes() as u64).push_str(" bytes");
    match what {
        Corruption::DoubleFree => {}
        Corruption::NotABlock => {
            line.push_str(": no such block");
        }
        Corruption::WrongClass(real) => {
            line.push_str(": it is one of ").push_dec(real.bytes() as u64).push_str(" bytes");
        }
    }
    die(&line)
}

/// A Huge block that is none.
#[cold]
#[inline(never)]
pub(crate) fn not_huge(block: *mut u8, size: usize) -> ! {
    die(Line::new()
        .push_str("free of ")
        .push_hex(block.addr())
        .push_str(" as a block of ")
        .push_dec(size as u64)
        .push_str(" bytes: no such block"))
}

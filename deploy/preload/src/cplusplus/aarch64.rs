//! The forms of `operator new` that throw, for aarch64.
//!
//! Each calls Rust for a block, with its arguments kept on the stack. If there is none it asks where the C++
//! runtime's own form is and jumps there, with the arguments as they came and nothing of its own on the stack.

use super::runtime::{Form, find_or_die};
use crate::HEAP;
use core::arch::naked_asm;

/// A block of `size` bytes or null.
extern "C" fn block(size: usize) -> *mut u8 {
    HEAP.malloc(size)
}

/// A block of `size` bytes aligned to `align` or null.
extern "C" fn aligned_block(size: usize, align: usize) -> *mut u8 {
    HEAP.malloc_aligned(size, align)
}

/// Defines the forms with and without an alignment of `new` or `new[]`.
macro_rules! news {
    ($($plain:ident, $aligned:ident;)+) => { $(
        /// A block of `size` bytes, aligned to 16; throws `std::bad_alloc` if there is no memory.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        #[allow(non_snake_case)]
        pub extern "C-unwind" fn $plain(size: usize) -> *mut u8 {
            naked_asm!(
                ".cfi_startproc",
                "stp x30, x0, [sp, #-16]!",
                ".cfi_adjust_cfa_offset 16",
                ".cfi_rel_offset x30, 0",
                "bl {block}",
                "cbz x0, 2f",
                "ldr x30, [sp], #16",
                ".cfi_adjust_cfa_offset -16",
                ".cfi_restore x30",
                "ret",
                ".cfi_adjust_cfa_offset 16",
                ".cfi_rel_offset x30, 0",
                "2: mov w0, {form}",
                "bl {find}",
                "mov x16, x0",
                "ldp x30, x0, [sp], #16",
                ".cfi_adjust_cfa_offset -16",
                ".cfi_restore x30",
                "br x16",
                ".cfi_endproc",
                block = sym block,
                find = sym find_or_die,
                form = const Form::$plain as usize,
            )
        }

        /// A block of `size` bytes, aligned to `align`, a power of two; throws `std::bad_alloc` if there is no
        /// memory.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        #[allow(non_snake_case)]
        pub extern "C-unwind" fn $aligned(size: usize, align: usize) -> *mut u8 {
            naked_asm!(
                ".cfi_startproc",
                "stp x30, x0, [sp, #-32]!",
                ".cfi_adjust_cfa_offset 32",
                ".cfi_rel_offset x30, 0",
                "str x1, [sp, #16]",
                "bl {block}",
                "cbz x0, 2f",
                "ldr x30, [sp], #32",
                ".cfi_adjust_cfa_offset -32",
                ".cfi_restore x30",
                "ret",
                ".cfi_adjust_cfa_offset 32",
                ".cfi_rel_offset x30, 0",
                "2: mov w0, {form}",
                "bl {find}",
                "mov x16, x0",
                "ldr x1, [sp, #16]",
                "ldp x30, x0, [sp], #32",
                ".cfi_adjust_cfa_offset -32",
                ".cfi_restore x30",
                "br x16",
                ".cfi_endproc",
                block = sym aligned_block,
                find = sym find_or_die,
                form = const Form::$aligned as usize,
            )
        }
    )+ };
}

news! {
    _Znwm, _ZnwmSt11align_val_t;
    _Znam, _ZnamSt11align_val_t;
}

//! The forms of `operator new` that throw, for x86-64.
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
                "push rdi",
                ".cfi_adjust_cfa_offset 8",
                "call {block}",
                "test rax, rax",
                "jz 2f",
                "pop rdi",
                ".cfi_adjust_cfa_offset -8",
                "ret",
                ".cfi_adjust_cfa_offset 8",
                "2: mov edi, {form}",
                "call {find}",
                "pop rdi",
                ".cfi_adjust_cfa_offset -8",
                "jmp rax",
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
                "sub rsp, 24",
                ".cfi_adjust_cfa_offset 24",
                "mov [rsp], rdi",
                "mov [rsp + 8], rsi",
                "call {block}",
                "test rax, rax",
                "jz 2f",
                "add rsp, 24",
                ".cfi_adjust_cfa_offset -24",
                "ret",
                ".cfi_adjust_cfa_offset 24",
                "2: mov edi, {form}",
                "call {find}",
                "mov rdi, [rsp]",
                "mov rsi, [rsp + 8]",
                "add rsp, 24",
                ".cfi_adjust_cfa_offset -24",
                "jmp rax",
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

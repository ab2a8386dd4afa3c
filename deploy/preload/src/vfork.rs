//! `vfork`, which lends the thread to the child: programs do more there than POSIX allows.
//!
//! The C library's own would do but for one thing: the child has no restartable sequences (rseq(2)), and the
//! allocator must know. The function returns twice, the first time to the child, which writes over the stack on
//! which the second return address would lie: so that is in a register while the child runs, which only assembly
//! can have. `posix_spawn(3)`, `system(3)` and `popen(3)` do not come here, and allocate nothing in the child.

use crate::HEAP;
use core::arch::naked_asm;
use core::ffi::c_int;
use core_api::os::Errno;

/// The calling thread is about to be lent.
extern "C" fn lend() {
    HEAP.before_vfork();
}

/// The thread is back. `answer` is what the system call returned: the child, or an error below 0, which becomes
/// `errno` and -1.
extern "C" fn take_back(answer: isize) -> c_int {
    HEAP.after_vfork();
    if answer < 0 {
        Errno(-answer as i32).set();
        return -1;
    }
    answer as c_int
}

/// A child that has the calling thread's memory, and its stack, until it executes a program or ends; vfork(2).
/// 0 in the child; -1 and `errno` if there is none. The child may allocate, and give back, as the thread could.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn vfork() -> c_int {
    naked_asm!(
        ".cfi_startproc",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {lend}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        // The kernel keeps all registers but rax, rcx and r11, for the child and for the thread.
        "pop rdx",
        ".cfi_adjust_cfa_offset -8",
        ".cfi_register rip, rdx",
        "mov eax, {vfork}",
        "syscall",
        "push rdx",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rip, 0",
        "test rax, rax",
        "jz 2f",
        "mov rdi, rax",
        "jmp {take_back}",
        "2: ret",
        ".cfi_endproc",
        lend = sym lend,
        take_back = sym take_back,
        vfork = const libc::SYS_vfork,
    )
}

/// A child that has the calling thread's memory, and its stack, until it executes a program or ends; vfork(2).
/// 0 in the child; -1 and `errno` if there is none. The child may allocate, and give back, as the thread could.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub extern "C" fn vfork() -> c_int {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_adjust_cfa_offset 16",
        ".cfi_rel_offset x30, 8",
        "bl {lend}",
        "ldp x29, x30, [sp], #16",
        ".cfi_adjust_cfa_offset -16",
        ".cfi_restore x30",
        // The kernel keeps all registers but x0, x30 among them, for the child and for the thread.
        "mov x0, #{flags}",
        "mov x1, #0",
        "mov x8, #{clone}",
        "svc #0",
        "cbz x0, 2f",
        "b {take_back}",
        "2: ret",
        ".cfi_endproc",
        lend = sym lend,
        take_back = sym take_back,
        flags = const libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
        clone = const libc::SYS_clone,
    )
}

//! `operator delete`, in all forms: each gives the block back.

use crate::blocks::free;
use core::ffi::c_void;

/// Defines forms of `delete`: name and what follows the block.
macro_rules! deletes {
    ($($name:ident($($ignored:ident: $type:ty),*);)+) => { $(
        /// Gives a block back; nothing happens for null.
        ///
        /// # Safety
        /// As `free`.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub unsafe extern "C" fn $name(block: *mut c_void, $($ignored: $type),*) {
            $( let _ = $ignored; )*
            // SAFETY: the same contract.
            unsafe { free(block) }
        }
    )+ };
}

deletes! {
    _ZdlPv();
    _ZdaPv();
    _ZdlPvm(size: usize);
    _ZdaPvm(size: usize);
    _ZdlPvRKSt9nothrow_t(tag: *const c_void);
    _ZdaPvRKSt9nothrow_t(tag: *const c_void);
    _ZdlPvSt11align_val_t(align: usize);
    _ZdaPvSt11align_val_t(align: usize);
    _ZdlPvmSt11align_val_t(size: usize, align: usize);
    _ZdaPvmSt11align_val_t(size: usize, align: usize);
    _ZdlPvSt11align_val_tRKSt9nothrow_t(align: usize, tag: *const c_void);
    _ZdaPvSt11align_val_tRKSt9nothrow_t(align: usize, tag: *const c_void);
}

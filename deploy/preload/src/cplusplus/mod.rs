//! C++'s `operator new` and `operator delete` in all their forms ([new.delete], Itanium ABI names).
//!
//! | form | `new` | `delete` |
//! | --- | --- | --- |
//! | plain, array | `_Znwm`, `_Znam` | `_ZdlPv`, `_ZdaPv` |
//! | that does not throw | `..RKSt9nothrow_t` | likewise |
//! | with an alignment | `..St11align_val_t..` | likewise |
//! | with a size | | `..m`, `..mSt11align_val_t` |
//!
//! A `new` that gets no memory has to call the program's new-handler and to throw `std::bad_alloc`, which only
//! C++ can. So it leaves to the C++ runtime's own `operator new`, as if the program had called that: it asks
//! our `malloc` again, and does what is due. Since no frame of Rust is there any more the exception need not
//! pass through one; that is why the functions which may throw are in assembly ([`arch`]).
//!
//! A `delete` with a size or an alignment ignores it: the address tells both, also for who gives a wrong one.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
pub mod arch;
pub mod delete;
pub mod nothrow;
mod runtime;

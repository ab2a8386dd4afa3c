//! Atomics that tell [`super::lines`] of every operation (cargo feature `line-counts`).

use super::lines::{self, Access};
use core::sync::atomic as plain;
pub(crate) use core::sync::atomic::{Ordering, compiler_fence};

macro_rules! counted {
    ($name:ident $(<$type:ident>)?, $value:ty) => {
        /// The atomic of that name, counted.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name $(<$type>)? (plain::$name $(<$type>)?);

        #[allow(dead_code)]
        impl $(<$type>)? $name $(<$type>)? {
            #[inline]
            pub(crate) const fn new(value: $value) -> Self {
                Self(plain::$name::new(value))
            }

            #[inline]
            pub(crate) const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            /// # Safety
            /// As for the plain atomic.
            #[inline]
            pub(crate) unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                // SAFETY: the caller's promise; the layout is that of the plain atomic.
                unsafe { &*at.cast() }
            }

            fn count(&self, access: Access) {
                lines::count(self.0.as_ptr().addr(), access);
            }

            #[inline]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.count(Access::Load);
                self.0.load(order)
            }

            #[inline]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.count(Access::Store);
                self.0.store(value, order);
            }

            #[inline]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.count(Access::Update);
                self.0.swap(value, order)
            }

            #[inline]
            pub(crate) fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let result = self.0.compare_exchange(old, new, success, failure);
                self.count(if result.is_ok() { Access::Update } else { Access::FailedUpdate });
                result
            }

            #[inline]
            pub(crate) fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(old, new, success, failure)
            }
        }
    };
}

macro_rules! counted_number {
    ($($name:ident $value:ty: $($method:ident)*),*) => {
        $(
            counted!($name, $value);

            #[allow(dead_code)]
            impl $name {
                $(
                    #[inline]
                    pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                        self.count(Access::Update);
                        self.0.$method(value, order)
                    }
                )*

                #[inline]
                pub(crate) fn fetch_update(
                    &self,
                    success: Ordering,
                    failure: Ordering,
                    mut change: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    let mut old = self.load(failure);
                    while let Some(new) = change(old) {
                        match self.compare_exchange_weak(old, new, success, failure) {
                            Ok(old) => return Ok(old),
                            Err(seen) => old = seen,
                        }
                    }
                    Err(old)
                }
            }
        )*
    };
}

counted!(AtomicPtr<T>, *mut T);
counted!(AtomicBool, bool);
counted_number!(
    AtomicU8 u8: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max,
    AtomicU16 u16: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max,
    AtomicU32 u32: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max,
    AtomicU64 u64: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max,
    AtomicUsize usize: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max,
    AtomicIsize isize: fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_min fetch_max
);

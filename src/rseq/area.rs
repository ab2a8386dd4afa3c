//! Where a thread's rseq area lies: glibc's, or one of our own, or none that works.
//!
//! glibc 2.35 and later register an area for every thread and publish its offset from the thread
//! pointer (`__rseq_offset`); with its tunable `glibc.pthread.rseq=0`, with older glibc and with musl
//! there is none, and each thread registers the one in its [`ThreadBlock`](super::thread_block) when
//! it first misses (rseq(2); a thread can have one area only, so this fails where another library
//! was faster, and that thread then uses the fallback cache).

use super::{Area, arch, thread_block};
use crate::os::errno::Errno;
use crate::sync::{AtomicU32, Ordering};

/// Bytes of the area that own registration names: the first form of `struct rseq`, which every
/// kernel accepts.
const AREA_BYTES: u32 = 32;
/// `AT_RSEQ_FEATURE_SIZE` and `AT_RSEQ_ALIGN` of the auxiliary vector (`linux/auxvec.h`).
const FEATURE_BYTES: libc::c_ulong = 27;
const FEATURE_ALIGN: libc::c_ulong = 28;
/// `RSEQ_FLAG_UNREGISTER`.
const UNREGISTER: libc::c_int = 1;

/// Who registers the areas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The C library does, for every thread.
    Libc,
    /// This crate does, when a thread first needs it.
    Numaslab,
}

/// The area of the C library if it registers one, else this crate's own.
pub(crate) fn find() -> (Area, Owner) {
    match libc_area() {
        Some((offset, size)) if size != 0 => (Area(offset), Owner::Libc),
        _ => (own(), Owner::Numaslab),
    }
}

/// Bytes of its area that the C library uses (`__rseq_size`), 0 if it registers none (its tunable, or the
/// kernel, refuses); `None` if it knows nothing of areas (before glibc 2.35; musl).
pub(crate) fn libc_bytes() -> Option<u32> {
    libc_area().map(|(_, size)| size)
}

/// The offset and the size that the C library publishes.
fn libc_area() -> Option<(isize, u32)> {
    let (offset, size) = arch::libc_symbols();
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: both are constant variables of the C library, found by their symbols.
    Some(unsafe { (*offset, *size) })
}

/// This crate's own area, in every thread's block. As long as it is not registered, `cpu_id` in it is
/// no CPU, and every critical section misses.
pub(crate) fn own() -> Area {
    Area(arch::thread_block_offset() + core::mem::offset_of!(thread_block::ThreadBlock, area) as isize)
}

/// The CPU number in `area` of the calling thread; `None` if it is not registered.
#[inline]
pub(crate) fn cpu_id(area: Area) -> Option<u32> {
    let address = arch::thread_pointer().wrapping_add_signed(area.0) + 4;
    // SAFETY: `area` is from this module: 32 bytes in this thread's static TLS. The kernel writes the
    // word, always whole, when it moves the thread; an atomic load sees one of its values.
    let id = unsafe { AtomicU32::from_ptr(address as *mut u32) }.load(Ordering::Relaxed);
    // Negative values say "not registered" and "registration failed".
    (id as i32 >= 0).then_some(id)
}

/// Registers the calling thread's own area. Registering again is no error.
pub(crate) fn register_own() -> Result<(), Errno> {
    match call(own(), AREA_BYTES, 0) {
        Err(Errno(libc::EBUSY)) if cpu_id(own()).is_some() => Ok(()),
        other => other,
    }
}

/// Unregisters the calling thread's own area; must happen before its TLS goes away.
pub(crate) fn unregister_own() {
    if cpu_id(own()).is_some() {
        let _ = call(own(), AREA_BYTES, UNREGISTER);
    }
}

/// Ends the registration of the calling thread's `area`, whoever made it, until [`resume`]: `cpu_id` in it is no
/// CPU then, and every critical section misses. Returns the bytes to resume with; `None` if it was not registered,
/// or with a length that is not known here, and then nothing has changed.
pub(crate) fn pause(area: Area) -> Option<u32> {
    cpu_id(area)?;
    lengths().into_iter().find(|bytes| call(area, *bytes, UNREGISTER).is_ok())
}

/// Registers the calling thread's `area` again, which [`pause`] said to have had so many bytes.
pub(crate) fn resume(area: Area, bytes: u32) {
    // Without it the thread works with a cache of its own.
    let _ = call(area, bytes, 0);
}

/// The lengths with which C libraries register areas: the first form of the structure, what they say they use,
/// and all that the kernel has.
fn lengths() -> [u32; 3] {
    // SAFETY: getauxval(3) reads constants of the process.
    let (feature, align) = unsafe { (libc::getauxval(FEATURE_BYTES), libc::getauxval(FEATURE_ALIGN)) };
    let kernel = feature.next_multiple_of(align.max(1)) as u32;
    [AREA_BYTES, libc_bytes().unwrap_or(0).max(AREA_BYTES), kernel.max(AREA_BYTES)]
}

fn call(area: Area, bytes: u32, flags: libc::c_int) -> Result<(), Errno> {
    let address = arch::thread_pointer().wrapping_add_signed(area.0);
    crate::os::fault::gate(crate::os::fault::Call::Rseq)?;
    // SAFETY: the area is the own one of this thread, 32 bytes, aligned to 32, which the exit hook unregisters;
    // or the C library's, registered by it with that many bytes. Either lives as long as the thread.
    let result = unsafe { libc::syscall(libc::SYS_rseq, address, bytes, flags, arch::SIGNATURE) };
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_cpu_that_the_kernel_names() {
        let (area, owner) = find();
        if owner == Owner::Numaslab {
            register_own().unwrap();
        }
        for _ in 0..1000 {
            let before = cpu_id(area);
            // SAFETY: no preconditions.
            let kernel = unsafe { libc::sched_getcpu() };
            if before == cpu_id(area) {
                assert_eq!(before, Some(kernel as u32));
                return;
            }
        }
        panic!("the thread moved a thousand times");
    }

    #[test]
    fn own_area_is_unregistered_at_first() {
        std::thread::spawn(|| assert_eq!(cpu_id(own()), None)).join().unwrap();
    }

    #[test]
    fn a_paused_area_names_no_cpu_until_it_is_resumed() {
        let (area, owner) = find();
        std::thread::spawn(move || {
            assert!(owner == Owner::Libc || pause(area).is_none(), "it is not registered yet");
            if owner == Owner::Numaslab {
                register_own().unwrap();
            }
            let bytes = pause(area).expect("it is registered");
            assert_eq!((cpu_id(area), pause(area)), (None, None));
            resume(area, bytes);
            assert!(cpu_id(area).is_some());
            if owner == Owner::Numaslab {
                unregister_own();
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn own_registration_works_or_says_why_not() {
        std::thread::spawn(|| {
            let (_, owner) = find();
            match register_own() {
                Ok(()) => {
                    assert_eq!(owner, Owner::Numaslab);
                    assert!(cpu_id(own()).is_some());
                    assert_eq!(register_own(), Ok(()), "again");
                    unregister_own();
                    assert_eq!(cpu_id(own()), None);
                }
                // glibc has registered its own area for this thread.
                Err(error) => assert_eq!((owner, error), (Owner::Libc, Errno(libc::EINVAL))),
            }
        })
        .join()
        .unwrap();
    }
}

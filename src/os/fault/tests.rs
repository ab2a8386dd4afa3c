//! Each kind of call made to fail: the failure comes out of the function that makes the call, and
//! nothing is left behind.

use super::*;
use crate::os::errno::{Errno, Result};
use crate::os::fatal::{Line, warn};
use crate::os::memory::{self, Advice, HUGE_2M_BYTES};
use crate::os::policy::{self, Binding, NodeMask};
use crate::os::testing::in_child;
use crate::os::thread_exit::ThreadExit;
use crate::os::{clock, cpu, membarrier, topology};
use crate::units::{KernelNode, MAX_CPUS, PAGE_BYTES};
use core::ffi::c_void;
use core::ptr::NonNull;

/// Makes one call of the kind, through the function whose business it is. `None`: the call belongs
/// to another floor.
fn make(call: Call, base: NonNull<u8>) -> Option<Result<()>> {
    let node = NodeMask::only(KernelNode(0));
    // SAFETY: `base` is one committed page of the test's own, of which nobody uses the contents; all
    // calls that would change the mapping are made to fail.
    let result = unsafe {
        match call {
            Call::Mmap => memory::reserve(PAGE_BYTES, PAGE_BYTES).map(drop),
            Call::MmapHuge => memory::map_huge_2m(HUGE_2M_BYTES).map(drop),
            Call::Munmap => memory::unmap(base, PAGE_BYTES),
            Call::Mprotect => memory::commit(base, PAGE_BYTES),
            Call::Madvise => memory::advise(base, PAGE_BYTES, Advice::DontNeed),
            Call::Populate => memory::populate_safely(base, PAGE_BYTES),
            Call::Mremap => memory::remap(base, PAGE_BYTES, 2 * PAGE_BYTES).map(drop),
            Call::Mincore => memory::resident(base, PAGE_BYTES).map(drop),
            Call::Mbind => policy::bind(base, PAGE_BYTES, Binding::Preferred, &node),
            Call::GetMempolicy => policy::allowed_nodes().map(drop),
            Call::MovePages => policy::node_of_page(base.as_ptr()).map(drop),
            Call::Membarrier => membarrier::register_rseq(),
            Call::Rseq => return None,
            Call::GetAffinity if cpu::cpu_limit() == MAX_CPUS => Err(Errno::EIO),
            Call::GetAffinity => Ok(()),
            Call::SetAffinity => cpu::Visit::to(core::iter::empty()).map(drop),
            Call::GetCpu => cpu::current_cpu().map(drop),
            Call::Clock if clock::monotonic_ms() == 0 => Err(Errno::EIO),
            Call::Clock => Ok(()),
            Call::Open | Call::Read => topology::node_free_bytes(KernelNode(0)).map(drop),
            // The descriptor is closed all the same, and nobody is told.
            Call::Close => topology::node_free_bytes(KernelNode(0)).map(drop).and(Err(Errno::EIO)),
            Call::Write => {
                warn(Line::new().push_str("must not be seen"));
                Err(Errno::EIO)
            }
            Call::KeyCreate => ThreadExit::create(ignore).map(drop),
            Call::KeySet => ThreadExit::create(ignore).and_then(|key| key.arm(NonNull::dangling())),
        }
    };
    Some(result)
}

unsafe extern "C" fn ignore(_: *mut c_void) {}

#[test]
fn each_kind_of_call_can_be_made_to_fail() {
    in_child(|| {
        let base = memory::map(PAGE_BYTES).unwrap();
        for call in Call::ALL {
            fail_all(call, Errno::EIO);
            let before = (calls(), failures(call));
            if let Some(result) = make(call, base) {
                assert_eq!(result, Err(Errno::EIO), "{}", call.name());
                assert!(failures(call) > before.1, "{}", call.name());
                let counted = calls().since(&before.0).of(call) != 0;
                let by_vdso = matches!(call, Call::GetCpu | Call::Clock | Call::KeyCreate | Call::KeySet);
                assert_eq!(counted, !by_vdso, "{}", call.name());
            }
            clear();
        }
        // SAFETY: the page is still there, and ours.
        unsafe {
            base.write(1);
            memory::unmap(base, PAGE_BYTES).unwrap();
        }
    });
}

#[test]
fn a_mapping_fails_as_a_whole_at_each_of_its_steps() {
    in_child(|| {
        // An aligned reservation is one mmap; the cuts may fail without harm.
        for nth in 1..4 {
            fail_nth(Call::Munmap, nth, Errno::ENOMEM);
            let base = memory::reserve(HUGE_2M_BYTES, HUGE_2M_BYTES).unwrap();
            assert_eq!(base.addr().get() % HUGE_2M_BYTES, 0);
            clear();
        }
        fail_from(1);
        assert_eq!(memory::reserve(HUGE_2M_BYTES, HUGE_2M_BYTES), Err(Errno::ENOMEM));
        clear();
        assert!(memory::reserve(HUGE_2M_BYTES, HUGE_2M_BYTES).is_ok());
    });
}

#[test]
fn names_are_distinct() {
    for (place, call) in Call::ALL.iter().enumerate() {
        assert!(Call::ALL[..place].iter().all(|other| other.name() != call.name()));
    }
}

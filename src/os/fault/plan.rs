//! What tests have asked the gate to do: which calls fail, and whom to tell before each call.
//!
//! Only with the feature `fault-injection`. All of it is process-wide and lock-free, so a test that
//! uses it runs in a process of its own, or tolerates that other threads meet its failures.
//!
//! # State
//! One [`Plan`] word per kind of call, and one for "the n-th call of any kind". A plan is written by
//! the test (`fail_*`, [`clear`]) and stepped by every thread that passes the gate:
//!
//! | mode | meaning | step |
//! | --- | --- | --- |
//! | `IDLE` | no failure asked for | stays |
//! | `ONCE` | fails when `left` is 1 | counts `left` down, then `IDLE` |
//! | `FROM` | fails when `left` is 1 | counts `left` down to 1, then stays |

use super::Call;
use crate::os::errno::{Errno, Result};
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use core::ptr;

/// The plan of each kind of call.
static PLANS: [AtomicU64; Call::COUNT] = [const { AtomicU64::new(Plan::IDLE.0) }; Call::COUNT];
/// The plan over all kinds together.
static ANY: AtomicU64 = AtomicU64::new(Plan::IDLE.0);
/// How many calls of each kind were made to fail. Written by the gate, read by [`failures`].
static FAILURES: [AtomicU64; Call::COUNT] = [const { AtomicU64::new(0) }; Call::COUNT];
/// The hook: null, or a `fn(Call)`. Written by [`set_hook`] and [`clear`], read by the gate.
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

const ERRNO_BITS: u32 = 12;
const MODE_BITS: u32 = 2;
const LEFT_SHIFT: u32 = ERRNO_BITS + MODE_BITS;
const ONCE: u64 = 1;
const FROM: u64 = 2;

/// One plan: `left` (bits 14-63), mode (bits 12-13), error number (bits 0-11).
#[derive(Clone, Copy)]
struct Plan(u64);

impl Plan {
    const IDLE: Self = Self(0);

    /// Fails in `mode` at the `left`-th call from now (0 counts as 1).
    const fn new(mode: u64, left: u64, errno: Errno) -> Self {
        let left = if left == 0 { 1 } else { left };
        let errno = errno.0 as u64 & ((1 << ERRNO_BITS) - 1);
        Self(left << LEFT_SHIFT | mode << ERRNO_BITS | errno)
    }

    const fn left(self) -> u64 {
        self.0 >> LEFT_SHIFT
    }

    const fn mode(self) -> u64 {
        self.0 >> ERRNO_BITS & ((1 << MODE_BITS) - 1)
    }

    const fn errno(self) -> Errno {
        Errno((self.0 & ((1 << ERRNO_BITS) - 1)) as i32)
    }

    /// The plan after one more call; `None` if the call changes nothing.
    const fn stepped(self) -> Option<Self> {
        match (self.mode(), self.left()) {
            (ONCE, 1) => Some(Self::IDLE),
            (ONCE | FROM, left) if left > 1 => Some(Self(self.0 - (1 << LEFT_SHIFT))),
            _ => None,
        }
    }

    /// Whether the call that meets this plan fails.
    const fn fails(self) -> bool {
        self.mode() != 0 && self.left() == 1
    }
}

/// Makes the `n`-th call of kind `call` from now fail with `errno`, once; `n` counts from 1.
/// Replaces what was asked for this kind before.
pub fn fail_nth(call: Call, n: u64, errno: Errno) {
    // Relaxed, here and below: the word is the whole message; a test orders its threads itself.
    PLANS[call as usize].store(Plan::new(ONCE, n, errno).0, Ordering::Relaxed);
}

/// Makes every call of kind `call` from now on fail with `errno`.
/// Replaces what was asked for this kind before.
pub fn fail_all(call: Call, errno: Errno) {
    PLANS[call as usize].store(Plan::new(FROM, 1, errno).0, Ordering::Relaxed);
}

/// Makes every call of any kind fail with `ENOMEM`, from the `n`-th call of any kind from now on;
/// `n` counts from 1.
pub fn fail_from(n: u64) {
    ANY.store(Plan::new(FROM, n, Errno::ENOMEM).0, Ordering::Relaxed);
}

/// Takes all plans and the hook back. The counters stay.
pub fn clear() {
    for plan in PLANS.iter().chain([&ANY]) {
        plan.store(Plan::IDLE.0, Ordering::Relaxed);
    }
    HOOK.store(ptr::null_mut(), Ordering::Relaxed);
}

/// How many calls of kind `call` were made to fail since the process began.
pub fn failures(call: Call) -> u64 {
    FAILURES[call as usize].load(Ordering::Relaxed)
}

/// Calls `hook` before every call that passes the gate, on the thread that makes it, so that a test
/// can do something between two steps of an operation. The hook may itself pass the gate; it must
/// then expect to be entered again.
pub fn set_hook(hook: fn(Call)) {
    HOOK.store(hook as *mut (), Ordering::Release); // pairs with the load in `run_hook`
}

/// Runs the hook, then steps the plans; the error if one of them says so.
pub(super) fn step(call: Call) -> Result<()> {
    run_hook(call);
    for plan in [&PLANS[call as usize], &ANY] {
        if let Some(errno) = step_plan(plan) {
            FAILURES[call as usize].fetch_add(1, Ordering::Relaxed);
            return Err(errno);
        }
    }
    Ok(())
}

fn run_hook(call: Call) {
    let hook = HOOK.load(Ordering::Acquire); // pairs with the store in `set_hook`
    if !hook.is_null() {
        // SAFETY: the only non-null values ever stored are `fn(Call)` pointers (`set_hook`), and
        // function pointers have the size and the validity of a non-null data pointer on Linux.
        let hook = unsafe { core::mem::transmute::<*mut (), fn(Call)>(hook) };
        hook(call);
    }
}

/// One call meets one plan: steps it and returns the error if the call is to fail.
fn step_plan(plan: &AtomicU64) -> Option<Errno> {
    let before =
        plan.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Plan(word).stepped().map(|p| p.0));
    let before = match before {
        Ok(word) | Err(word) => Plan(word),
    };
    before.fails().then(|| before.errno())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock::monotonic_ms;
    use crate::os::errno::Errno;
    use crate::os::fault::{calls, gate};
    use crate::os::testing::in_child;
    use crate::sync::AtomicUsize;

    /// What ten calls in a row do under a plan: true for a failure.
    fn ten_calls(plan: Plan) -> [bool; 10] {
        let mut plan = plan;
        [(); 10].map(|()| {
            let fails = plan.fails();
            plan = plan.stepped().unwrap_or(plan);
            fails
        })
    }

    #[test]
    fn a_plan_fails_at_its_call_and_once_or_ever_after() {
        let at = |calls: &[usize]| {
            let mut expected = [false; 10];
            calls.iter().for_each(|call| expected[*call - 1] = true);
            expected
        };
        assert_eq!(ten_calls(Plan::IDLE), at(&[]));
        assert_eq!(ten_calls(Plan::new(ONCE, 1, Errno::EIO)), at(&[1]));
        assert_eq!(ten_calls(Plan::new(ONCE, 4, Errno::EIO)), at(&[4]));
        assert_eq!(ten_calls(Plan::new(ONCE, 0, Errno::EIO)), at(&[1]));
        assert_eq!(ten_calls(Plan::new(FROM, 1, Errno::EIO)), [true; 10]);
        assert_eq!(ten_calls(Plan::new(FROM, 8, Errno::EIO)), at(&[8, 9, 10]));
        assert_eq!(Plan::new(FROM, 1 << 40, Errno(4095)).errno(), Errno(4095));
        assert_eq!(Plan::new(FROM, 1 << 40, Errno(4095)).left(), 1 << 40);
    }

    #[test]
    fn the_gate_fails_as_asked_counts_and_forgets_when_cleared() {
        in_child(|| {
            let before = calls();
            fail_nth(Call::Munmap, 2, Errno::EIO);
            fail_all(Call::Mremap, Errno::EFAULT);
            assert_eq!(gate(Call::Munmap), Ok(()));
            assert_eq!(gate(Call::Munmap), Err(Errno::EIO));
            assert_eq!(gate(Call::Munmap), Ok(()));
            assert_eq!(gate(Call::Mremap), Err(Errno::EFAULT));
            assert_eq!(gate(Call::Mremap), Err(Errno::EFAULT));
            clear();
            assert_eq!(gate(Call::Mremap), Ok(()));
            fail_from(2);
            assert_eq!(gate(Call::Mremap), Ok(()));
            assert_eq!(gate(Call::Munmap), Err(Errno::ENOMEM));
            assert_eq!(gate(Call::Rseq), Err(Errno::ENOMEM));
            clear();
            assert_eq!(gate(Call::Rseq), Ok(()));
            let made = calls().since(&before);
            assert_eq!((made.of(Call::Munmap), made.of(Call::Mremap), made.of(Call::Rseq)), (4, 4, 2));
            assert_eq!(made.total(), 10);
            let failed = [Call::Munmap, Call::Mremap, Call::Rseq].map(failures);
            assert_eq!(failed, [2, 2, 1]);
        });
    }

    #[test]
    fn the_vdso_calls_can_fail_and_are_not_counted() {
        in_child(|| {
            let before = calls();
            fail_nth(Call::Clock, 1, Errno::EINVAL);
            assert_eq!(monotonic_ms(), 0);
            assert_ne!(monotonic_ms(), 0);
            assert_eq!(calls().since(&before).total(), 0);
        });
    }

    #[test]
    fn the_hook_runs_before_each_call_and_may_pass_the_gate_itself() {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        fn hook(call: Call) {
            if call == Call::Mbind && SEEN.fetch_add(1, Ordering::Relaxed) == 0 {
                assert_eq!(gate(Call::Mbind), Ok(()));
            }
        }
        in_child(|| {
            set_hook(hook);
            assert_eq!(gate(Call::Mbind), Ok(()));
            assert_eq!(gate(Call::Munmap), Ok(()));
            assert_eq!(SEEN.load(Ordering::Relaxed), 2);
            clear();
            assert_eq!(gate(Call::Mbind), Ok(()));
            assert_eq!(SEEN.load(Ordering::Relaxed), 2);
        });
    }
}

//! Places of a plan, handed to threads as they start.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::affinity;
use crate::error::{Error, Result};
use crate::id_set::CpuSet;
use crate::placement::Plan;

/// Pins threads by a plan from inside the start hook of a runtime.
///
/// Start hooks cannot fail, so the hook keeps the first error; look at it with
/// [`wait_for_workers`](Self::wait_for_workers) or [`failure`](Self::failure). A thread that could not be
/// pinned runs unpinned. Clones share one state.
///
/// ```
/// use numaslab_numa::{Placement, Topology, hooks::StartHook};
///
/// let plan = Placement::Compact.plan(&Topology::discover()?)?;
/// let hook = StartHook::new(plan);
/// let in_thread = hook.clone();
/// let thread = std::thread::spawn(move || in_thread.pin_worker(0));
/// thread.join().unwrap();
/// assert!(hook.failure().is_none());
/// # Ok::<(), numaslab_numa::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StartHook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    plan: Plan,
    state: Mutex<State>,
    /// Signalled when `ended` grows.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that have asked for a place by [`StartHook::pin_next`].
    begun: usize,
    /// Threads that have been pinned or have failed.
    ended: usize,
    /// The first failure, until somebody takes it.
    failure: Option<Error>,
}

impl StartHook {
    /// A hook that hands out the places of `plan`.
    pub fn new(plan: Plan) -> Self {
        Self(Arc::new(Shared { plan, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Pins the current thread to the place of worker `index`; past the last one it starts again with
    /// the first.
    pub fn pin_worker(&self, index: usize) {
        let slots = self.plan().slots();
        self.pin(&slots[index % slots.len()].cpus);
    }

    /// Pins the current thread to the next place that is free.
    ///
    /// Threads beyond the plan (such as the blocking threads of tokio) may run on all CPUs of the plan.
    pub fn pin_next(&self) {
        let index = {
            let mut state = self.lock();
            state.begun += 1;
            state.begun - 1
        };
        match self.plan().slots().get(index) {
            Some(slot) => self.pin(&slot.cpus),
            None => self.pin(&self.plan().cpus()),
        }
    }

    /// Waits until as many threads have started as the plan has places.
    ///
    /// # Errors
    /// The first failure to pin one.
    pub fn wait_for_workers(&self) -> Result<()> {
        let mut state = self.lock();
        while state.ended < self.plan().workers() {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Takes the first failure so far.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    fn pin(&self, cpus: &CpuSet) {
        let answer = affinity::set_current(cpus);
        let mut state = self.lock();
        state.ended += 1;
        if let Err(error) = answer {
            state.failure.get_or_insert(error);
        }
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

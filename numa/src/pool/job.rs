//! A closure on its way to a worker, and the handle on which its result comes back.

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A closure with its way back.
pub(super) struct Job(Box<dyn FnOnce() + Send>);

impl Job {
    /// Runs the closure and sends its result or its panic to the handle.
    pub(super) fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// Packs a closure.
pub(super) fn package<T, F>(work: F) -> (Job, JobHandle<T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, result) = mpsc::sync_channel(1);
    let run = move || {
        // The closure is gone after a panic, and what it shared is poisoned or its owner's affair, as
        // for a thread that panics.
        let outcome = panic::catch_unwind(AssertUnwindSafe(work));
        // The handle may have been dropped: nobody wants the result.
        if let Err(unwanted) = sender.send(outcome) {
            discard(unwanted.0);
        }
    };
    (Job(Box::new(run)), JobHandle { result })
}

/// Drops an outcome that nobody takes, even if its destructor panics.
fn discard<T>(outcome: thread::Result<T>) {
    let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(outcome)));
    if let Err(payload) = dropped {
        // Dropping the payload could panic in turn.
        std::mem::forget(payload);
    }
}

/// The result of a job to come. Dropping it lets the job run all the same.
#[must_use = "a job's panic is only seen through its handle"]
pub struct JobHandle<T> {
    result: Receiver<thread::Result<T>>,
}

impl<T> JobHandle<T> {
    /// Waits for the job; its panic, if any, comes back as the error, as with
    /// [`std::thread::JoinHandle::join`].
    ///
    /// # Errors
    /// The payload of the job's panic.
    pub fn join(self) -> thread::Result<T> {
        self.result.recv().unwrap_or_else(|_| Err(lost()))
    }

    /// Waits for the job and passes its panic on to the caller.
    ///
    /// # Panics
    /// If the job panicked, with the same payload.
    pub fn wait(self) -> T {
        self.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// The result if the job has ended, else the handle again.
    ///
    /// # Errors
    /// The handle, if the job has not ended yet.
    pub fn try_join(self) -> Result<thread::Result<T>, Self> {
        match self.result.try_recv() {
            Ok(outcome) => Ok(outcome),
            Err(mpsc::TryRecvError::Empty) => Err(self),
            Err(mpsc::TryRecvError::Disconnected) => Ok(Err(lost())),
        }
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobHandle")
    }
}

/// What stands for the outcome of a job that was never run.
fn lost() -> Box<dyn Any + Send> {
    Box::new("the job was lost with its worker")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }

    #[test]
    fn a_result_that_nobody_wants_may_panic_in_its_drop() {
        let (job, handle) = package(|| Bomb);
        drop(handle);
        job.run();
    }

    #[test]
    fn a_job_that_is_never_run_is_lost() {
        let (job, handle) = package(|| 1);
        let handle = handle.try_join().unwrap_err();
        drop(job);
        let payload = handle.join().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"the job was lost with its worker"));
    }
}

//! The queue of one node: many senders, the node's workers as takers.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::job::Job;

/// Jobs in the order of their arrival, without bound.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Signalled for each job and broadcast at the close.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    /// Adds a job and wakes a worker.
    pub(super) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    /// Takes the oldest job, waiting for one; `None` once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the workers end when they have taken what is queued.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// No foreign code runs under the lock, so a poisoned lock still guards a sound queue.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::super::job;
    use super::*;

    #[test]
    fn a_closed_queue_is_drained_in_order() {
        let queue = Queue::default();
        let handles: Vec<_> = (0..3)
            .map(|n| {
                let (job, handle) = job::package(move || n);
                queue.push(job);
                handle
            })
            .collect();
        queue.close();
        assert_eq!(queue.len(), 3);
        while let Some(job) = queue.pop() {
            job.run();
        }
        assert_eq!(handles.into_iter().map(|handle| handle.wait()).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_close_wakes_every_waiting_taker() {
        let queue = Arc::new(Queue::default());
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.pop().is_none())
            })
            .collect();
        queue.close();
        assert!(takers.into_iter().all(|taker| taker.join().unwrap()));
    }
}

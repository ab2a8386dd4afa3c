//! Starting a thread that is pinned before it does anything else.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::mask;
use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::id_set::CpuSet;

/// A thread to be started.
pub(crate) struct PinnedThread<'a> {
    /// How it is called.
    pub(crate) name: &'a str,
    /// Its stack, if not the standard library's.
    pub(crate) stack_bytes: Option<usize>,
    /// Its node, for the error text.
    pub(crate) node: NodeId,
    /// Where it runs.
    pub(crate) cpus: &'a CpuSet,
}

impl PinnedThread<'_> {
    /// Starts the thread, waits until it is pinned and has run `prepare`, and lets it run `body`.
    ///
    /// If it cannot be pinned or `prepare` panics, it ends without running `body`.
    pub(crate) fn spawn(
        self,
        prepare: impl FnOnce() + Send + 'static,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let mut builder = thread::Builder::new().name(self.name.to_owned());
        if let Some(bytes) = self.stack_bytes {
            builder = builder.stack_size(bytes);
        }
        let (sender, pinned) = mpsc::sync_channel(1);
        let cpus = self.cpus.clone();
        let whole = move || {
            let answer = mask::set(&cpus).map(|()| prepare());
            let go_on = answer.is_ok();
            if sender.send(answer).is_ok() && go_on {
                body();
            }
        };
        let failed = |cause| Error::Spawn { name: self.name.to_owned(), node: self.node, cause };
        let thread = builder.spawn(whole).map_err(failed)?;
        let panicked = |_| Err(failed(io::Error::other("it panicked before it was ready")));
        match pinned.recv().unwrap_or_else(panicked) {
            Ok(()) => Ok(thread),
            Err(error) => {
                // It has ended or is about to; the panic hook has told of a panic.
                let _ = thread.join();
                Err(error)
            }
        }
    }
}

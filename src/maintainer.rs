//! A thread that makes the maintenance passes. Needs the feature `std`.

use crate::heap::maintain::maintain;
use crate::sync::{AtomicBool, Ordering};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

/// A thread, called `numaslab`, that calls [`maintain`] again and again, until this is dropped.
///
/// ```
/// use numaslab::Maintainer;
/// use std::time::Duration;
///
/// let maintainer = Maintainer::start(Duration::from_secs(1)).expect("a thread");
/// // The program's work.
/// drop(maintainer);
/// ```
#[derive(Debug)]
pub struct Maintainer {
    /// Tells the thread to end. Set once, by the drop.
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Maintainer {
    /// Starts the thread, which makes a pass after each `interval`; a second is a good one.
    ///
    /// Errors: those of starting a thread, see [`Builder::spawn`].
    pub fn start(interval: Duration) -> io::Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&ends);
        let thread = Builder::new().name("numaslab".into()).stack_size(128 << 10).spawn(move || {
            // Acquire: pairs with the Release in `drop`.
            while !heard.load(Ordering::Acquire) {
                park_timeout(interval);
                maintain();
            }
        })?;
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the thread.
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

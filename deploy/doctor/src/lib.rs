//! What a host gives numaslab, and what would improve it.
//!
//! ```text
//!  main      the command line; the exit code
//!  screen    a report as text
//!  advice    what would be better, from a report                (pure)
//!  survey    fills in a report: asks sysfs, procfs, the kernel, and numaslab itself
//!  report    the report, which is also the JSON
//! ```
//!
//! Nothing is changed on the host. What is asked of the kernel is tried, not guessed: a page is bound to each node
//! and looked for there, and numaslab is started and says which mode it has chosen.

#![deny(unsafe_code)]

pub mod advice;
pub mod report;
pub mod screen;
pub mod survey;

pub use report::Report;

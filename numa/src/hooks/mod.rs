//! Pinning the threads of other runtimes.
//!
//! [`StartHook`] hands the places of a [`Plan`](crate::Plan) to threads as they start; it fits every runtime
//! that can call a closure at the start of a thread. On top of it are whole pools:
//! `rayon_pool` (feature `rayon`) and `tokio_runtime` (feature `tokio`), each also as one per
//! node.

#[cfg(feature = "rayon")]
pub mod rayon_pool;
mod start_hook;
#[cfg(feature = "tokio")]
pub mod tokio_runtime;

pub use start_hook::StartHook;

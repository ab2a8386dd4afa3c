//! A node that a thread prefers for a while.

use super::PlacementError;
use crate::global::NumaSlab;
use crate::heap::Heap;
use crate::units::NodeId;
use core::marker::PhantomData;

/// While this lives, what the calling thread allocates comes from a node of its choice, through whatever
/// door: `Box`, `Vec`, C code. If that node has no memory, from the nearest that has. Frees are as ever.
///
/// Preferences may be nested; the last one made holds, and what held before holds again when it is
/// dropped. Drop them in the reverse order of their making, as scopes do by themselves.
///
/// The thread may run anywhere meanwhile, and works with a cache of its own, which is emptied when the
/// preference ends: so let one span many requests. On a machine with several nodes, while any thread
/// has a preference the direct way to the CPUs' caches is closed, and each small allocation in the process
/// costs some instructions more. Without one nothing costs anything. In the child of a fork, preferences of
/// the parent's other threads count as alive for that purpose.
///
/// ```
/// use numaslab::{NumaSlab, placement::{NodeId, node_of}};
///
/// #[global_allocator]
/// static GLOBAL: NumaSlab = NumaSlab::new();
///
/// fn main() -> Result<(), numaslab::placement::PlacementError> {
///     let last = NodeId(GLOBAL.nodes()? as u8 - 1);
///     let words: Vec<String> = {
///         let _there = GLOBAL.prefer(last)?;
///         (0..100).map(|n| format!("word {n}")).collect()
///     };
///     assert!(words.iter().all(|word| node_of(word.as_ptr()) == Some(last)));
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Preference {
    node: NodeId,
    before: Option<NodeId>,
    /// It is about the thread that made it.
    not_send: PhantomData<*mut u8>,
}

impl NumaSlab {
    /// Lets the calling thread prefer `node` until the result is dropped.
    ///
    /// # Errors
    /// [`PlacementError::NoSuchNode`]; [`PlacementError::NoMemory`] if the heap can't be started.
    pub fn prefer(&self, node: NodeId) -> Result<Preference, PlacementError> {
        let heap = self.heap_with(node)?;
        Ok(Preference { node, before: heap.prefer(Some(node)), not_send: PhantomData })
    }
}

impl Preference {
    /// The node.
    pub const fn node(&self) -> NodeId {
        self.node
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        if let Some(heap) = Heap::get() {
            heap.prefer(self.before);
        }
    }
}

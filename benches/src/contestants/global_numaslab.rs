//! The child whose global allocator is numaslab.

#[path = "facts/numaslab.rs"]
mod facts;

numaslab_bench::child!(global numaslab::NumaSlab = numaslab::NumaSlab::new(), facts::FACTS);

//! The child whose global allocator is mimalloc 3, without its secure mode.

#[path = "facts/mimalloc.rs"]
mod facts;

numaslab_bench::child!(global mimalloc::MiMalloc = mimalloc::MiMalloc, facts::FACTS);

//! The child whose global allocator is snmalloc.

#[path = "facts/snmalloc.rs"]
mod facts;

numaslab_bench::child!(global snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc, facts::FACTS);

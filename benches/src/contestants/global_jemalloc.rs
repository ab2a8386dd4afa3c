//! The child whose global allocator is jemalloc.

#[path = "facts/jemalloc.rs"]
mod facts;

numaslab_bench::child!(global tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc, facts::FACTS);

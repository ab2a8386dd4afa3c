//! The child whose global allocator is rpmalloc.

#[path = "facts/rpmalloc.rs"]
mod facts;

numaslab_bench::child!(global rpmalloc::RpMalloc = rpmalloc::RpMalloc, facts::FACTS);

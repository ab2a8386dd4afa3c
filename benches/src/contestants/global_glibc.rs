//! The child whose global allocator is the C library's `malloc`.

#[path = "facts/glibc.rs"]
mod facts;

numaslab_bench::child!(global std::alloc::System = std::alloc::System, facts::FACTS);

//! The child that uses the C library's `malloc` as a value.

#[path = "facts/glibc.rs"]
mod facts;

numaslab_bench::child!(std::alloc::System = std::alloc::System, facts::FACTS);

//! The child whose global allocator is Google's TCMalloc.

#[path = "facts/tcmalloc.rs"]
mod facts;

numaslab_bench::child!(global tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc, facts::FACTS);

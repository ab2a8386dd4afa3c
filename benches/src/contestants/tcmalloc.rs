//! The child that uses Google's TCMalloc as a value.

#[path = "facts/tcmalloc.rs"]
mod facts;

numaslab_bench::child!(tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc, facts::FACTS);

//! Numbers to look at.
pub(crate) fn at_exit(_heap: &'static crate::heap::Heap) {}

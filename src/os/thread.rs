//! Which thread this is.

/// Whether the caller is the thread that the process began with.
///
/// gettid(2), getpid(2); neither fails.
pub fn is_main() -> bool {
    // SAFETY: both take nothing and touch no memory.
    unsafe { libc::gettid() == libc::getpid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_begins_with_the_thread_that_is_main_there() {
        // Tests run on threads of their own.
        assert!(!is_main());
        // SAFETY: the child does nothing but ask, and ends.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(if is_main() { 0 } else { 1 });
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status
        };
        assert_eq!(status, 0);
    }
}

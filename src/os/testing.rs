//! Helpers of this floor's tests: running a test in a process of its own, because fault injection,
//! stderr, aborts and the environment belong to the whole process.

use std::process::{Command, Output};
use std::string::String;

/// The variable that tells a child which test it is running.
const CHILD: &str = "OS_TEST_CHILD";

/// Runs `body` in a child process: re-executes the test binary with only the test `name` (its full
/// path, such as `os::fault::tests::x`), which comes here again and runs `body`. `prepare` may set
/// the child's environment. In the parent, returns what the child wrote and how it ended.
pub(crate) fn run_in_child(
    name: &str,
    prepare: impl FnOnce(&mut Command),
    body: impl FnOnce(),
) -> Option<Output> {
    if std::env::var_os(CHILD).is_some_and(|running| running == name) {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("a test binary has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    prepare(&mut command);
    Some(command.output().expect("the test binary can run"))
}

/// As [`run_in_child`], and the test succeeds exactly if `body` does.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if let Some(output) = run_in_child(name, |_| {}, body) {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("1 passed"), "no test {name}, or it failed:\n{text}\n{}", stderr(&output));
    }
}

/// What the child wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

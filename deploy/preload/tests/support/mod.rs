//! What the tests share: the library as it ships, programs in C and C++ made on the spot, and runs of them.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// A program that takes longer hangs: it dies of SIGALRM.
const MOST_SECONDS: u32 = 300;

/// The folder in which cargo builds.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a test has a path");
    // <target>/<profile>/deps/<program>
    program.ancestors().nth(3).expect("cargo's folder").to_owned()
}

/// `libnumaslab.so`, built as it ships.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--profile", "preload", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(target())
            .stdin(Stdio::null())
            .status();
        assert!(status.expect("cargo can run").success(), "cargo can't build the library");
        target().join("preload/libnumaslab.so")
    })
}

/// The compilers of the GNU collection.
#[derive(Clone, Copy)]
pub(crate) enum Compiler {
    C,
    Cplusplus,
}

impl Compiler {
    const fn name(self) -> &'static str {
        match self {
            Self::C => "gcc",
            Self::Cplusplus => "g++",
        }
    }

    /// Makes `tests/c/<source>` into a program, or a library if `flags` say so; `None`, said aloud, if there is
    /// no such compiler.
    pub(crate) fn make(self, source: &str, flags: &[&str]) -> Option<PathBuf> {
        let folder = target().join("preload-tests");
        fs::create_dir_all(&folder).expect("a folder for programs");
        let program = folder.join(source.replace('.', "-"));
        // Two tests may make the same one: each makes its own, and puts it in place whole.
        let fresh = program.with_extension(format!("{:?}", std::thread::current().id()));
        let compiled = Command::new(self.name())
            .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-pthread", "-o"])
            .arg(&fresh)
            .arg(format!("{}/tests/c/{source}", env!("CARGO_MANIFEST_DIR")))
            .args(flags)
            .output();
        match compiled {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skip(&format!("{source}: there is no {}", self.name()));
                None
            }
            Err(error) => panic!("{}: {error}", self.name()),
            Ok(output) => {
                assert!(output.status.success(), "{}", text(&output.stderr));
                fs::rename(&fresh, &program).expect("same folder");
                Some(program)
            }
        }
    }
}

/// What is chosen for a run: the allocator's mode, and whether addresses are random.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    rseq: Rseq,
    addresses: Addresses,
}

/// What restartable sequences there are.
#[derive(Clone, Copy, Debug)]
enum Rseq {
    /// Per CPU, by the C library's restartable sequences.
    OfLibc,
    /// Per CPU, by the library's own registration.
    Own,
    /// Per thread.
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Addresses {
    Random,
    Fixed,
}

impl Setting {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let rseqs = [Rseq::OfLibc, Rseq::Own, Rseq::Off];
        let addresses = [Addresses::Random, Addresses::Fixed];
        rseqs.into_iter().flat_map(move |rseq| addresses.map(|addresses| Self { rseq, addresses }))
    }

    /// A program that will run under the library, with this setting.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", library()).stdin(Stdio::null());
        match self.rseq {
            Rseq::OfLibc => &mut command,
            Rseq::Own => command.env("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),
            Rseq::Off => command.env("NUMASLAB_RSEQ", "off"),
        };
        let fixed = self.addresses == Addresses::Fixed;
        let prepare = move || {
            // SAFETY: sets a timer whose signal ends the process, which is meant.
            unsafe { libc::alarm(MOST_SECONDS) };
            if fixed {
                // SAFETY: changes how the next program of this process is laid out.
                let refused = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } == -1;
                return if refused { Err(io::Error::last_os_error()) } else { Ok(()) };
            }
            Ok(())
        };
        // SAFETY: two system calls; nothing is allocated.
        unsafe { command.pre_exec(prepare) };
        command
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rseq {:?}, addresses {:?}", self.rseq, self.addresses)
    }
}

/// Runs a program in all settings; each run must succeed, and say how many checks passed.
pub(crate) fn passes(program: &Path, arguments: &[&Path]) {
    for setting in Setting::all() {
        let output = setting.command(program).args(arguments).output().expect("the program can run");
        assert!(
            output.status.success() && text(&output.stdout).contains(" checks passed\n"),
            "{} ({setting}): {}\n{}{}",
            program.display(),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

/// Runs a program in all settings; each run must end by an abort, with a line of the library that ends in one of
/// `said`.
pub(crate) fn dies(program: &Path, argument: &str, said: &[&str]) {
    for setting in Setting::all() {
        let output: Output = setting.command(program).arg(argument).output().expect("the program can run");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{argument} ({setting}): {out}{err}");
        let mut lines = err.lines().filter(|line| line.starts_with("numaslab: "));
        let found = lines.any(|line| said.iter().any(|end| line.ends_with(end)));
        assert!(found, "{argument} ({setting}): expected {said:?}, got {err:?}");
    }
}

/// What a program wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says aloud that something is not tested, and why.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

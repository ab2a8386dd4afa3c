//! Allocators as shared libraries.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

/// An allocator under a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Library {
    /// numaslab, with caches per CPU where that can be.
    Numaslab,
    /// numaslab, with caches per thread.
    NumaslabPerThread,
    /// The C library's own.
    Glibc,
    /// mimalloc.
    Mimalloc,
    /// jemalloc.
    Jemalloc,
    /// TCMalloc of gperftools, which is what Debian has.
    Tcmalloc,
}

/// Where Debian puts libraries, and their names there.
const FOLDERS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

impl Library {
    /// All, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Numaslab,
        Self::NumaslabPerThread,
        Self::Glibc,
        Self::Mimalloc,
        Self::Jemalloc,
        Self::Tcmalloc,
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Numaslab => "numaslab",
            Self::NumaslabPerThread => "numaslab-per-thread",
            Self::Glibc => "glibc",
            Self::Mimalloc => "mimalloc",
            Self::Jemalloc => "jemalloc",
            Self::Tcmalloc => "tcmalloc",
        }
    }

    /// Whether it is one of those that numaslab is compared with.
    pub const fn is_peer(self) -> bool {
        !matches!(self, Self::Numaslab | Self::NumaslabPerThread)
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Numaslab | Self::NumaslabPerThread => "libnumaslab.so",
            Self::Glibc => "libc.so.6",
            Self::Mimalloc => "libmimalloc.so.2",
            Self::Jemalloc => "libjemalloc.so.2",
            Self::Tcmalloc => "libtcmalloc_minimal.so.4",
        }
    }

    /// Where it lies; numaslab's is built first. `None` if this machine has no such library.
    ///
    /// # Errors
    /// If numaslab can't be built.
    pub fn find(self) -> Result<Option<PathBuf>> {
        if !self.is_peer() {
            return build_ours().map(Some);
        }
        // Where its symbolic link leads tells its version.
        let files = FOLDERS.map(|folder| Path::new(folder).join(self.file()));
        Ok(files.into_iter().find_map(|file| file.canonicalize().ok()))
    }

    /// Puts the library, which lies at `file`, under a program.
    pub fn put_under(self, program: &mut Command, file: &Path) {
        match self {
            // It is there anyway.
            Self::Glibc => {}
            Self::NumaslabPerThread => {
                program.env("LD_PRELOAD", file).env("NUMASLAB_RSEQ", "off");
            }
            _ => {
                program.env("LD_PRELOAD", file);
            }
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Has cargo build `libnumaslab.so` as it ships, beside the folder where this program is.
fn build_ours() -> Result<PathBuf> {
    if let Some(file) = env::var_os("PRELOAD_LIBRARY") {
        return Ok(file.into());
    }
    let program = env::current_exe().context("where is this program?")?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let target = target.context("no folder of cargo above this program: set PRELOAD_LIBRARY")?;
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--profile",
            "preload",
            "--package",
            "numaslab-preload",
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .status()
        .context("can't start cargo to build the library")?;
    if !status.success() {
        bail!("cargo could not build the library");
    }
    Ok(target.join("preload/libnumaslab.so"))
}

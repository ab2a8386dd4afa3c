//! Building the children.
//!
//! `cargo run` builds the program that it runs, not the children beside it. So the program, when it
//! was started by cargo, asks cargo for them in the same profile; if they are up to date this takes
//! a fraction of a second.
//!
//! One thing differs from that profile: the sources of snmalloc and TCMalloc are built without debug
//! info. Their build scripts take debug info, even mere line tables, for a wish to debug and compile
//! assertions in, with which snmalloc takes seven times as long and TCMalloc half as long again.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::allocator::Allocator;

/// Has cargo build all children of this package into `folder`, where this program is.
/// Does nothing if cargo did not start this program.
pub fn children(folder: &Path) -> Result<()> {
    let (Some(cargo), Some(package)) = (env::var_os("CARGO"), env::var_os("CARGO_MANIFEST_DIR")) else {
        return Ok(());
    };
    let Some(place) = Place::of(folder) else { return Ok(()) };
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--bins"])
        .args(["--profile", place.profile, "--features", &features()])
        .args(without_assertions(place.profile))
        .arg("--manifest-path")
        .arg(Path::new(&package).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(place.target)
        .stdin(Stdio::null())
        .status()
        .context("can't start cargo to build the children")?;
    if !status.success() {
        bail!("cargo could not build the children");
    }
    Ok(())
}

/// The features of this program, for cargo.
fn features() -> String {
    let on = Allocator::ALL.into_iter().filter(|allocator| allocator.is_optional_and_present());
    on.map(Allocator::name).collect::<Vec<_>>().join(",")
}

/// Cargo's arguments that turn assertions off in the peers whose profile would turn them on.
fn without_assertions(profile: &str) -> Vec<String> {
    let sources = [(Allocator::Snmalloc, "snmalloc-sys"), (Allocator::Tcmalloc, "libtcmalloc-sys")];
    let present = sources.into_iter().filter(|(allocator, _)| allocator.is_optional_and_present());
    present
        .flat_map(|(_, package)| {
            ["--config".to_owned(), format!("profile.{profile}.package.{package}.debug=false")]
        })
        .collect()
}

/// Where cargo put this program.
#[derive(Debug, PartialEq)]
struct Place<'path> {
    target: &'path Path,
    profile: &'path str,
}

impl<'path> Place<'path> {
    /// `target/release` is the profile `release` in the target folder `target`. `None` for the
    /// folder of a cross build, `target/<triple>/release`: its children are built by hand.
    fn of(folder: &'path Path) -> Option<Self> {
        let profile = match folder.file_name()?.to_str()? {
            "debug" => "dev",
            profile => profile,
        };
        let target = folder.parent()?;
        let is_target = target.join("CACHEDIR.TAG").exists();
        is_target.then_some(Self { target, profile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_and_target_folder_are_read_from_the_path() {
        // Tests run in <target>/<profile>/deps.
        let program = env::current_exe().expect("known");
        let folder = program.ancestors().nth(2).expect("a cargo target folder");
        let place = Place::of(folder).expect("built by cargo");
        assert_eq!(place.target, folder.parent().expect("has one"));
        assert_eq!(Place::of(Path::new("/usr/bin")), None);
    }
}

//! Hands two things to the program at compile time.
//!
//! - The versions of the peers: a wrapper crate such as `tcmalloc-better` has no way to say what it
//!   was built from, but `Cargo.lock` pins it, so each package named below becomes `LOCKED_<NAME>`.
//! - `SOURCES`, a hash of this package's sources, by which the program knows children of another build.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// The packages that contain the C or C++ sources of a peer.
const PEERS: [&str; 4] = ["tikv-jemalloc-sys", "snmalloc-sys", "rpmalloc-sys", "libtcmalloc-sys"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the package lies in the workspace");
    lock_versions(&root.join("Cargo.lock"));
    let mut hasher = DefaultHasher::new();
    let sources = here.join("src");
    println!("cargo::rerun-if-changed={}", sources.display());
    hash_folder(&sources, &mut hasher);
    println!("cargo::rustc-env=SOURCES={:016x}", hasher.finish());
}

fn lock_versions(lock_file: &Path) {
    println!("cargo::rerun-if-changed={}", lock_file.display());
    let lock = fs::read_to_string(lock_file).unwrap_or_default();
    for peer in PEERS {
        let version = locked_version(&lock, peer).unwrap_or("unknown");
        let variable = peer.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=LOCKED_{variable}={version}");
    }
}

/// Hashes the contents of all files below `folder`, in the order of their names.
fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let entries = fs::read_dir(folder).expect("a readable source folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_folder(&path, hasher);
        } else {
            path.hash(hasher);
            fs::read(&path).expect("a readable source file").hash(hasher);
        }
    }
}

/// The version in the `[[package]]` entry called `name`.
fn locked_version<'lock>(lock: &'lock str, name: &str) -> Option<&'lock str> {
    let (_, entry) = lock.split_once(&format!("name = \"{name}\"\n"))?;
    let (_, version) = entry.split_once("version = \"")?;
    version.split_once('"').map(|(version, _)| version)
}

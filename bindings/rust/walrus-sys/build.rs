// build.rs - where libwalrus is: WALRUS_LIB_DIR, else what pkg-config says, else build/lib of the source tree
//
// A library that the system's loader would not find by itself is linked into OUT_DIR: that directory is in the library path of whatever
// cargo runs (cargo run, cargo test, doc tests, also of packages that depend on this one). The link keeps up with a library that is
// built again. Programs that are started without cargo need an rpath: DEP_WALRUS_LIB_DIR tells a dependent's build script the place.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const FILES: [&str; 2] = ["libwalrus.so", "libwalrus.so.1"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WALRUS_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rustc-link-lib=dylib=walrus");
    if let Some(given) = env::var_os("WALRUS_LIB_DIR") {
        let directory = PathBuf::from(given);
        if !directory.join(FILES[0]).exists() {
            panic!("WALRUS_LIB_DIR is {}, and there is no {} in it", directory.display(), FILES[0]);
        }
        return use_directory(&directory);
    }
    if let Some(directories) = ask_pkg_config() {
        directories.iter().for_each(|directory| use_directory(directory));
        return;
    }
    let tree = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../../build/lib");
    if !tree.join(FILES[0]).exists() {
        panic!(
            "libwalrus was not found: set WALRUS_LIB_DIR to the directory of {}, install it with its walrus.pc, or run make in the source tree",
            FILES[0]
        );
    }
    use_directory(&tree);
}

/// The directories that `pkg-config --libs-only-L walrus` names; none of them for a library in a standard place.
fn ask_pkg_config() -> Option<Vec<PathBuf>> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program).args(["--libs-only-L", "walrus"]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_whitespace().filter_map(|word| word.strip_prefix("-L")).map(PathBuf::from).collect())
}

fn use_directory(directory: &Path) {
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    for file in FILES {
        let link = out.join(file);
        let _ = fs::remove_file(&link);
        if let Err(error) = std::os::unix::fs::symlink(directory.join(file), &link) {
            panic!("{} cannot be made: {error}", link.display());
        }
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:lib_dir={}", directory.display());
}

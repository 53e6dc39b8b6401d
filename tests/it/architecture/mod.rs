//! Which crate may use which, and where a few words may stand. Reads the workspace itself, so it fails in the
//! change that adds the wrong edge.

mod edges;
mod sources;

use std::path::{Path, PathBuf};

/// The folder of the workspace's `Cargo.toml`.
fn root() -> PathBuf {
    let gateway = Path::new(env!("CARGO_MANIFEST_DIR"));
    gateway.ancestors().nth(2).expect("the gateway crate lies two folders below the root").to_owned()
}

/// Fails with every finding on a line of its own.
fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

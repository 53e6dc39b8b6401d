//! Words that may stand in few places only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{assert_none, root};

/// A word and the folders whose code may say it.
struct Rule {
    reason: &'static str,
    words: &'static [&'static str],
    allowed_in: &'static [&'static str],
}

const TASKS: Rule = Rule {
    reason: "a bare task panics unseen; runtime::task supervises",
    words: &["tokio::spawn", "task::spawn(", "rt::spawn(", "thread::spawn(", "spawn_local("],
    // The load tool, the benchmarks and the tests are clients of the product, outside its supervision; the model checker has
    // threads of its own.
    allowed_in: &[
        "crates/runtime/",
        "crates/loadtest/",
        "crates/bench/",
        "crates/traffic/src/gate/model.rs",
        "crates/traffic/tests/",
        "tests/",
    ],
};

const BODIES: Rule = Rule {
    reason: "bodies and queries are read by our extractors: bounded, closed, told by field (and tested by `strangers`)",
    words: &["web::Json", "web::Bytes", "web::Form", "web::Query", "web::Payload"],
    // The benchmark's bare peer says everything the same way without us.
    allowed_in: &["crates/adapter/http/src/extract/", "crates/bench/src/admission/bare.rs"],
};

const ROUTES: Rule = Rule {
    reason: "a route is registered by `routes::resource`: any other is unknown to its table, and to `strangers`",
    words: &["web::resource(", "web::scope(", ".route(\""],
    allowed_in: &["crates/adapter/http/src/routes.rs", "crates/adapter/http/src/edge/tests.rs", "tests/"],
};

#[test]
fn every_route_is_registered_in_one_way() {
    assert_none(ROUTES.reason, &ROUTES.broken_in(&sources()));
}

#[test]
fn only_our_extractors_read_bodies_and_queries() {
    assert_none(BODIES.reason, &BODIES.broken_in(&sources()));
}

#[test]
fn only_the_runtime_starts_tasks() {
    assert_none(TASKS.reason, &TASKS.broken_in(&sources()));
}

#[test]
fn a_forbidden_word_is_found_with_its_line() {
    let text = "//! Not tokio::spawn.\nuse entity::Ride;\nfn start() { tokio::spawn(async {}); }\n";
    let file = |path: &str| vec![(PathBuf::from(path), text.to_owned())];
    let in_usecase = TASKS.broken_in(&file("crates/usecase/src/relay.rs"));
    assert_eq!(in_usecase, ["crates/usecase/src/relay.rs:3: tokio::spawn"]);
    assert!(TASKS.broken_in(&file("crates/runtime/src/task/mod.rs")).is_empty());
}

impl Rule {
    /// `path:line: word` of every place outside the allowed folders. Comments may say anything.
    fn broken_in(&self, files: &[(PathBuf, String)]) -> Vec<String> {
        let bound = files.iter().filter(|(path, _)| !self.allowed_in.iter().any(|folder| path.starts_with(folder)));
        let lines = bound.flat_map(|(path, text)| text.lines().enumerate().map(move |(i, line)| (path, i + 1, line)));
        let code = lines.filter(|(_, _, line)| !line.trim_start().starts_with("//"));
        code.flat_map(|(path, number, line)| {
            let said = self.words.iter().filter(move |word| line.contains(*word));
            said.map(move |word| format!("{}:{number}: {word}", path.display()))
        })
        .collect()
    }
}

/// Every Rust source of the product with its path from the root. The rules themselves are left out: they quote.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["crates", "migrations", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 20, "the sources were not found: {} files", files.len());
    let relative = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_owned();
    let texts = files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap_or_default()));
    texts.filter(|(path, _)| !path.starts_with("tests/it/architecture")).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

//! `cargo xtask test`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    conformance, fuzz,
    program::Program,
    python, statements, step,
    step::Step,
    stores::{Place, Servers, Store},
};

/// Where the end-to-end tests run when nobody says: on what `cargo run` uses. A run on three servers takes minutes more.
const USUAL: [Store; 1] = [Store::Sqlite];

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out what needs Python: the conformance walk and the fuzz run.
    #[arg(long)]
    pub(crate) without_python: bool,
    /// Where the tests keep their data; may be repeated. If not said: sqlite.
    #[arg(long = "store", value_enum)]
    pub(crate) stores: Vec<Store>,
    /// Passed on to every Rust test binary, such as part of a test's name; then only Rust tests are run.
    #[arg(last = true)]
    pub(crate) for_tests: Vec<String>,
}

/// Runs the tests until a step fails. Every test binary runs, also after one has failed.
pub(crate) async fn run(options: Options) -> ExitCode {
    let with_python = options.for_tests.is_empty() && !options.without_python;
    // Before minutes of building: somebody who lacks something hears it at once.
    if with_python && let Err(missing) = python::check().await {
        eprintln!("xtask: {missing}");
        return ExitCode::FAILURE;
    }
    let stores = if options.stores.is_empty() { USUAL.to_vec() } else { options.stores };
    let servers = match stores.iter().any(|store| store.needs_postgres()).then(Servers::start).transpose() {
        Ok(servers) => servers,
        Err(missing) => {
            eprintln!("xtask: {missing}");
            return ExitCode::FAILURE;
        }
    };
    let places = stores.iter().map(|store| Place::new(*store, servers.as_ref()));
    let mut steps = rust_steps(places, &options.for_tests);
    if let Some(servers) = &servers {
        steps.push(statements_step(servers.logs(), options.for_tests.is_empty()));
    }
    if with_python {
        steps.extend([conformance::step(), fuzz::step(fuzz::Options::in_tests())]);
    }
    let code = step::until_failure(steps).await;
    if options.without_python {
        eprintln!("\nxtask: NOT RUN, because of --without-python: the conformance walk and the fuzz run.");
    }
    if servers.is_none() {
        eprintln!("\nxtask: NOT RUN: what needs PostgreSQL (--store postgres or postgres3).");
    }
    code
}

/// After all tests that run on PostgreSQL; `whole`: none was left out.
fn statements_step(logs: Vec<PathBuf>, whole: bool) -> Step {
    Step::new("what the tests made the product ask of PostgreSQL", async move {
        let checked = statements::check(&logs, whole);
        checked
            .map(|count| eprintln!("xtask: {count} different statements, each in its shard or exempt by name"))
            .into()
    })
}

/// Every test at the first place; at the others the tests that depend on it.
fn rust_steps(places: impl Iterator<Item = Place>, for_tests: &[String]) -> Vec<Step> {
    let build = ["test", "--workspace", "--no-run"];
    // The programs too: a test drives the load tool.
    let mut steps = vec![step::build(), Step::cargo("build the tests", &build)];
    for (number, place) in places.enumerate() {
        let (what, only) = match number {
            0 => ("every Rust test", &[][..]),
            _ => ("the end-to-end tests", &["--test", "it"][..]),
        };
        let arguments = test_arguments(only, for_tests);
        let title = format!("run {what} on {}: cargo {}", place.store(), arguments.join(" "));
        let tests = Program::cargo().arguments(arguments);
        steps.push(Step::new(title, async move { place.run(tests).await.into() }));
    }
    steps
}

fn test_arguments(only: &[&str], for_tests: &[String]) -> Vec<String> {
    let usual = ["test", "--workspace", "--no-fail-fast"];
    let mut arguments: Vec<_> = usual.iter().chain(only).map(|argument| (*argument).to_owned()).collect();
    if !for_tests.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend_from_slice(for_tests);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_tests_comes_after_two_dashes() {
        assert_eq!(test_arguments(&[], &[]), ["test", "--workspace", "--no-fail-fast"]);
        let some = ["architecture".to_owned()];
        let all = ["test", "--workspace", "--no-fail-fast", "--test", "it", "--", "architecture"];
        assert_eq!(test_arguments(&["--test", "it"], &some), all);
    }
}

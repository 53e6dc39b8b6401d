//! `cargo xtask test`.

use std::process::ExitCode;

use clap::Args;

use crate::{conformance, fuzz, python, step, step::Step};

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out what needs Python: the conformance walk and the fuzz run.
    #[arg(long)]
    pub(crate) without_python: bool,
    /// Passed on to every Rust test binary, such as part of a test's name; then only Rust tests are run.
    #[arg(last = true)]
    pub(crate) for_tests: Vec<String>,
}

/// Runs the tests until a step fails. Every test binary runs, also after one has failed.
pub(crate) async fn run(options: Options) -> ExitCode {
    let with_python = options.for_tests.is_empty() && !options.without_python;
    // Before minutes of building: somebody without Python hears it at once.
    if with_python && let Err(missing) = python::check().await {
        eprintln!("xtask: {missing}");
        return ExitCode::FAILURE;
    }
    let mut steps = rust_steps(&options.for_tests);
    if with_python {
        steps.extend([conformance::step(), fuzz::step(fuzz::Options::in_tests())]);
    }
    let code = step::until_failure(steps).await;
    if options.without_python {
        eprintln!("\nxtask: NOT RUN, because of --without-python: the conformance walk and the fuzz run.");
    }
    code
}

fn rust_steps(for_tests: &[String]) -> Vec<Step> {
    let arguments = test_arguments(for_tests);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let build = ["test", "--workspace", "--no-run"];
    vec![
        // The programs too: a test drives the load tool.
        step::build(),
        Step::cargo("build the tests", &build),
        Step::cargo("run every Rust test", &arguments),
    ]
}

fn test_arguments(for_tests: &[String]) -> Vec<String> {
    let mut arguments: Vec<_> = ["test", "--workspace", "--no-fail-fast"].map(String::from).to_vec();
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
        assert_eq!(test_arguments(&[]), ["test", "--workspace", "--no-fail-fast"]);
        let some = ["architecture".to_owned()];
        assert_eq!(test_arguments(&some), ["test", "--workspace", "--no-fail-fast", "--", "architecture"]);
    }
}

//! The project's own commands: `cargo xtask <command>`.

mod bench;
mod step;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use step::{Step, run_all};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the tests of every crate: units, properties, the architecture and the end-to-end suites.
    ///
    /// Needs the Rust toolchain and a C compiler, nothing else. Arguments after `--` go to the tests themselves:
    /// `cargo xtask test -- architecture`.
    Test {
        /// Passed on to every test binary, such as part of a test's name.
        #[arg(last = true)]
        for_tests: Vec<String>,
    },
    /// Measures what the product costs against its goals, in a release build: `cargo xtask bench main-flow`.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Test { for_tests } => run_all(&test_steps(for_tests)),
        Command::Bench(options) => bench::run(&options),
    }
}

/// One build of the whole workspace: building a package alone would select other features and compile the
/// database stack a second time. Every test binary runs, also after one has failed.
fn test_steps(for_tests: Vec<String>) -> Vec<Step> {
    let mut tests = vec!["test", "--workspace", "--no-fail-fast"];
    if !for_tests.is_empty() {
        tests.push("--");
    }
    let tests = tests.into_iter().map(String::from).chain(for_tests).collect();
    let build = ["test", "--workspace", "--no-run"].map(String::from).to_vec();
    vec![Step::cargo("build the workspace and its tests", build), Step::cargo("run every test", tests)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_reach_the_tests() {
        let command = Cli::parse_from(["cargo xtask", "test", "--", "architecture"]).command;
        let Command::Test { for_tests } = command else { panic!("another command was understood") };
        let steps = test_steps(for_tests);
        assert_eq!(steps.last().unwrap().arguments(), ["test", "--workspace", "--no-fail-fast", "--", "architecture"]);
    }

    #[test]
    fn everything_after_bench_reaches_the_bench() {
        for arguments in [vec!["--help"], vec!["main-flow", "--quick", "--only", "starts"]] {
            let command_line = ["cargo xtask", "bench"].into_iter().chain(arguments.clone());
            let Command::Bench(options) = Cli::parse_from(command_line).command else { panic!("not understood") };
            assert_eq!(options.arguments(), arguments);
        }
    }
}

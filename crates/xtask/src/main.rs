//! The project's own commands: `cargo xtask <command>`.

mod bench;
mod conformance;
mod deny;
mod fuzz;
mod gateway;
mod nightly;
mod program;
mod python;
mod report;
mod statements;
mod step;
mod stores;
mod testing;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test: units, properties, the architecture, end to end; then the conformance walk and a fuzz run.
    ///
    /// Needs the Rust toolchain, a C compiler, PostgreSQL 14 (root on a Debian has it installed; it need not be running; without it:
    /// --store sqlite), and Python 3.11 with venv and pip. Arguments after `--` go to the Rust tests, and these alone are run then: `cargo xtask
    /// test -- architecture`.
    Test(testing::Options),
    /// Fuzzes a private gateway from its OpenAPI document.
    Fuzz(fuzz::Options),
    /// Walks the whole contract of a private gateway, as a client in another language would.
    Conformance,
    /// What takes long: many fuzz cases, a replay with many crashes, the audit of the dependencies. Every step is run,
    /// also after one has failed.
    Nightly(nightly::Options),
    /// Licences, bans, sources and known weaknesses of the dependencies (cargo deny).
    Audit(deny::AuditOptions),
    /// Measures what the product costs against its goals, in a release build: `cargo xtask bench main-flow`, `… traffic`.
    Bench(bench::Options),
}

// One thread is enough to wait for other programs.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    // What was begun is dropped when a signal comes first: programs are ended, temporary folders removed.
    tokio::select! {
        code = run(command) => code,
        () = told_to_stop() => {
            eprintln!("xtask: told to stop");
            ExitCode::from(130)
        }
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Test(options) => testing::run(options).await,
        Command::Fuzz(options) => step::until_failure(vec![step::build(), fuzz::step(options)]).await,
        Command::Conformance => step::until_failure(vec![step::build(), conformance::step()]).await,
        Command::Bench(options) => bench::run(options).await,
        Command::Nightly(options) => nightly::run(options).await,
        Command::Audit(options) => step::every(vec![deny::dependencies(), deny::advisories(&options)]).await,
    }
}

/// Ctrl-C or SIGTERM. Without signals there is only the terminal's own way.
async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::stores::Store;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_reach_the_tests() {
        let Command::Test(options) = Cli::parse_from(["cargo xtask", "test", "--", "architecture"]).command else {
            panic!("not the test command");
        };
        assert_eq!(options.for_tests, ["architecture"]);
        assert!(!options.without_python && options.stores.is_empty());
    }

    #[test]
    fn tests_can_be_run_on_chosen_stores() {
        let command_line = ["cargo xtask", "test", "--store", "postgres", "--store", "sqlite3"];
        let Command::Test(options) = Cli::parse_from(command_line).command else { panic!("not understood") };
        assert_eq!(options.stores, [Store::Postgres, Store::Sqlite3]);
        assert!(Cli::try_parse_from(["cargo xtask", "test", "--store", "mysql"]).is_err());
    }

    #[test]
    fn a_fuzz_run_takes_its_size_and_its_seed() {
        let Command::Fuzz(options) = Cli::parse_from(["cargo xtask", "fuzz", "--cases", "300", "--seed", "7"]).command
        else {
            panic!("not the fuzz command");
        };
        assert_eq!((options.cases, options.seed), (300, Some(7)));
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

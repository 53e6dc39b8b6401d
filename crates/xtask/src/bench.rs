//! `cargo xtask bench …`: builds what is measured, then leaves the terminal to the bench.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use clap::Args;

use crate::step::{Step, run_all};

/// What the bench itself is told; its own `--help` lists it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Passed on, such as `main-flow --quick`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Options {
    /// What the bench is told.
    #[cfg(test)]
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// Runs the bench; its exit code is ours.
pub(crate) fn run(options: &Options) -> ExitCode {
    // The whole workspace: building some packages alone would select other features.
    let build = Step::cargo("build what is measured", ["build", "--release", "--workspace"].map(String::from).to_vec());
    let built = run_all(&[build]);
    if built != ExitCode::SUCCESS {
        return built;
    }
    let started = bench().and_then(|bench| Command::new(bench).args(&options.arguments).status());
    match started {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("xtask: the bench could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The binary that was just built: this one lies in a folder beside its own, wherever cargo builds.
fn bench() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or(std::io::ErrorKind::NotFound)?;
    Ok(target.join("release").join("bench"))
}

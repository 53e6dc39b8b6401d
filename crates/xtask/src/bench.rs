//! `cargo xtask bench …`: builds what is measured, then leaves the terminal to the bench.

use std::process::ExitCode;

use clap::Args;

use crate::{
    program::{self, Program},
    step::{self, Step},
};

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
pub(crate) async fn run(options: Options) -> ExitCode {
    // The whole workspace: building some packages alone would select other features.
    let build = Step::cargo("build what is measured", &["build", "--release", "--workspace"]);
    let built = step::until_failure(vec![build]).await;
    if built != ExitCode::SUCCESS {
        return built;
    }
    let bench = program::built("release", "bench").map(|bench| Program::new(bench).arguments(&options.arguments));
    let ended = match bench {
        Ok(bench) => bench.code().await,
        Err(why) => Err(why),
    };
    ended.unwrap_or_else(|why| {
        eprintln!("xtask: {why}");
        ExitCode::FAILURE
    })
}

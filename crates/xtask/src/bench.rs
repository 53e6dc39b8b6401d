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
    /// Passed on, such as `main-flow --quick` or `traffic --only refusal`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Options {
    /// What is built first.
    fn builds(&self) -> Result<Vec<Step>, String> {
        // The whole workspace: building some packages alone would select other features.
        let mut builds = vec![Step::cargo("build what is measured", &["build", "--release", "--workspace"])];
        if self.arguments.first().is_some_and(|bench| bench == "traffic") {
            let target = program::target()?;
            let (manifest, target) = ("crates/bench/limitador/Cargo.toml", target.to_string_lossy());
            let peer = ["build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", &target];
            builds.push(Step::cargo("build a peer that is not of the workspace", &peer));
        }
        Ok(builds)
    }

    /// What the bench is told.
    #[cfg(test)]
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

/// Runs the bench; its exit code is ours.
pub(crate) async fn run(options: Options) -> ExitCode {
    let builds = match options.builds() {
        Ok(builds) => builds,
        Err(why) => {
            eprintln!("xtask: {why}");
            return ExitCode::FAILURE;
        }
    };
    let built = step::until_failure(builds).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_outside_the_workspace_is_built_for_the_bench_that_needs_it() {
        let builds = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            Options { arguments }.builds().unwrap().len()
        };
        assert_eq!(builds(&["main-flow", "--quick"]), 1);
        assert_eq!(builds(&["traffic", "--only", "decision"]), 2);
    }
}

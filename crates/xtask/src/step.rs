//! Commands that run one after the other, each announced before and timed after.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// One call of cargo with a name for the reader.
pub(crate) struct Step {
    title: &'static str,
    arguments: Vec<String>,
}

impl Step {
    /// A step that calls cargo with `arguments`.
    pub(crate) fn cargo(title: &'static str, arguments: Vec<String>) -> Self {
        Self { title, arguments }
    }

    /// What cargo is called with.
    #[cfg(test)]
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Runs to the end with the terminal's own output; whether it succeeded.
    fn run(&self) -> bool {
        // The toolchain that built xtask also runs the step, whatever comes first in the search path.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        match cargo.args(&self.arguments).status() {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("xtask: cargo could not be started: {error}");
                false
            }
        }
    }
}

/// Runs every step until one fails.
pub(crate) fn run_all(steps: &[Step]) -> ExitCode {
    let start = now();
    for (i, step) in steps.iter().enumerate() {
        let number = i + 1;
        eprintln!("xtask [{number}/{}] {}: cargo {}", steps.len(), step.title, step.arguments.join(" "));
        let step_start = now();
        let succeeded = step.run();
        let took = since(step_start);
        if !succeeded {
            eprintln!("xtask [{number}/{}] {}: FAILED after {took:.1?}", steps.len(), step.title);
            return ExitCode::FAILURE;
        }
        eprintln!("xtask [{number}/{}] {}: ok in {took:.1?}", steps.len(), step.title);
    }
    eprintln!("xtask: all steps ok in {:.1?}", since(start));
    ExitCode::SUCCESS
}

#[allow(clippy::disallowed_methods, reason = "a command line tool times its own steps")]
fn now() -> Instant {
    Instant::now()
}

fn since(start: Instant) -> Duration {
    now().duration_since(start)
}

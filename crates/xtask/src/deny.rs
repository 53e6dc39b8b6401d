//! `cargo deny`: licences, bans and sources of the dependencies, and their known weaknesses.

use std::path::PathBuf;

use clap::Args;

use crate::{
    program::{Program, target, text},
    step::{Outcome, Step},
};

/// The version that `deny.toml` was written for.
const VERSION: &str = "0.20.2";
/// What cargo-deny says when it could not ask for the advisories.
const NOT_FETCHED: &str = "failed to fetch advisory database";

/// Licences, bans, sources: all that needs only what was downloaded for the build.
pub(crate) fn dependencies() -> Step {
    let checks = ["bans", "licenses", "sources"];
    Step::new("dependencies: cargo deny check bans licenses sources", async move {
        let tool = match tool().await {
            Ok(tool) => tool,
            Err(why) => return Outcome::CouldNotRun(why),
        };
        let check = ["--locked", "check", "--hide-inclusion-graph"];
        Program::new(tool).arguments(check).arguments(checks).run().await.into()
    })
}

/// Options of `cargo xtask audit`.
#[derive(Args)]
pub(crate) struct AuditOptions {
    /// Do not hold it against the run when the list of known weaknesses cannot be fetched.
    #[arg(long)]
    pub(crate) accept_no_advisories: bool,
}

/// Known weaknesses. The list of them is fetched from the network each time: an old list would say too little.
pub(crate) fn advisories(options: &AuditOptions) -> Step {
    let accepted = options.accept_no_advisories;
    Step::new("advisories: cargo deny check advisories", async move {
        let output = match tool().await {
            Ok(tool) => Program::new(tool).arguments(["--locked", "check", "advisories"]).output().await,
            Err(why) => Err(why),
        };
        let output = match output {
            Ok(output) => output,
            Err(why) => return Outcome::CouldNotRun(why),
        };
        let said = text(&output);
        eprint!("{said}");
        match judge(output.status.success(), &said) {
            Outcome::CouldNotRun(why) if accepted => Outcome::Accepted(why),
            outcome => outcome,
        }
    })
}

fn judge(succeeded: bool, said: &str) -> Outcome {
    if succeeded {
        Outcome::Ok
    } else if said.contains(NOT_FETCHED) {
        let why = said.lines().rfind(|line| line.starts_with("fatal:")).unwrap_or(NOT_FETCHED);
        Outcome::CouldNotRun(format!("the list of known weaknesses could not be fetched: {why}"))
    } else {
        Outcome::Failed("a dependency has a known weakness, or cargo deny could not judge; see above".to_owned())
    }
}

/// Where cargo-deny is: installed on this machine, or by us below the build folder.
async fn tool() -> Result<PathBuf, String> {
    let tools = target()?.join("tools");
    let ours = tools.join("bin").join("cargo-deny");
    for tool in [PathBuf::from("cargo-deny"), ours.clone()] {
        let version = Program::new(&tool).arguments(["--version"]).output().await;
        if version.is_ok_and(|output| output.status.success()) {
            return Ok(tool);
        }
    }
    eprintln!("xtask: there is no cargo-deny: building version {VERSION} takes some minutes, once");
    let install = ["install", "cargo-deny", "--locked", "--version", VERSION, "--root"];
    Program::cargo().arguments(install).arguments([&tools]).run().await?;
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_that_could_not_be_fetched_are_no_verdict() {
        let said = format!("[ERROR] {NOT_FETCHED} with cli\nfatal: unable to access: no network\n");
        let Outcome::CouldNotRun(why) = judge(false, &said) else { panic!("a verdict") };
        assert!(why.ends_with("fatal: unable to access: no network"), "{why}");
        assert!(matches!(judge(false, "error[vulnerability]: a crate"), Outcome::Failed(_)));
        assert_eq!(judge(true, "advisories ok"), Outcome::Ok);
    }
}

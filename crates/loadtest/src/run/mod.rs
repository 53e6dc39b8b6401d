//! `loadtest run`: a scenario of load against a gateway, open loop, with a report and checks.
//!
//! Open loop means that requests are sent when they are due, however slow the answers come, as passengers do who know
//! nothing of each other. Latency counts from the moment a request was due.

mod arrivals;
mod book;
mod calibrate;
mod checks;
mod crowd;
mod drive;
mod engine;
mod errand;
mod figures;
mod groups;
mod http;
mod kinds;
mod limits;
mod live;
mod measure;
mod metronome;
mod observe;
mod options;
mod outcome;
mod pin;
mod refusals;
mod report;
mod scenario;
mod sign_in;
mod spray;
mod table;
mod target;

use std::{ffi::OsStr, path::Path, time::Duration};

use checks::Check;
pub(crate) use options::{ReportOptions, RunOptions};
use outcome::Outcome;
use scenario::Scenario;
use target::Target;

use crate::outage::Halt;

/// The setting that a control run must be able to make.
const POLICIES: &str = "GATEWAY__TRAFFIC__POLICIES";

/// Runs a scenario; whether every check held.
///
/// # Errors
/// Why it could not run, or why the run is not valid, in words.
pub(crate) async fn run(options: RunOptions, interrupt: Halt) -> Result<bool, String> {
    if options.list {
        list();
        return Ok(true);
    }
    let scenario = chosen(&options)?;
    let checks = if options.check.is_empty() { scenario.checks()? } else { options.check.clone() };
    let deadline = Duration::from_secs(options.deadline);
    let mut target = Target::default();
    let outcome = tokio::select! {
        outcome = drive::drive(&options, &scenario, &mut target) => outcome,
        () = tokio::time::sleep(deadline) => Err(format!("the deadline of {} s has passed", deadline.as_secs())),
        () = interrupt.stopped() => Err("interrupted".to_owned()),
    };
    live::end();
    if outcome.is_err() {
        target.keep_folder();
    }
    target.stop().await;
    let mut outcome = outcome?;
    outcome.checks = checks.iter().map(|check: &Check| check.look(&outcome.figures, scenario.control)).collect();
    deliver(&outcome, &options)?;
    match outcome.validity.valid {
        true => Ok(!outcome.checks.iter().any(|check| check.failed())),
        false => Err(format!("the run is not valid: {}", outcome.validity.reasons.join("; "))),
    }
}

/// The report of an earlier run, from its JSON; always true, for what a run's checks said is in it.
///
/// # Errors
/// Why the file could not be read or the report not be written, in words.
pub(crate) fn report_again(options: &ReportOptions) -> Result<bool, String> {
    let wrong = |file: &Path, what: String| format!("{}: {what}", file.display());
    let text = std::fs::read_to_string(&options.file).map_err(|e| wrong(&options.file, e.to_string()))?;
    let outcome: Outcome = serde_json::from_str(&text).map_err(|e| wrong(&options.file, e.to_string()))?;
    std::fs::write(&options.html, report::html(&outcome)).map_err(|e| wrong(&options.html, e.to_string()))?;
    Ok(true)
}

#[allow(clippy::print_stdout, reason = "the list is what was asked for")]
fn list() {
    Scenario::list().for_each(|(name, about)| println!("{name:<18} {about}"));
}

/// The scenario with what the person changed about it.
fn chosen(options: &RunOptions) -> Result<Scenario, String> {
    let mut scenario = Scenario::load(options.scenario.as_deref().unwrap_or_default())?;
    if let Some(seconds) = options.seconds {
        scenario.stretch_to(seconds)?;
    }
    if let Some(passengers) = options.passengers {
        scenario.passengers = passengers;
    }
    if let (Some(keys), Some(spray)) = (options.keys, &mut scenario.spray) {
        spray.keys = keys;
    }
    scenario.control |= options.control;
    scenario.validate()?;
    if scenario.is_relative() && options.rate.is_none() && options.server.is_none() {
        return Err(
            "this scenario's rates are multiples: say of what with --rate, or let it be measured with --server".into(),
        );
    }
    // What this process's environment says wins over what the tool would set.
    if scenario.control && std::env::vars_os().any(|(name, _)| is_policies(&name)) {
        return Err(format!("a control run has policies of its own, with the shedding off: unset {POLICIES}"));
    }
    if scenario.control && options.server.is_none() {
        return Err("only a server of this tool's own (--server) can have its shedding off".into());
    }
    Ok(scenario)
}

/// Whether a variable sets the policies: the gateway knows it in any case.
fn is_policies(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.eq_ignore_ascii_case(POLICIES))
}

#[allow(clippy::print_stdout, reason = "the report is what this program is run for")]
fn deliver(outcome: &Outcome, options: &RunOptions) -> Result<(), String> {
    println!("{}", table::text(outcome));
    let write = |file: &Path, text: String| std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()));
    if let Some(file) = &options.json {
        write(file, serde_json::to_string_pretty(outcome).map_err(|e| e.to_string())? + "\n")?;
    }
    options.html.as_ref().map_or(Ok(()), |file| write(file, report::html(outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_sets_the_policies_in_any_case() {
        assert!(is_policies(OsStr::new("GATEWAY__traffic__Policies")) && is_policies(OsStr::new(POLICIES)));
        assert!(!is_policies(OsStr::new("GATEWAY__TRAFFIC__POLICIES__MODE")));
    }
}

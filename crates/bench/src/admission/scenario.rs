//! The rows that need traffic as it comes: the load tool's scenarios against the release gateway, and of each the figures by
//! name.

use std::{fs, io::ErrorKind, path::Path, process::Stdio};

use serde::Deserialize;

use super::{
    Run,
    table::{Hold, Row, Table},
};

/// What is taken from the load tool's JSON; its own model is `crates/loadtest/src/run/outcome.rs`.
#[derive(Deserialize)]
struct Outcome {
    validity: Validity,
    figures: Vec<Figure>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Validity {
    valid: bool,
    #[serde(default)]
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Figure {
    name: String,
    value: Option<f64>,
    #[serde(default)]
    unit: String,
}

/// A row by the name of its figure.
struct Wanted {
    figure: &'static str,
    what: &'static str,
    against: &'static str,
    /// Figures that a reader needs beside it.
    beside: &'static [&'static str],
    /// What the figure is multiplied with for the table.
    times: f64,
    hold: Hold,
}

const SPIKE: [Wanted; 4] = [
    Wanted {
        figure: "goodput_of_bound",
        what: "10× offered: goodput, of the bound",
        against: "(1 − 10r/a)/(1 − r/a) of own peak",
        beside: &["peak_goodput", "offered", "goodput", "bound", "cpu_accepted_us", "cpu_refused_us"],
        times: 1.0,
        hold: Hold::at_least(0.95, 0.85, "×"),
    },
    Wanted {
        figure: "success_p0",
        what: "The same: priority 0 that succeeds",
        against: "those offered",
        beside: &[],
        times: 100.0,
        hold: Hold::at_least(99.9, 99.5, " %"),
    },
    Wanted {
        figure: "p99_p0_ratio",
        what: "The same: p99 of priority 0",
        against: "unloaded; at the peak",
        beside: &["p99_p0_ms"],
        times: 1.0,
        hold: Hold::at_most(2.0, 4.0, "×"),
    },
    Wanted {
        figure: "recovery_s",
        what: "The same: until p99 is as before the spike",
        against: "p99 before",
        beside: &[],
        times: 1.0,
        hold: Hold::at_most(1.0, 3.0, " s"),
    },
];
const HOT_KEY: [Wanted; 1] = [Wanted {
    figure: "jain",
    what: "One key at 100× its share: Jain index of the rest",
    against: "1 is equal",
    beside: &["success_rest"],
    times: 1.0,
    hold: Hold::at_least(0.99, 0.99, ""),
}];
const RETRY_STORM: [Wanted; 1] = [Wanted {
    figure: "retry_peak_to_mean",
    what: "Clients that obey Retry-After: busiest bin of the wave",
    against: "the wave's mean",
    beside: &["storm_served"],
    times: 1.0,
    hold: Hold::at_most(1.5, 2.0, "×"),
}];

/// Goodput, priority 0 and recovery in a spike to ten times what the gateway can do.
///
/// # Errors
/// In words.
pub(crate) async fn spike(run: &Run, table: &mut Table) -> Result<(), String> {
    measure(run, "spike", &["--seconds", "20", "--passengers", "500"], &SPIKE, table).await
}

/// Whether one key's flood takes anything from the others.
///
/// # Errors
/// In words.
pub(crate) async fn hot_key(run: &Run, table: &mut Table) -> Result<(), String> {
    measure(run, "hot-key", &["--seconds", "15"], &HOT_KEY, table).await
}

/// How evenly refused clients come back.
///
/// # Errors
/// In words.
pub(crate) async fn retry_storm(run: &Run, table: &mut Table) -> Result<(), String> {
    measure(run, "retry-storm", &[], &RETRY_STORM, table).await
}

/// `in_a_hurry`: what makes a quick run short without making it another scenario.
async fn measure(
    run: &Run,
    scenario: &str,
    in_a_hurry: &[&str],
    wanted: &[Wanted],
    table: &mut Table,
) -> Result<(), String> {
    let quick = if run.quick { "-quick" } else { "" };
    let out = |kind: &str| run.places.out.join(format!("traffic-{scenario}{quick}.{kind}"));
    let json = out("json");
    match fs::remove_file(&json) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(format!("{}: {error}", json.display())),
        _ => {}
    }
    // The load tool puts itself and the gateway on a core each.
    let mut command = run.cores.both(&run.places.loadtest);
    command.args(["run", scenario, "--pin", "--server"]).arg(&run.places.gateway);
    command.arg("--json").arg(&json).arg("--html").arg(out("html"));
    if run.quick {
        command.args(in_a_hurry);
    }
    eprintln!("bench: loadtest run {scenario}, some minutes");
    let output = command.stdin(Stdio::null()).output().await.map_err(|e| format!("loadtest: {e}"))?;
    // Its exit code speaks of its own checks; what counts here is whether it measured.
    let outcome = read(&json).map_err(|why| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("loadtest run {scenario} ended with {}: {why}\n{said}", output.status)
    })?;
    let mut doubts = Vec::new();
    if !outcome.validity.valid {
        doubts.push(format!("is not valid: {}", outcome.validity.reasons.join("; ")));
    }
    for wanted in wanted {
        match row(wanted, &outcome.figures) {
            Some(row) => table.add(row),
            None => doubts.push(format!("did not measure `{}`", wanted.figure)),
        }
    }
    outcome.notes.iter().for_each(|note| table.note(format!("`{scenario}`: {note}")));
    let doubts: Vec<String> = doubts.iter().map(|doubt| format!("loadtest run {scenario} {doubt}")).collect();
    if run.quick || doubts.is_empty() {
        doubts.into_iter().for_each(|doubt| table.note(doubt));
        return Ok(());
    }
    Err(doubts.join("; "))
}

fn read(file: &Path) -> Result<Outcome, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

impl Figure {
    fn text(&self) -> Option<String> {
        let name = self.name.strip_suffix(&format!("_{}", self.unit)).unwrap_or(&self.name).replace('_', " ");
        Some(format!("{name} {:.3} {}", self.value?, self.unit).trim_end().to_owned())
    }
}

/// The row of a figure that was measured: one that was not is no zero.
fn row(wanted: &Wanted, figures: &[Figure]) -> Option<Row> {
    let named = |name: &str| figures.iter().find(|figure| figure.name == name);
    let value = named(wanted.figure)?.value? * wanted.times;
    let beside: Vec<String> = wanted.beside.iter().filter_map(|name| named(name)?.text()).collect();
    let colon = if beside.is_empty() { "" } else { ": " };
    Some(Row {
        what: wanted.what.to_owned(),
        figure: format!("{value:.3}{}", wanted.hold.unit()),
        against: format!("{}{colon}{}", wanted.against, beside.join(", ")),
        value,
        hold: wanted.hold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Outcome {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn figures_are_found_by_name_and_a_share_is_told_in_percent() {
        let outcome = outcome(
            r#"{ "validity": { "valid": true, "reasons": [] }, "notes": [], "else": 1, "figures": [
                { "name": "p99_p0_ratio", "value": 1.4, "unit": "", "about": "" },
                { "name": "success_p0", "value": 0.9991, "unit": "share", "about": "" },
                { "name": "bound", "value": 0.7 }, { "name": "cpu_refused_us", "value": 8.0, "unit": "us" },
                { "name": "recovery_s", "value": 0.0, "unit": "s", "about": "" },
                { "name": "goodput_of_bound", "value": 0.9, "unit": "", "about": "" } ] }"#,
        );
        let rows = SPIKE.map(|wanted| row(&wanted, &outcome.figures).unwrap());
        assert_eq!(rows[0].against, "(1 − 10r/a)/(1 − r/a) of own peak: bound 0.700, cpu refused 8.000 us");
        let figures = rows.map(|row| row.figure);
        assert_eq!(figures, ["0.900×", "99.910 %", "1.400×", "0.000 s"]);
    }

    #[test]
    fn what_was_not_measured_is_no_zero() {
        let outcome = outcome(
            r#"{ "validity": { "valid": true }, "figures": [{ "name": "jain", "value": null, "unit": "", "about": "" }] }"#,
        );
        assert!(row(&HOT_KEY[0], &outcome.figures).is_none() && row(&SPIKE[0], &outcome.figures).is_none());
    }
}

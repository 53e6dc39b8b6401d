//! The outcome as text, for the terminal.

use std::fmt::{self, Write};

use super::outcome::{Counts, Outcome, Percentiles};

/// Refusers in the table, at most.
const SHOWN: usize = 8;

/// The whole text.
pub(crate) fn text(run: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, run);
    text
}

fn write(out: &mut String, run: &Outcome) -> fmt::Result {
    let control = if run.scenario.control { ", shedding off (control)" } else { "" };
    writeln!(out, "\n{}{control}: {}", run.scenario.name, run.scenario.about)?;
    let pinned = if run.server.pinned { ", server and generator on a core each" } else { "" };
    writeln!(out, "{} on {} cores{pinned}", run.server.url, run.server.cores)?;
    let capacities = [("capacity", &run.calibration), ("with what the peak accepted", &run.calibration_after)];
    for (name, found) in capacities.into_iter().filter_map(|(name, found)| Some((name, found.as_ref()?))) {
        let cpu = found.cpu_us.map(|us| format!(", {us:.0} us of CPU each")).unwrap_or_default();
        writeln!(out, "{name} {:.0}/s with {} requests under way{cpu}", found.goodput, found.in_flight)?;
    }
    phases(out, run)?;
    kinds(out, run)?;
    if !run.refused_by.is_empty() {
        let mut refusers: Vec<_> = run.refused_by.iter().collect();
        refusers.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words: Vec<_> = refusers.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(out, "\nRefused by: {}", words.join(" · "))?;
    }
    writeln!(out, "\nFigures")?;
    for figure in &run.figures {
        if let Some(value) = figure.value {
            writeln!(out, "  {:<19} {:>12} {:<6} {}", figure.name, number(value), figure.unit, figure.about)?;
        }
    }
    let lag = &run.validity.lag;
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    write!(out, "\nGenerator: late by {} ms at p50, {} at p99, {} at most", ms(lag.p50), ms(lag.p99), ms(lag.max))?;
    match run.validity.generator_cores {
        Some(cores) => writeln!(out, "; {cores:.2} cores")?,
        None => writeln!(out)?,
    }
    run.notes.iter().try_for_each(|note| writeln!(out, "Note: {note}"))?;
    run.validity.reasons.iter().try_for_each(|reason| writeln!(out, "NOT VALID: {reason}"))?;
    if !run.checks.is_empty() {
        writeln!(out, "\nChecks")?;
    }
    for row in &run.checks {
        let value = row.value.map_or_else(|| "not measured".to_owned(), number);
        let word = match (row.holds, row.excused) {
            (true, _) => "holds ",
            (false, true) => "-     ",
            (false, false) => "FAILED",
        };
        writeln!(out, "  {word}  {:<28} {value}", row.check)?;
    }
    Ok(())
}

const HEAD: &str = "offered        ok   refused    failed      p50      p90      p99      max";

fn phases(out: &mut String, run: &Outcome) -> fmt::Result {
    writeln!(out, "\n{:<34} {HEAD}  cores", "Phases, a second; latency in ms")?;
    for phase in &run.phases {
        let seconds = (phase.to_s - phase.from_s).max(0.001);
        let name = format!("{} ({seconds:.0} s)", phase.name);
        let cores = phase.server_cores.map(|cores| format!("  {cores:>5.2}")).unwrap_or_default();
        writeln!(out, "{name:<34} {}{cores}", row(&phase.counts, seconds, &phase.latency))?;
        if phase.role == "peak" || phase.role == "unloaded" {
            for tier in phase.priorities.iter().filter(|tier| tier.counts.offered > 0) {
                let name = format!("  priority {}", tier.priority);
                writeln!(out, "{name:<34} {}", row(&tier.counts, seconds, &tier.latency))?;
            }
        }
    }
    Ok(())
}

fn kinds(out: &mut String, run: &Outcome) -> fmt::Result {
    writeln!(out, "\n{:<34} {HEAD}", "Requests, all")?;
    for kind in &run.kinds {
        let name = format!("{} {}", kind.priority, kind.route);
        writeln!(out, "{name:<34} {}", row(&kind.counts, 1.0, &kind.latency))?;
    }
    writeln!(out, "{:<34} {}", "all", row(&run.totals, 1.0, &run.latency))
}

/// Offered, ok, refused, failed and latencies.
fn row(counts: &Counts, seconds: f64, latency: &Percentiles) -> String {
    let failed = counts.offered - counts.ok - counts.refused();
    let mut text = String::new();
    for (count, width) in [(counts.offered, 7), (counts.ok, 9), (counts.refused(), 9), (failed, 9)] {
        let _ = write!(text, "{:>width$.0} ", count as f64 / seconds);
    }
    for ms in [latency.p50, latency.p90, latency.p99, latency.max] {
        let _ = write!(text, "{:>8} ", ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")));
    }
    text.trim_end().to_owned()
}

/// With as many digits as it needs.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        10_000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        _ => format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::outcome::{CheckRow, Figure, Validity},
        *,
    };

    #[test]
    fn the_table_says_what_failed_and_what_is_not_valid() {
        let figure = Figure { name: "jain".into(), value: Some(0.99), ..Figure::default() };
        let unmeasured = Figure { name: "bound".into(), ..Figure::default() };
        let row = |check: &str, value, excused| CheckRow { check: check.into(), value, holds: false, excused };
        let checks = vec![row("jain>=0.995", Some(0.99), false), row("bound>=0.5", None, true)];
        let validity = Validity { reasons: vec!["it was too slow".into()], ..Validity::default() };
        let text = text(&Outcome { figures: vec![figure, unmeasured], checks, validity, ..Outcome::default() });
        assert!(text.contains("FAILED  jain>=0.995") && text.contains("NOT VALID: it was too slow"), "{text}");
        assert!(text.contains("  jain ") && !text.contains("bound  "), "{text}");
        assert!(text.contains("-       bound>=0.5") && text.contains("not measured"), "{text}");
    }

    #[test]
    fn numbers_have_the_digits_they_need() {
        assert_eq!([0.0, 0.123_45, 1.5, 1234.56, 123_456.7].map(number), ["0", "0.1235", "1.5", "1234.6", "123457"]);
    }
}

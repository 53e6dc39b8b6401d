//! Turns what was counted and seen into the outcome.

mod extras;
mod rows;

use std::time::Duration;

use super::{
    arrivals::Spread,
    book::{Book, SLOT, SLOTS_A_SECOND, Slot},
    engine::Engine,
    figures::{self, Measured},
    limits::Policy,
    observe::Sights,
    outcome::{Calibration, Counts, Outcome, Percentiles, PhaseRow, Refusals, ScenarioFacts, ServerFacts, Validity},
    scenario::{Role, Scenario},
};

/// Version of the JSON.
const FORMAT: u32 = 1;
/// Recovered is who succeeds with this share of the baseline's success…
const SUCCESS_BACK: f64 = 0.95;
/// … within this many times its p99, or so many milliseconds more, whatever is longer.
const LATENCY_BACK: (f64, f64) = (2.0, 5.0);

/// Everything that a run leaves behind.
pub(crate) struct Remains<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) engine: &'a Engine,
    pub(crate) sights: &'a Sights,
    pub(crate) server: ServerFacts,
    pub(crate) base: (f64, &'static str),
    pub(crate) calibration: Option<Calibration>,
    pub(crate) calibration_after: Option<Calibration>,
    pub(crate) refusals: Option<Refusals>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) seed: u64,
    pub(crate) began_unix_s: u64,
    /// Cores that the generator used, mean.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) keys_sent: u64,
    pub(crate) took: Duration,
    pub(crate) notes: Vec<String>,
}

/// The outcome, without checks.
pub(crate) fn outcome(remains: Remains<'_>) -> Outcome {
    let state = remains.engine.state();
    let book = &state.book;
    let (totals, times) = book.totals();
    let phases = rows::phases(remains.scenario, remains.base.0, book, remains.sights, remains.took);
    let mut run = Outcome {
        format: FORMAT,
        tool: concat!("loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        began_unix_s: remains.began_unix_s,
        scenario: facts(&remains),
        validity: validity(&remains, book),
        totals,
        latency: Percentiles::of(&times),
        kinds: rows::kinds(remains.engine, book),
        priorities: rows::priorities(&rows::by_priority(book)),
        phases,
        series: rows::series(book, remains.sights),
        refused_by: rows::named(book, &book.refused),
        policies: remains.policies.iter().map(|policy| policy.verify(&book.admitted, &remains.engine.routes)).collect(),
        retries: extras::retries(remains.scenario, book),
        fairness: extras::fairness(remains.scenario, book),
        spray: extras::spray(&remains, remains.sights),
        notes: remains.notes,
        server: remains.server,
        calibration: remains.calibration,
        calibration_after: remains.calibration_after,
        refusals: remains.refusals,
        ..Outcome::default()
    };
    run.notes.extend(book.examples.iter().map(|example| format!("not expected: {example}")));
    if !book.remembers_all() {
        run.notes.push("more requests were admitted than are held against the policies".to_owned());
    }
    let measured = measured(&run, book, remains.sights);
    run.figures = figures::all(&run, &measured);
    run
}

fn facts(remains: &Remains<'_>) -> ScenarioFacts {
    let scenario = remains.scenario;
    ScenarioFacts {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        control: scenario.control,
        arrivals: if scenario.arrivals == Spread::Even { "even" } else { "poisson" }.to_owned(),
        seed: remains.seed,
        seconds: scenario.spray.as_ref().map_or(scenario.seconds(), |_| remains.took.as_secs_f64()),
        base_rate: remains.base.0,
        base_from: remains.base.1.to_owned(),
        deadline_ms: scenario.deadline_ms,
        max_in_flight: scenario.max_in_flight,
        passengers: scenario.passengers,
        sources: scenario.sources,
    }
}

fn validity(remains: &Remains<'_>, book: &Book) -> Validity {
    let lag = Percentiles::of(&book.lag);
    let max_lag_ms = remains.scenario.max_lag_ms;
    let reasons = reasons(&lag, max_lag_ms);
    let (valid, generator_cores, redrawn) = (reasons.is_empty(), remains.generator_cores, book.redrawn);
    Validity { valid, reasons, lag, max_lag_ms, generator_cores, redrawn }
}

/// Why the generator did not do what was asked of it.
fn reasons(lag: &Percentiles, max_lag_ms: f64) -> Vec<String> {
    let late = lag.p99.filter(|p99| *p99 > max_lag_ms).map(|p99| {
        format!(
            "the generator could not keep up: one request in a hundred was sent {p99:.0} ms late or more, and \
             {max_lag_ms:.0} ms are allowed"
        )
    });
    let nothing = (lag.count == 0).then(|| "no request was sent".to_owned());
    late.into_iter().chain(nothing).collect()
}

fn measured(run: &Outcome, book: &Book, sights: &Sights) -> Measured {
    let phase = |role: Role| run.phases.iter().find(|phase| phase.role == role.name());
    let cpu = |phase: &PhaseRow| sights.cpu_between(phase.from_s, phase.to_s);
    let calm = phase(Role::Baseline).or_else(|| phase(Role::Unloaded));
    Measured {
        recovery_s: phase(Role::Recovery).zip(calm).and_then(|(after, before)| recovery(after, before, book)),
        accepted_us: calm.and_then(|calm| Some(cpu(calm)? * 1e6 / calm.counts.ok.max(1) as f64)),
        rss_mb: sights.list().iter().filter_map(|sight| sight.rss_mb).reduce(f64::max),
    }
}

/// Seconds from the end of the peak to the first whole second, at any quarter, that is as before it; none when there is
/// no such second.
fn recovery(after: &PhaseRow, before: &PhaseRow, book: &Book) -> Option<f64> {
    let (success, p99) = (before.counts.success()?, before.latency.p99?);
    let bar_ms = (p99 * LATENCY_BACK.0).max(p99 + LATENCY_BACK.1);
    let slot = |at_s: f64| (at_s / SLOT.as_secs_f64()).ceil() as usize;
    let slots = book.slots.get(slot(after.from_s)..slot(after.to_s).min(book.slots.len()))?;
    let is_back = |second: &[Slot]| {
        let sum = rows::together(second);
        let counts = sum.counts.iter().fold(Counts::default(), |all, counts| all.plus(counts));
        counts.success().is_some_and(|now| now >= SUCCESS_BACK * success)
            && Percentiles::of(&sum.times).p99.is_some_and(|now| now <= bar_ms)
    };
    let quarters = slots.windows(SLOTS_A_SECOND).position(is_back)?;
    Some(quarters as f64 * SLOT.as_secs_f64())
}

#[cfg(test)]
#[path = "measure_test.rs"]
mod tests;

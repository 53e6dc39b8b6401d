//! What a run found: the JSON that `--json` writes and the HTML report is made from. Only data; who fills it is
//! `measure.rs` and `figures.rs`.
//!
//! Times in `_s` count from the run's first scheduled arrival, seconds. Latencies are milliseconds from the moment at
//! which the request was *meant* to be sent, so what waited in front of a slow server counts. Rates are per second.
//! What was not measured is `null`, never 0.

mod counts;
mod findings;
mod rows;

use std::collections::BTreeMap;

pub(crate) use counts::{Counts, Percentiles};
pub(crate) use findings::{Fairness, PolicyRow, RetryWave, Spray};
pub(crate) use rows::{KindRow, PhaseRow, PriorityRow, Second, ServerSecond};
use serde::{Deserialize, Serialize};

/// One run of one scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Version of this format.
    pub(crate) format: u32,
    /// Name and version of this tool.
    pub(crate) tool: String,
    /// When the load began, seconds since 1970 UTC.
    pub(crate) began_unix_s: u64,
    pub(crate) scenario: ScenarioFacts,
    pub(crate) server: ServerFacts,
    pub(crate) validity: Validity,
    /// Present when the base rate was measured.
    pub(crate) calibration: Option<Calibration>,
    /// The same after the run, with the mix that was accepted at the peak: what is shed first is not as dear as what is not,
    /// so goodput at the peak is held against this.
    #[serde(default)]
    pub(crate) calibration_after: Option<Calibration>,
    /// What a refusal costs, where it was looked at: after the run, the capacity having been measured.
    #[serde(default)]
    pub(crate) refusals: Option<Refusals>,
    /// The whole run.
    pub(crate) totals: Counts,
    /// Latency of the requests that succeeded, whole run.
    pub(crate) latency: Percentiles,
    /// By kind of request, in the order of the mix.
    pub(crate) kinds: Vec<KindRow>,
    /// By priority, 0 first.
    pub(crate) priorities: Vec<PriorityRow>,
    /// The schedule's phases in order, and what happened in each (by the intended start).
    pub(crate) phases: Vec<PhaseRow>,
    /// One entry a second, by the intended start; also the server's side, by the clock.
    pub(crate) series: Vec<Second>,
    /// Who refused how often, whole run: a policy's name, `overload` for a 503 of reduced capacity, `other` for a 429 that
    /// names no policy.
    pub(crate) refused_by: BTreeMap<String, u64>,
    /// The server's policies against what it admitted; empty when it could not be asked.
    pub(crate) policies: Vec<PolicyRow>,
    /// Refused clients that came back; only in scenarios with retries.
    pub(crate) retries: Option<RetryWave>,
    /// One key among many; only in scenarios with a hot key.
    pub(crate) fairness: Option<Fairness>,
    /// Only in scenarios that spray keys.
    pub(crate) spray: Option<Spray>,
    /// Every named figure; `null` values could not be measured in this scenario.
    pub(crate) figures: Vec<Figure>,
    /// The checks asked for, or the scenario's own.
    pub(crate) checks: Vec<CheckRow>,
    /// What a reader should know beside the figures, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ScenarioFacts {
    pub(crate) name: String,
    /// What it shows, a sentence or two.
    pub(crate) about: String,
    /// Shedding was off: the control experiment.
    pub(crate) control: bool,
    /// `poisson` or `even`.
    pub(crate) arrivals: String,
    pub(crate) seed: u64,
    /// Length of the schedule.
    pub(crate) seconds: f64,
    /// Requests a second that a rate of 1 in the scenario stands for.
    pub(crate) base_rate: f64,
    /// `given` (by `--rate`) or `measured` (peak goodput).
    pub(crate) base_from: String,
    /// After so long a client gives up: a failure.
    pub(crate) deadline_ms: u64,
    /// Requests under way at once, at most.
    pub(crate) max_in_flight: u32,
    pub(crate) passengers: u32,
    /// Source addresses that they share.
    pub(crate) sources: u32,
}

/// What was driven.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServerFacts {
    pub(crate) url: String,
    /// Started by this tool.
    pub(crate) own: bool,
    /// Server on one core, generator on another.
    pub(crate) pinned: bool,
    /// Cores of this machine.
    pub(crate) cores: u32,
    /// Where priorities, classes and policies are from: `server` or `built-in` (it could not be asked).
    pub(crate) routes_from: String,
}

/// Whether the generator did what was asked of it; a run that is not valid says nothing about the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Validity {
    pub(crate) valid: bool,
    /// Why not, a sentence each.
    pub(crate) reasons: Vec<String>,
    /// How late requests were sent, milliseconds after the intended start.
    pub(crate) lag: Percentiles,
    /// Above this p99 of the lag the run is not valid, milliseconds.
    pub(crate) max_lag_ms: f64,
    /// Cores that the generator itself used, mean.
    pub(crate) generator_cores: Option<f64>,
    /// Arrivals for whose drawn kind nobody was in a fitting state, and another kind was sent.
    pub(crate) redrawn: u64,
}

/// The search for the capacity: a closed loop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Peak goodput, requests a second.
    pub(crate) goodput: f64,
    /// Requests under way at which it was seen.
    pub(crate) in_flight: u32,
    /// Each step that was tried: requests under way, goodput.
    pub(crate) steps: Vec<(u32, f64)>,
    /// Server's CPU for each request that succeeded, microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// How much of what succeeded was of other kinds than the mix has it, 0…1: nobody could send those.
    #[serde(default)]
    pub(crate) skew: f64,
}

/// Cheap requests from one address of their own, after the run, as many as went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Refusals {
    /// Answered, and of these with 429.
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// Server's CPU for each refusal, microseconds, an upper estimate: that of the few accepted is in it. None when less
    /// than nine tenths were refused.
    pub(crate) cpu_us: Option<f64>,
}

/// A named figure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: Option<f64>,
    /// `ms`, `s`, `1/s`, `MB`, `share`, …; empty for a pure number.
    pub(crate) unit: String,
    /// What it is, a sentence.
    pub(crate) about: String,
}

/// A check and whether it held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CheckRow {
    /// `success_p0>=0.995`.
    pub(crate) check: String,
    /// The figure's value; a check of one that was not measured fails, unless it is excused.
    pub(crate) value: Option<f64>,
    pub(crate) holds: bool,
    /// It does not count: its figure cannot be measured with shedding off, and this is the control experiment.
    #[serde(default)]
    pub(crate) excused: bool,
}

impl CheckRow {
    /// Whether the run failed because of it.
    pub(crate) fn failed(&self) -> bool {
        !self.holds && !self.excused
    }
}

//! What a scenario is: a TOML file, one of those inside the binary or a person's own.

mod bounds;
mod extras;

use std::{collections::BTreeMap, path::Path};

use bounds::{LONGEST_S, within};
pub(crate) use extras::{Hot, Retry, SprayPlan};
use serde::{Deserialize, Serialize};

use super::{
    arrivals::{Spread, Stretch, day_curve},
    checks::Check,
    kinds::{Kind, Mix},
};
use crate::trips::Trip;

/// The scenarios inside.
const BUILT_IN: [(&str, &str); 10] = [
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("spike", include_str!("../../scenarios/spike.toml")),
    ("ramp", include_str!("../../scenarios/ramp.toml")),
    ("city-day", include_str!("../../scenarios/city-day.toml")),
    ("hot-key", include_str!("../../scenarios/hot-key.toml")),
    ("retry-storm", include_str!("../../scenarios/retry-storm.toml")),
    ("retry-storm-mixed", include_str!("../../scenarios/retry-storm-mixed.toml")),
    ("retry-storm-deaf", include_str!("../../scenarios/retry-storm-deaf.toml")),
    ("key-spray", include_str!("../../scenarios/key-spray.toml")),
    ("smoke", include_str!("../../scenarios/smoke.toml")),
];
/// Stretches that a day's curve is cut into: quarter hours.
const DAY_PARTS: usize = 96;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Its name; the file's, when it has none.
    #[serde(default)]
    pub(crate) name: String,
    /// What it shows.
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) arrivals: Spread,
    /// A client gives up after so long, from the intended start: 1…60,000 ms.
    #[serde(default = "deadline_ms")]
    pub(crate) deadline_ms: u64,
    /// Requests under way at once, at most: 1…20,000.
    #[serde(default = "max_in_flight")]
    pub(crate) max_in_flight: u32,
    /// Passengers who are signed in before it begins, at most 100,000.
    #[serde(default = "passengers")]
    pub(crate) passengers: u32,
    /// Addresses of 127.0.0.0/8 that they come from: 1…4,000.
    #[serde(default = "sources")]
    pub(crate) sources: u32,
    /// Drivers in the sandbox's fleet.
    #[serde(default = "drivers")]
    pub(crate) drivers: u32,
    /// With a p99 of the generator's lateness above this, the run is not valid.
    #[serde(default = "max_lag_ms")]
    pub(crate) max_lag_ms: f64,
    #[serde(default)]
    pub(crate) phase: Vec<Phase>,
    /// Weights by kind; without it, the replay's.
    pub(crate) mix: Option<BTreeMap<Kind, f64>>,
    pub(crate) retry: Option<Retry>,
    pub(crate) hot: Option<Hot>,
    pub(crate) spray: Option<SprayPlan>,
    #[serde(default)]
    pub(crate) checks: Vec<String>,
    /// Settings of a server that this tool starts: `"http.trusted_proxies" = "127.0.0.0/8"`.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// A server that this tool starts has its shedding off.
    #[serde(default)]
    pub(crate) control: bool,
}

/// A part of the schedule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// Multiples of the base rate.
    pub(crate) rate: Option<f64>,
    /// Or requests a second.
    pub(crate) per_s: Option<f64>,
    /// The rate goes there in a straight line; without it, it stays.
    pub(crate) to: Option<f64>,
    /// The rate follows the real day of the trips inside, whose busiest quarter hour has `rate`.
    #[serde(default)]
    pub(crate) city_day: bool,
    #[serde(default)]
    pub(crate) role: Role,
    /// Requests of priority 0, multiples of the base rate, at most: rides that are under way do not multiply in a spike.
    pub(crate) priority_0_at_most: Option<f64>,
}

/// What a phase is to the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    #[default]
    #[serde(rename = "")]
    None,
    /// What latencies under load are compared with.
    Unloaded,
    /// What recovery is compared with.
    Baseline,
    /// Too much.
    Peak,
    /// Right after the peak.
    Recovery,
}

fn deadline_ms() -> u64 {
    5000
}
fn max_in_flight() -> u32 {
    4000
}
fn passengers() -> u32 {
    1000
}
fn sources() -> u32 {
    64
}
fn drivers() -> u32 {
    20
}
fn max_lag_ms() -> f64 {
    50.0
}
impl Scenario {
    /// The names of those inside and what they show.
    pub(crate) fn list() -> impl Iterator<Item = (&'static str, String)> {
        BUILT_IN.into_iter().filter_map(|(name, text)| Some((name, Self::parse(name, text).ok()?.about)))
    }

    /// One of those inside, or a file.
    ///
    /// # Errors
    /// No such scenario, or what is wrong in it.
    pub(crate) fn load(name: &str) -> Result<Self, String> {
        if let Some((name, text)) = BUILT_IN.into_iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if !path.exists() {
            let names = BUILT_IN.map(|(name, _)| name).join(", ");
            return Err(format!("no scenario and no file `{name}`; there are: {names}"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
        Self::parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text).map_err(|e| format!("{name}: {e}"))
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if scenario.name.is_empty() {
            scenario.name = name.to_owned();
        }
        scenario.validate()?;
        Ok(scenario)
    }

    /// Its own checks.
    ///
    /// # Errors
    /// The first that is none.
    pub(crate) fn checks(&self) -> Result<Vec<Check>, String> {
        self.checks.iter().map(|text| Check::parse(text)).collect()
    }

    /// How often each kind is drawn.
    ///
    /// # Errors
    /// Weights that are none.
    pub(crate) fn mix(&self) -> Result<Mix, String> {
        self.mix.as_ref().map_or_else(|| Ok(Mix::replay()), Mix::of)
    }

    /// The length of the schedule.
    pub(crate) fn seconds(&self) -> f64 {
        self.phase.iter().map(|phase| phase.seconds).sum()
    }

    /// Makes the schedule as long as this; every phase keeps its share.
    ///
    /// # Errors
    /// Nothing to stretch, or too long.
    pub(crate) fn stretch_to(&mut self, seconds: f64) -> Result<(), String> {
        if self.phase.is_empty() {
            return Err("this scenario has no schedule to stretch".into());
        }
        within("--seconds", seconds, 0.1, LONGEST_S)?;
        let factor = seconds / self.seconds();
        self.phase.iter_mut().for_each(|phase| phase.seconds *= factor);
        Ok(())
    }

    /// Whether a base rate is needed to know what it asks for.
    pub(crate) fn is_relative(&self) -> bool {
        self.phase.iter().any(|phase| phase.rate.is_some())
    }

    /// The schedule at this base rate; `trips` give a day's demand its shape.
    pub(crate) fn stretches(&self, base: f64, trips: &[Trip]) -> Vec<Stretch> {
        let of_phase = |(index, phase): (usize, &Phase)| {
            let (from, to) = phase.rates(base);
            let phase_index = u16::try_from(index).unwrap_or(u16::MAX);
            if !phase.city_day {
                return vec![Stretch { seconds: phase.seconds, from, to, phase: phase_index }];
            }
            let curve = day_curve(trips.iter().map(|trip| trip.second_of_day), DAY_PARTS);
            let next = curve.iter().skip(1).chain(curve.last());
            let seconds = phase.seconds / DAY_PARTS as f64;
            let part = |(a, b): (&f64, &f64)| Stretch { seconds, from: from * a, to: from * b, phase: phase_index };
            curve.iter().zip(next).map(part).collect()
        };
        self.phase.iter().enumerate().flat_map(of_phase).collect()
    }
}

impl Phase {
    /// Requests a second at its beginning and its end.
    pub(crate) fn rates(&self, base: f64) -> (f64, f64) {
        let unit = if self.rate.is_some() { base } else { 1.0 };
        let from = self.rate.or(self.per_s).unwrap_or_default();
        (from * unit, self.to.unwrap_or(from) * unit)
    }
}

#[cfg(test)]
#[path = "scenario_test.rs"]
mod tests;

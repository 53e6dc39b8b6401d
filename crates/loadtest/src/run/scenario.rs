//! What a scenario is: a TOML file, one of those inside the binary or a person's own.

use std::{collections::BTreeMap, path::Path};

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
/// Longest schedule, seconds: sign-ins of a server that is not this tool's own last ten minutes.
const LONGEST_S: f64 = 480.0;

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

/// Refused clients come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Share of clients that wait as long as `Retry-After` says, 0…1.
    pub(crate) obey: f64,
    /// The others come back after this, milliseconds, at least 10.
    #[serde(default = "else_after_ms")]
    pub(crate) else_after_ms: u64,
    /// Retries of a client, 1…1000; after them it gives up.
    #[serde(default = "tries")]
    pub(crate) tries: u32,
    /// Width of the bins of the wave, seconds.
    #[serde(default = "bin_s")]
    pub(crate) bin_s: f64,
    /// Bins with so many arrivals are judged.
    #[serde(default = "judged_from")]
    pub(crate) judged_from: u64,
    /// After the schedule, clients still come back for so long, seconds.
    #[serde(default = "until_s")]
    pub(crate) until_s: f64,
}

/// One passenger among many.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hot {
    /// So many times as many requests as each other one.
    pub(crate) times: f64,
}

/// Keys that are sent once each, as `X-Forwarded-For`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SprayPlan {
    pub(crate) keys: u64,
    /// It ends after so long, seconds, sent or not.
    pub(crate) within_s: f64,
    pub(crate) connections: u32,
    /// Requests under way on each connection.
    pub(crate) pipeline: u32,
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
fn else_after_ms() -> u64 {
    100
}
fn tries() -> u32 {
    50
}
fn bin_s() -> f64 {
    1.0
}
fn judged_from() -> u64 {
    1000
}
fn until_s() -> f64 {
    60.0
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

    /// What serde cannot check.
    ///
    /// # Errors
    /// The first value that is not accepted, with what is allowed.
    pub(crate) fn validate(&self) -> Result<(), String> {
        within("deadline_ms", self.deadline_ms as f64, 1.0, 60_000.0)?;
        within("max_in_flight", self.max_in_flight.into(), 1.0, 20_000.0)?;
        within("passengers", self.passengers.into(), 0.0, 100_000.0)?;
        within("sources", self.sources.into(), 1.0, 4000.0)?;
        within("drivers", self.drivers.into(), 0.0, 100_000.0)?;
        within("max_lag_ms", self.max_lag_ms, 0.0, 60_000.0)?;
        if self.phase.is_empty() == self.spray.is_none() {
            return Err("a scenario has either `[[phase]]` or `[spray]`".into());
        }
        for phase in &self.phase {
            phase.validate().map_err(|e| format!("phase `{}`: {e}", phase.name))?;
        }
        within("seconds, all phases", self.seconds(), 0.0, LONGEST_S)?;
        if self.mix()?.needs_passengers() && self.spray.is_none() && self.passengers == 0 {
            return Err("`passengers`: the mix needs some who are signed in".into());
        }
        if let Some(retry) = &self.retry {
            within("retry.obey", retry.obey, 0.0, 1.0)?;
            within("retry.else_after_ms", retry.else_after_ms as f64, 10.0, 60_000.0)?;
            within("retry.tries", retry.tries.into(), 1.0, 1000.0)?;
            within("retry.bin_s", retry.bin_s, 0.05, 60.0)?;
            within("retry.until_s", retry.until_s, 0.0, LONGEST_S)?;
        }
        if let Some(hot) = &self.hot {
            within("hot.times", hot.times, 1.0, 100_000.0)?;
            within("passengers, of a hot one among them", self.passengers.into(), 2.0, 100_000.0)?;
        }
        if let Some(spray) = &self.spray {
            within("spray.keys", spray.keys as f64, 1.0, 16_000_000.0)?;
            within("spray.within_s", spray.within_s, 1.0, 900.0)?;
            within("spray.connections", spray.connections.into(), 1.0, 1000.0)?;
            within("spray.pipeline", spray.pipeline.into(), 1.0, 1000.0)?;
        }
        self.checks()?;
        Ok(())
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
    fn validate(&self) -> Result<(), String> {
        within("seconds", self.seconds, 0.05, LONGEST_S)?;
        let from = match (self.rate, self.per_s) {
            (Some(rate), None) | (None, Some(rate)) => rate,
            _ => return Err("give either `rate` or `per_s`".into()),
        };
        within("rate", from, 0.0, 1_000_000.0)?;
        within("to", self.to.unwrap_or(from), 0.0, 1_000_000.0)?;
        within("priority_0_at_most", self.priority_0_at_most.unwrap_or_default(), 0.0, 1_000_000.0)?;
        if self.city_day && self.to.is_some() {
            return Err("`to` and `city_day` exclude each other".into());
        }
        Ok(())
    }

    /// Requests a second at its beginning and its end.
    pub(crate) fn rates(&self, base: f64) -> (f64, f64) {
        let unit = if self.rate.is_some() { base } else { 1.0 };
        let from = self.rate.or(self.per_s).unwrap_or_default();
        (from * unit, self.to.unwrap_or(from) * unit)
    }
}

fn within(what: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("`{what}` is {value}: allowed is {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: &str = "[[phase]]\nname = \"p\"\nseconds = 10\nrate = 1.0\n";

    fn parse(text: &str) -> Result<Scenario, String> {
        Scenario::parse("x", &format!("about = \"a\"\n{text}"))
    }

    #[test]
    fn every_scenario_inside_is_valid_and_says_what_it_shows() {
        for (name, text) in BUILT_IN {
            let scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(scenario.about.len() > 20 && scenario.name == name && !scenario.checks.is_empty(), "{name}");
        }
        assert_eq!(Scenario::list().count(), BUILT_IN.len());
    }

    #[test]
    fn a_mistake_is_named_with_what_is_allowed() {
        for (text, part) in [
            ("", "either `[[phase]]` or `[spray]`"),
            (
                "deadline_ms = 0\n[[phase]]\nname = \"p\"\nseconds = 10\nrate = 1.0\n",
                "`deadline_ms` is 0: allowed is 1 to 60000",
            ),
            ("speed = 3\n", "speed"),
            ("checks = [\"beauty > 3\"]\n[[phase]]\nname = \"p\"\nseconds = 1\nrate = 1.0\n", "beauty"),
            ("[[phase]]\nname = \"p\"\nseconds = 1\n", "phase `p`: give either `rate` or `per_s`"),
            ("[[phase]]\nname = \"p\"\nseconds = 1000\nrate = 1.0\n", "phase `p`: `seconds`"),
            ("[mix]\nwalk = 1\n", "walk"),
        ] {
            let error = parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"));
            assert!(error.contains(part), "{error}");
        }
        assert!(parse(PHASE).is_ok());
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Scenario::load("spikes").err().unwrap();
        assert!(error.contains("spike, ramp"), "{error}");
    }

    #[test]
    fn rates_are_multiples_of_the_base_and_per_s_is_not() {
        let text = "[[phase]]\nname = \"a\"\nseconds = 1\nrate = 2.0\nto = 4.0\n[[phase]]\nname = \"b\"\nseconds = 1\nper_s = 7\n";
        let stretches = parse(text).unwrap().stretches(100.0, &[]);
        assert_eq!((stretches[0].from, stretches[0].to, stretches[0].phase), (200.0, 400.0, 0));
        assert_eq!((stretches[1].from, stretches[1].to, stretches[1].phase), (7.0, 7.0, 1));
    }

    #[test]
    fn a_stretched_schedule_keeps_the_shares_of_its_phases() {
        let mut scenario = Scenario::load("spike").unwrap();
        let share = |s: &Scenario| s.phase[0].seconds / s.seconds();
        let before = share(&scenario);
        scenario.stretch_to(3.0).unwrap();
        assert!((scenario.seconds() - 3.0).abs() < 1e-9 && (share(&scenario) - before).abs() < 1e-9);
    }
}

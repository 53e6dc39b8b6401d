//! The report at the end: JSON for programs, and a table for people ([`text`]).

mod text;

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    client::Client,
    money::Sums,
    options::Options,
    outage::Why,
    promises::{Cases, Kind},
    tally::{Counts, Times},
};

/// The whole report.
#[derive(Serialize)]
pub(crate) struct Report {
    options: Options,
    #[serde(flatten)]
    course: Course,
    rides_per_second: f64,
    /// From the start of the process to its readiness, milliseconds.
    restarts: Option<Row>,
    calls: Vec<Row>,
    spans: Vec<Row>,
    #[serde(flatten)]
    counts: Counts,
    broken_promises: BTreeMap<Kind, Cases>,
}

/// Times in milliseconds.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    count: u64,
    min_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    answers: BTreeMap<u16, u64>,
}

/// How the replay as a whole went.
#[derive(Default, Serialize)]
pub(crate) struct Course {
    /// Trips that were to be driven.
    pub(crate) trips: usize,
    /// Trips that never began.
    pub(crate) not_begun: usize,
    /// From the first trip's beginning to the last one's end.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) took: Duration,
    /// Passengers whose history was read at the end.
    #[serde(rename = "histories_read")]
    pub(crate) histories: usize,
    /// Why it stopped early, when it did.
    #[serde(rename = "stopped", serialize_with = "words")]
    pub(crate) why: Option<Why>,
    /// What all rides cost, when everybody could be looked at.
    pub(crate) money: Option<Sums>,
    /// What SQLite found in the database, when it was asked.
    pub(crate) integrity: Option<String>,
    /// Whether the server said at the end that its driver index agrees with the rides.
    pub(crate) is_consistent: bool,
    /// How many kills happened.
    pub(crate) kills: usize,
    /// How long each start of the server took.
    #[serde(skip)]
    pub(crate) starts: Vec<Duration>,
}

impl Report {
    /// The report of what `client` counted and noted.
    pub(crate) fn new(options: Options, client: &Client, course: Course) -> Self {
        let counts = client.tally.counts().clone();
        let rides_per_second = counts.done() as f64 / course.took.as_secs_f64().max(0.001);
        let mut restarts = Times::default();
        course.starts.iter().skip(1).for_each(|start| restarts.add(*start));
        Self {
            options,
            rides_per_second,
            restarts: (restarts.count() > 0).then(|| row("restarts", &restarts, BTreeMap::new())),
            calls: counts.calls.iter().map(|(call, c)| row(call, &c.times, c.statuses.clone())).collect(),
            spans: counts.spans.iter().map(|(name, times)| row(name, times, BTreeMap::new())).collect(),
            counts,
            course,
            broken_promises: client.promises.list(),
        }
    }

    /// Whether no promise was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken_promises.is_empty()
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_json(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Prints the table.
    #[allow(clippy::print_stdout, reason = "the report is what this program is run for")]
    pub(crate) fn print(&self) {
        println!("{self}");
    }
}

fn row(name: &'static str, times: &Times, answers: BTreeMap<u16, u64>) -> Row {
    let (count, max_ms) = (times.count(), times.max_ms());
    let [min_ms, p50_ms, p90_ms, p99_ms] = [0.0, 0.5, 0.9, 0.99].map(|share| times.ms_at(share));
    Row { name, count, min_ms, p50_ms, p90_ms, p99_ms, max_ms, answers }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn words<S: Serializer>(why: &Option<Why>, serializer: S) -> Result<S::Ok, S::Error> {
    why.map(|why| why.to_string()).serialize(serializer)
}

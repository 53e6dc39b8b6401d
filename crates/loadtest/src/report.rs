//! The report at the end: a table for people, JSON for programs.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::Path,
    time::Duration,
};

use serde::Serialize;

use crate::{
    client::Client,
    options::Options,
    outage::Why,
    progress::clock,
    promises::{Cases, Kind},
    tally::{Counts, Times},
};

/// Examples of one kind in the table; the JSON report has more.
const SHOWN: usize = 5;

/// The whole report.
#[derive(Serialize)]
pub(crate) struct Report {
    options: Options,
    trips: usize,
    not_begun: usize,
    seconds: f64,
    rides_per_second: f64,
    /// Why it stopped early, when it did.
    stopped: Option<String>,
    passengers: u64,
    kills: usize,
    histories_read: usize,
    rides: BTreeMap<String, u64>,
    cancelled_by: BTreeMap<String, u64>,
    payments_after_completed: BTreeMap<String, u64>,
    payments_after_other_ends: BTreeMap<String, u64>,
    calls: Vec<Row>,
    spans: Vec<Row>,
    obeyed_429: u64,
    excused: u64,
    streams_resumed: u64,
    events: u64,
    locations: u64,
    heartbeats: u64,
    broken_promises: BTreeMap<Kind, Cases>,
}

/// Latencies in milliseconds.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    answers: BTreeMap<u16, u64>,
}

/// How the replay as a whole went.
pub(crate) struct Course {
    /// Trips that were to be driven.
    pub(crate) trips: usize,
    /// Trips that never began.
    pub(crate) not_begun: usize,
    /// From the first trip's beginning to the last one's end.
    pub(crate) took: Duration,
    /// Passengers whose history was read at the end.
    pub(crate) histories: usize,
    /// Why it stopped early, when it did.
    pub(crate) why: Option<Why>,
}

impl Report {
    /// The report of what `client` counted and noted.
    pub(crate) fn new(options: Options, client: &Client, course: &Course) -> Self {
        let counts = client.tally.counts().clone();
        let seconds = course.took.as_secs_f64();
        let (calls, spans) = rows(&counts);
        Self {
            options,
            trips: course.trips,
            not_begun: course.not_begun,
            seconds,
            rides_per_second: counts.done() as f64 / seconds.max(0.001),
            stopped: course.why.map(|why| why.to_string()),
            passengers: counts.passengers,
            kills: client.outages.count(),
            histories_read: course.histories,
            rides: counts.endings.iter().map(|(ending, n)| (ending.to_string(), *n)).collect(),
            cancelled_by: counts.cancelled_by,
            payments_after_completed: counts.payments,
            payments_after_other_ends: counts.payments_undriven,
            calls,
            spans,
            obeyed_429: counts.limited,
            excused: counts.excused,
            streams_resumed: counts.resumed,
            events: counts.events,
            locations: counts.locations,
            heartbeats: counts.heartbeats,
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

    /// How the trips ended, and what share of all trips that is.
    fn shares(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nTrips by their end, of {}", self.trips)?;
        let share = |n: u64| 100.0 * n as f64 / self.trips.max(1) as f64;
        self.rides.iter().try_for_each(|(end, n)| writeln!(f, "  {n:>7}  {:>5.1} %  {end}", share(*n)))
    }

    /// Where the money of rides that ended in one of `ends` is, and how many of them were asked.
    fn payments(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        payments: &BTreeMap<String, u64>,
        ends: &[&str],
    ) -> fmt::Result {
        let all: u64 = ends.iter().filter_map(|end| self.rides.get(*end)).sum();
        let asked: u64 = payments.values().sum();
        if all == 0 {
            return Ok(());
        }
        writeln!(f, "\nPayment of {what}, at the end: {asked} of {all} were asked")?;
        payments.iter().try_for_each(|(status, n)| writeln!(f, "  {n:>7}  {status}"))
    }

    /// Prints the table.
    #[allow(clippy::print_stdout, reason = "the report is what this program is run for")]
    pub(crate) fn print(&self) {
        println!("{self}");
    }
}

fn rows(counts: &Counts) -> (Vec<Row>, Vec<Row>) {
    let row = |name, times: &Times, answers| Row {
        name,
        count: times.count(),
        p50_ms: times.ms_at(0.5),
        p90_ms: times.ms_at(0.9),
        p99_ms: times.ms_at(0.99),
        max_ms: times.max_ms(),
        answers,
    };
    let calls = counts.calls.iter().map(|(call, c)| row(call.title(), &c.times, c.statuses.clone())).collect();
    let spans = counts.spans.iter().map(|(name, times)| row(name, times, BTreeMap::new())).collect();
    (calls, spans)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = clock(Duration::from_secs_f64(self.seconds));
        writeln!(
            f,
            "\n{} trips in {took} ({:.1} a second), {} at once at most",
            self.trips, self.rides_per_second, self.options.concurrency
        )?;
        if let Some(why) = &self.stopped {
            writeln!(f, "stopped early: {why}; {} trips never began", self.not_begun)?;
        }
        writeln!(f, "{} passengers were needed; {} histories read at the end", self.passengers, self.histories_read)?;
        writeln!(f, "{} events, {} driver positions, {} heartbeats", self.events, self.locations, self.heartbeats)?;
        if self.kills > 0 {
            writeln!(
                f,
                "killed {} times: {} failures excused, {} streams resumed",
                self.kills, self.excused, self.streams_resumed
            )?;
        }
        if self.obeyed_429 > 0 {
            writeln!(f, "{} answers were 429, and obeyed", self.obeyed_429)?;
        }
        self.shares(f)?;
        list(f, "Cancelled by", &self.cancelled_by)?;
        self.payments(f, "completed rides", &self.payments_after_completed, &["completed"])?;
        self.payments(f, "expired and cancelled rides", &self.payments_after_other_ends, &["expired", "cancelled"])?;
        table(f, "Calls, milliseconds", &self.calls)?;
        table(f, "Rides, milliseconds", &self.spans)?;
        if self.is_clean() {
            let so_far = if self.stopped.is_some() { " so far" } else { "" };
            return write!(f, "\nNo promise was broken{so_far}.");
        }
        writeln!(f, "\nBroken promises")?;
        for (kind, cases) in &self.broken_promises {
            writeln!(f, "  {:>7}  {}", cases.total, kind.title())?;
            for case in cases.examples.iter().take(SHOWN) {
                let ride = case.ride.as_deref().map(|id| format!("ride {id}: ")).unwrap_or_default();
                writeln!(f, "             {ride}{}", case.detail)?;
            }
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: &BTreeMap<String, u64>) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    lines.iter().try_for_each(|(name, n)| writeln!(f, "  {n:>7}  {name}"))
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[Row]) -> fmt::Result {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default().max(title.len());
    writeln!(f, "\n{title:width$}  {:>8} {:>8} {:>8} {:>8} {:>8}", "count", "p50", "p90", "p99", "max")?;
    for Row { name, count, p50_ms, p90_ms, p99_ms, max_ms, answers } in rows {
        let answers = answers.iter().fold(String::new(), |mut text, (status, n)| {
            // Writing to a string cannot fail.
            let _ = write!(text, "  {status}×{n}");
            text
        });
        writeln!(f, "{name:width$}  {count:>8} {p50_ms:>8.1} {p90_ms:>8.1} {p99_ms:>8.1} {max_ms:>8.1}{answers}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{outage::Halt, tally::Ending, wire::Status};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_table_says_what_share_ended_how_and_how_many_payments_were_asked() {
        let client = Client::new("http://127.0.0.1:9", Halt::new()).unwrap();
        let mut counts = client.tally.counts();
        counts.endings =
            [(Ending::Final(Status::Completed), 150), (Ending::Final(Status::Expired), 46), (Ending::Refused, 4)]
                .into();
        counts.payments = [("captured".to_owned(), 149)].into();
        counts.payments_undriven = [("voided".to_owned(), 46)].into();
        drop(counts);
        let course = Course { trips: 200, not_begun: 0, took: Duration::from_secs(9), histories: 200, why: None };
        let text = Report::new(Line::parse_from(["loadtest"]).options, &client, &course).to_string();
        for line in [
            "Trips by their end, of 200",
            "      150   75.0 %  completed",
            "       46   23.0 %  expired",
            "        4    2.0 %  refused at the quote",
            "Payment of completed rides, at the end: 149 of 150 were asked",
            "Payment of expired and cancelled rides, at the end: 46 of 46 were asked",
            "      149  captured",
            "       46  voided",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
        }
    }
}

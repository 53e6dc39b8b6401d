//! The table for people.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{Report, Row};
use crate::{money::Sums, progress::clock, tally::Ending, wire::Status};

/// Examples of one kind in the table; the JSON report has more.
const SHOWN: usize = 5;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, course, counts, .. } = self;
        let (trips, rate) = (course.trips, self.rides_per_second);
        writeln!(
            f,
            "\n{trips} trips in {} ({rate:.1} a second), {} at once at most",
            clock(course.took),
            options.concurrency
        )?;
        if let Some(why) = &course.why {
            writeln!(f, "stopped early: {why}; {} trips never began", course.not_begun)?;
        }
        writeln!(f, "{} passengers were needed; {} histories read at the end", counts.passengers, course.histories)?;
        writeln!(
            f,
            "{} events, {} driver positions, {} heartbeats",
            counts.events, counts.locations, counts.heartbeats
        )?;
        self.kills(f)?;
        if counts.limited > 0 {
            writeln!(f, "{} answers were 429, and obeyed", counts.limited)?;
        }
        if counts.shed > 0 {
            writeln!(f, "{} answers were 503 for reduced capacity, and obeyed", counts.shed)?;
        }
        self.money(f)?;
        self.shares(f)?;
        list(f, "Cancelled by", &counts.cancelled_by)?;
        self.payments(f, "completed rides", &counts.payments, &[Status::Completed])?;
        let undriven = [Status::Expired, Status::Cancelled];
        self.payments(f, "expired and cancelled rides", &counts.payments_undriven, &undriven)?;
        table(f, "Calls, milliseconds", &self.calls)?;
        table(f, "Rides, milliseconds", &self.spans)?;
        if self.is_clean() {
            let so_far = if course.why.is_some() { " so far" } else { "" };
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

impl Report {
    /// How the trips ended, and what share of all trips that is.
    fn shares(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nTrips by their end, of {}", self.course.trips)?;
        let share = |n: u64| 100.0 * n as f64 / self.course.trips.max(1) as f64;
        self.counts.endings.iter().try_for_each(|(end, n)| writeln!(f, "  {n:>7}  {:>5.1} %  {end}", share(*n)))
    }

    /// Where the money of rides that ended in one of `ends` is, and how many of them were asked.
    fn payments(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        payments: &BTreeMap<String, u64>,
        ends: &[Status],
    ) -> fmt::Result {
        let all: u64 = ends.iter().filter_map(|end| self.counts.endings.get(&Ending::Final(*end))).sum();
        let asked: u64 = payments.values().sum();
        if all == 0 {
            return Ok(());
        }
        list(f, &format!("Payment of {what}, at the end: {asked} of {all} were asked"), payments)
    }

    /// How often the server was killed, and what that cost.
    fn kills(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.course.kills == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "killed {} times: {} failed connections and {} answers 503 excused, {} streams resumed",
            self.course.kills, self.counts.excused, self.counts.excused_503, self.counts.resumed
        )?;
        if let Some(Row { count, min_ms, p50_ms, max_ms, .. }) = &self.restarts {
            writeln!(
                f,
                "{count} restarts came to readiness, in {min_ms:.0} ms at least, {p50_ms:.0} at the median, {max_ms:.0} at most"
            )?;
        }
        Ok(())
    }

    /// What all rides cost, what their receipts say, and what the bank took.
    fn money(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Sums { due, captured, bank }) = &self.course.money {
            let bank = bank.map(|taken| format!(", {taken} taken by the bank")).unwrap_or_default();
            writeln!(f, "money, in minor units: {due} due, {captured} captured by receipts{bank}")?;
        }
        match &self.course.integrity {
            Some(said) => writeln!(f, "SQLite's integrity check of the database: {said}"),
            None if self.options.server.is_some() && self.options.postgres.is_none() => {
                writeln!(f, "SQLite's integrity check was left out: there is no program `sqlite3` here")
            }
            None => Ok(()),
        }?;
        if self.course.is_consistent {
            writeln!(f, "the driver index agrees with the rides")?;
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
    for Row { name, count, p50_ms, p90_ms, p99_ms, max_ms, answers, .. } in rows {
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
    use std::time::Duration;

    use clap::Parser;

    use super::{
        super::{Course, Options, Report},
        *,
    };
    use crate::{client::Client, money::Sums, outage::Halt};

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
        let course = Course {
            trips: 200,
            kills: 4,
            is_consistent: true,
            took: Duration::from_secs(9),
            money: Some(Sums { due: 900, captured: 900, bank: Some(900) }),
            starts: [5, 200, 300, 400].map(Duration::from_millis).to_vec(),
            ..Course::default()
        };
        let text = Report::new(Line::parse_from(["loadtest"]).options, &client, course).to_string();
        for line in [
            "Trips by their end, of 200",
            "3 restarts came to readiness, in 200 ms at least, 300 at the median, 400 at most",
            "the driver index agrees with the rides",
            "money, in minor units: 900 due, 900 captured by receipts, 900 taken by the bank",
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

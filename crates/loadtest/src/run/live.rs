//! What a person sees while a run goes on: one line that renews itself on a terminal, a line every few seconds else.

use std::{
    convert::Infallible,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use super::{
    book::{Book, SLOTS_A_SECOND, Slot},
    engine::Engine,
    observe::Sights,
    outcome::{Counts, Percentiles},
};
use crate::tally::Times;

/// A line about what is being done before or after the run.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let again = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    // A line that cannot be written is no reason to stop.
    let _ = writeln!(stderr, "{again}loadtest: {text}");
}

/// Shows how the run goes, for ever: the caller drops it. `phases` are names and ends; all ends at `total` seconds.
pub(crate) async fn show(engine: &Engine, sights: &Sights, phases: &[(String, f64)], start: Instant) -> Infallible {
    let mut ticks = tokio::time::interval(step());
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let at_s = start.elapsed().as_secs_f64();
        let text = line(&engine.state().book, sights, phases, at_s, engine.in_flight());
        renew(&text);
    }
}

/// Between two lines about how something goes.
pub(crate) fn step() -> Duration {
    if std::io::stderr().is_terminal() { Duration::from_millis(500) } else { Duration::from_secs(5) }
}

/// The line that renews itself, or one more where there is no terminal.
pub(crate) fn renew(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let terminal = std::io::stderr().is_terminal();
    // A line that cannot be written is no reason to stop.
    let _ = if terminal { write!(stderr, "\r\x1b[2K{text}") } else { writeln!(stderr, "{text}") };
    let _ = stderr.flush();
}

fn line(book: &Book, sights: &Sights, phases: &[(String, f64)], at_s: f64, in_flight: u32) -> String {
    let total = phases.last().map_or(0.0, |(_, end)| *end);
    let phase = phases.iter().find(|(_, end)| at_s < *end).map_or("the last answers", |(name, _)| name.as_str());
    let mut parts = vec![format!("{at_s:.0} of {total:.0} s"), phase.to_owned()];
    // The last second that is whole, by the intended start.
    let last = book.slots.len().saturating_sub(1);
    let slots = &book.slots[last.saturating_sub(SLOTS_A_SECOND)..last];
    let (counts, times) = sum(slots);
    parts.push(format!("offered {}/s", counts.offered));
    parts.push(format!("ok {}", counts.ok));
    if counts.refused() > 0 {
        parts.push(format!("refused {}", counts.refused()));
    }
    let failed = counts.offered - counts.ok - counts.refused();
    if failed > 0 {
        parts.push(format!("failed {failed}"));
    }
    if let Percentiles { p99: Some(p99), .. } = Percentiles::of(&times) {
        parts.push(format!("p99 {p99:.0} ms"));
    }
    parts.push(format!("in flight {in_flight}"));
    // The last look ends the second before it.
    let looks = sights.list().len();
    let seen = looks.checked_sub(2).and_then(|second| sights.second(second));
    if let Some(seen) = seen {
        let mut server = seen.cores.map(|cores| format!("{cores:.2} cores")).into_iter().collect::<Vec<_>>();
        server.extend(seen.rss_mb.map(|mb| format!("{mb:.0} MB")));
        server.extend(seen.limit.map(|limit| format!("limit {limit}")));
        server.extend(seen.level.filter(|level| *level > 0.0).map(|level| format!("level {level}")));
        parts.push(format!("server {}", server.join(" ")));
    }
    parts.join(" · ")
}

fn sum(slots: &[Slot]) -> (Counts, Times) {
    slots.iter().fold((Counts::default(), Times::coarse()), |(counts, times), slot| {
        (slot.counts.iter().fold(counts, |sum, counts| sum.plus(counts)), times.with(&slot.times))
    })
}

/// Ends the line that renews itself.
pub(crate) fn end() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

#[cfg(test)]
mod tests {
    use super::{super::observe::Sight, *};

    #[test]
    fn a_line_says_where_the_run_is() {
        let mut book = Book::new(Instant::now(), 1, None);
        book.slots.resize_with(5, Slot::default);
        book.slots[3].counts[2] = Counts { offered: 10, ok: 7, refused_503: 2, timeouts: 1, ..Counts::default() };
        let phases = [("quiet".to_owned(), 2.0), ("spike".to_owned(), 9.0)];
        let sights = Sights::default();
        for (at, cpu) in [(0, 1.0), (1, 1.5)] {
            let (at, cpu_s, rss_mb) = (Duration::from_secs(at), Some(cpu), Some(9.0));
            sights.list().push(Sight { at, cpu_s, rss_mb, ..Sight::default() });
        }
        assert_eq!(
            line(&book, &sights, &phases, 3.2, 4),
            "3 of 9 s · spike · offered 10/s · ok 7 · refused 2 · failed 1 · in flight 4 · server 0.50 cores 9 MB"
        );
    }
}

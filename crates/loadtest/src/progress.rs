//! What a person sees while the replay runs: one line that renews itself on a terminal, a line every few seconds else.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{client::Client, tally::Counts};

/// Rides per second are those of this stretch.
const STRETCH: Duration = Duration::from_secs(10);

/// Shows how far the replay is, for ever: the caller drops it. `total` is the number of trips.
pub(crate) async fn show(client: &Client, total: u64) -> Infallible {
    let terminal = std::io::stderr().is_terminal();
    let step = if terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
    let mut ticks = tokio::time::interval(step);
    ticks.tick().await;
    let mut past = VecDeque::from([(Instant::now(), 0)]);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let counts = client.tally.counts().clone();
        past.push_back((now, counts.done()));
        while past.len() > 2 && past.front().is_some_and(|(then, _)| now - *then > STRETCH) {
            past.pop_front();
        }
        let (then, done_then) = past.front().copied().unwrap_or((now, 0));
        let rate = (counts.done() - done_then) as f64 / (now - then).as_secs_f64().max(0.001);
        let text = line(&counts, total, rate, client.promises.total());
        let mut stderr = std::io::stderr().lock();
        // A progress line that cannot be written is no reason to stop.
        let _ = if terminal { write!(stderr, "\r\x1b[2K{text}") } else { writeln!(stderr, "{text}") };
        let _ = stderr.flush();
    }
}

/// Ends the line that renews itself.
pub(crate) fn end() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

fn line(counts: &Counts, total: u64, rate: f64, broken: u64) -> String {
    let done = counts.done();
    let left = total.saturating_sub(done + counts.under_way);
    let mut parts = vec![format!("{done} of {total} trips done, {} under way, {left} left", counts.under_way)];
    parts.push(format!("{rate:.1} rides/s"));
    parts.extend(counts.endings.iter().map(|(ending, n)| format!("{ending} {n}")));
    if counts.limited > 0 {
        parts.push(format!("429 {}", counts.limited));
    }
    if counts.shed > 0 {
        parts.push(format!("503 {}", counts.shed));
    }
    parts.push(format!("broken promises {broken}"));
    if rate > 0.0 {
        parts.push(format!("about {} to go", clock(Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate))));
    }
    parts.join(" · ")
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tally::Ending, wire::Status};

    #[test]
    fn a_line_says_what_is_done_and_what_is_left() {
        let mut counts = Counts { under_way: 20, limited: 3, ..Counts::default() };
        counts.endings.insert(Ending::Final(Status::Completed), 70);
        counts.endings.insert(Ending::Final(Status::Cancelled), 10);
        assert_eq!(
            line(&counts, 200, 2.0, 1),
            "80 of 200 trips done, 20 under way, 100 left · 2.0 rides/s · completed 70 · cancelled 10 · 429 3 · \
             broken promises 1 · about 1:00 to go"
        );
    }
}

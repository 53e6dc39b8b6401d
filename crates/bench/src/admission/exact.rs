//! Whether threads that hammer one key together get a unit more than it has.

use std::{num::NonZeroU32, time::Duration};

use arrayvec::ArrayVec;
use clap::Args;
use serde::{Deserialize, Serialize};
use traffic::{
    Nanos,
    limit::{Key, Secret, Tier, decide_all},
};

use super::{
    Run,
    limiter::Limit,
    side::{said_by, say},
    table::{Hold, Row, Table},
};
use crate::clock;

const EXACT: Hold = Hold::at_most(0.0, 0.0, "");
/// More than there are cores, so that threads are also interrupted between reading the clock and deciding.
const THREADS: usize = 4;
/// 50,000 units a second: refused far more often than admitted.
const LIMIT: Limit = Limit { period: Duration::from_micros(20), burst: NonZeroU32::new(1000).unwrap() };

/// What the bench starts it with.
#[derive(Args)]
pub(crate) struct Options {
    /// How long, milliseconds
    #[arg(long)]
    ms: u64,
}

/// What all threads together saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    asked: u64,
    admitted: u64,
    /// burst + rate·t, t from the first decision's time to the last one's.
    allowed: u64,
}

/// Measures once and says what it saw.
///
/// # Errors
/// In words.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    say(&hammer(Duration::from_millis(options.ms))?)
}

/// Decisions of four tiers, of which the first refuses: a unit of it taken for a decision that another tier refuses
/// would show as well.
fn hammer(time: Duration) -> Result<Seen, String> {
    let tables = [LIMIT, Limit::NEVER, Limit::NEVER, Limit::NEVER];
    let tables: ArrayVec<_, 4> = (1..).zip(tables).map(|(id, limit)| limit.table(id, 1000)).collect();
    let (key, start) = (Secret::new([7; 16]).key(b"one"), clock::now());
    let tier = |table| Tier { table, key, prefix: Key::SHARED, cost: 1, shadow: false };
    let tiers: ArrayVec<_, 4> = tables.iter().map(tier).collect();
    let work = || {
        let (mut asked, mut admitted, mut first, mut last) = (0, 0, u64::MAX, 0);
        while start.elapsed() < time {
            for _ in 0..100 {
                let now = start.elapsed().as_nanos() as u64;
                (first, last) = (first.min(now), last.max(now));
                asked += 1;
                admitted += u64::from(decide_all(&tiers, Nanos(now), &mut ArrayVec::new()));
            }
        }
        (asked, admitted, first, last)
    };
    let threads = std::thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(work));
        threads.map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned()))
    });
    let (mut seen, mut first, mut last) = (Seen::default(), u64::MAX, 0);
    for thread in threads {
        let (asked, admitted, began, ended) = thread?;
        (seen.asked, seen.admitted) = (seen.asked + asked, seen.admitted + admitted);
        (first, last) = (first.min(began), last.max(ended));
    }
    seen.allowed = u64::from(LIMIT.burst.get()) + last.saturating_sub(first) / LIMIT.period.as_nanos() as u64;
    Ok(seen)
}

/// A process a round; the worst round is judged.
///
/// # Errors
/// In words.
pub(crate) async fn measure(run: &Run, table: &mut Table) -> Result<(), String> {
    let ms = if run.quick { "200" } else { "2000" };
    let mut all: Vec<Seen> = Vec::new();
    for _ in 0..run.rounds {
        let mut command = run.cores.both(&run.own);
        command.args(["hammer", "--ms", ms]);
        all.push(said_by(command).await?);
    }
    let over = all.iter().map(|seen| seen.admitted.saturating_sub(seen.allowed)).max().unwrap_or_default();
    let sum = |of: fn(&Seen) -> u64| all.iter().map(of).sum::<u64>();
    let (asked, admitted, allowed) = (sum(|seen| seen.asked), sum(|seen| seen.admitted), sum(|seen| seen.allowed));
    table.add(Row {
        what: format!("Over-admission above burst + rate·t, {THREADS} threads on one key"),
        figure: format!("{over}; {admitted} admitted of {asked}"),
        against: format!("exact: {allowed} allowed"),
        value: over as f64,
        hold: EXACT,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_threads_get_what_is_allowed_and_nothing_more() {
        let seen = hammer(Duration::from_millis(30)).unwrap();
        assert!(seen.admitted <= seen.allowed && seen.admitted >= 1000 && seen.asked > seen.admitted, "{seen:?}");
    }
}

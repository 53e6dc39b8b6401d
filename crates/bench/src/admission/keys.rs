//! A million keys: the memory they take, and how long the longest caller waits while they come and go. Each measurement
//! is a process of its own, so that nothing but the keys has moved its memory. What a caller
//! waits for a core is told apart, and a control has the same threads do everything but the look at a limit.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use arrayvec::ArrayVec;
use clap::Args;
use governor::{RateLimiter, clock::FakeRelativeClock, middleware::NoOpMiddleware, state::keyed::DashMapStateStore};
use serde::{Deserialize, Serialize};
use traffic::{
    Nanos,
    limit::{Key, Secret, Table as Records, Tier, decide_all},
};

use super::{
    Run,
    dice::Dice,
    limiter::{Engine, Limit},
    pause::{Longest, ms},
    side::{said_by, say},
    table::{Hold, Row, Table},
};
use crate::{clock, process::Process, report::Spread};

const MEMORY: Hold = Hold::at_most(64.0, 64.0, " B");
const PAUSE: Hold = Hold::at_most(1.0, 1.0, " ms");
/// A unit an hour: no key is forgotten before the clock is put forward.
const LIMIT: Limit = Limit { period: Duration::from_secs(3600), burst: NonZeroU32::new(10).unwrap() };
/// Every key is full again after it.
const LONG: Duration = Duration::from_secs(1_000_000);

/// What the bench starts a measurement with.
#[derive(Args)]
pub(crate) struct Options {
    /// Whose limits
    engine: Engine,
    /// How many keys
    #[arg(long)]
    keys: u64,
}

/// What one process saw. Times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    bytes_a_key: f64,
    /// The longest single insertion of a key.
    insertion: Longest,
    /// The longest call of another thread meanwhile.
    beside_insertion: Longest,
    /// The same while a sweep finds nothing to drop.
    beside_idle_sweep: Longest,
    /// The same while a sweep drops everything.
    beside_sweep: Longest,
    /// How long that sweep takes.
    sweep: f64,
    /// The longest call of either thread when there is no limit to look at.
    control: Longest,
}

impl Seen {
    /// The longest that one caller keeps another one waiting, or itself, as far as it is the limiter's doing: processor
    /// time where both threads make measured calls, since a wait for a lock is a part of the other's call; on the wall
    /// beside a sweep, which is none.
    fn pause(&self) -> f64 {
        let calls = [self.insertion.cpu, self.beside_insertion.cpu];
        calls.into_iter().chain([self.beside_idle_sweep.wall, self.beside_sweep.wall]).fold(0.0, f64::max)
    }
}

/// Many keys under one limit; both sides are told the time.
enum Limiter {
    Ours(Records, Secret, AtomicU64),
    Governor(Box<Governor>, FakeRelativeClock),
}

/// An address is what it would be keyed on.
type Governor = RateLimiter<
    IpAddr,
    DashMapStateStore<IpAddr>,
    FakeRelativeClock,
    NoOpMiddleware<<FakeRelativeClock as governor::clock::Clock>::Instant>,
>;

impl Limiter {
    fn new(engine: Engine, keys: u64) -> Result<Self, String> {
        Ok(match engine {
            Engine::Ours => Self::Ours(LIMIT.table(1, keys as usize), Secret::new([7; 16]), AtomicU64::new(1)),
            Engine::Governor => {
                let clock = FakeRelativeClock::default();
                Self::Governor(Box::new(RateLimiter::dashmap_with_clock(LIMIT.quota()?, clock.clone())), clock)
            }
        })
    }

    fn check(&self, number: u64) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(number as u32));
        match self {
            Self::Ours(table, secret, now) => {
                let IpAddr::V4(v4) = address else { return };
                let key = secret.key(&v4.octets());
                let tier = Tier { table, key, prefix: Key::SHARED, cost: 1, shadow: false };
                decide_all(&[tier], Nanos(now.load(Ordering::Relaxed)), &mut ArrayVec::new());
            }
            Self::Governor(limiter, _) => _ = limiter.check_key(&address),
        }
    }

    fn sweep(&self) -> usize {
        match self {
            Self::Ours(table, _, now) => table.sweep(Nanos(now.load(Ordering::Relaxed))),
            Self::Governor(limiter, _) => {
                limiter.retain_recent();
                limiter.shrink_to_fit();
                limiter.len()
            }
        }
    }

    fn keys(&self) -> usize {
        match self {
            Self::Ours(table, ..) => table.keys(),
            Self::Governor(limiter, _) => limiter.len(),
        }
    }

    fn put_the_clock_forward(&self) {
        match self {
            Self::Ours(_, _, now) => _ = now.fetch_add(LONG.as_nanos() as u64, Ordering::Relaxed),
            Self::Governor(_, clock) => clock.advance(LONG),
        }
    }
}

/// Measures once and says what it saw.
///
/// # Errors
/// In words.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    say(&look(options.engine, options.keys)?)
}

fn look(engine: Engine, keys: u64) -> Result<Seen, String> {
    let limiter = Limiter::new(engine, keys)?;
    let known = AtomicU64::new(1);
    limiter.check(0);
    let own = Process::new(std::process::id())?;
    let before = own.memory()?.rss_kb;
    let mut insertion = Longest::default();
    let check = |number| limiter.check(number);
    let began = clock::now();
    let beside_insertion = beside(&check, &known, || {
        for number in 1..keys {
            insertion.time(|| check(number));
            known.store(number + 1, Ordering::Relaxed);
        }
    })?;
    let inserted_in = began.elapsed();
    let held = limiter.keys();
    if held < keys as usize * 9 / 10 {
        return Err(format!("only {held} of {keys} keys are held"));
    }
    let bytes_a_key = own.memory()?.rss_kb.saturating_sub(before) as f64 * 1024.0 / held as f64;
    let beside_idle_sweep = beside(&check, &known, || _ = limiter.sweep())?;
    if limiter.keys() < held {
        return Err("a sweep dropped what was in use".to_owned());
    }
    limiter.put_the_clock_forward();
    let (mut sweep, mut left) = (Duration::ZERO, 0);
    let beside_sweep = beside(&check, &known, || {
        let began = clock::now();
        left = limiter.sweep();
        sweep = began.elapsed();
    })?;
    if left > held / 2 {
        return Err(format!("a sweep left {left} keys that are full again"));
    }
    let nothing = |number| _ = black_box(number);
    let mut control = Longest::default();
    let beside_control = beside(&nothing, &known, || {
        let began = clock::now();
        while began.elapsed() < inserted_in {
            control.time(|| nothing(0));
        }
    })?;
    let (sweep, control) = (ms(sweep), control.max(beside_control));
    Ok(Seen { bytes_a_key, insertion, beside_insertion, beside_idle_sweep, beside_sweep, sweep, control })
}

/// Does `work` while another thread asks about known keys without a break; its longest call.
fn beside(check: &(impl Fn(u64) + Sync), known: &AtomicU64, work: impl FnOnce()) -> Result<Longest, String> {
    let (is_there, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let (mut dice, mut longest) = (Dice::new(2), Longest::default());
            while !is_over.load(Ordering::Relaxed) {
                let number = dice.below(known.load(Ordering::Relaxed));
                longest.time(|| check(number));
                is_there.store(true, Ordering::Relaxed);
            }
            longest
        });
        while !is_there.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        work();
        is_over.store(true, Ordering::Relaxed);
        other.join().map_err(|_| "the other thread panicked".to_owned())
    })
}

/// Ten processes each, in turn.
///
/// # Errors
/// In words.
pub(crate) async fn measure(run: &Run, table: &mut Table) -> Result<(), String> {
    let keys = if run.quick { "100000" } else { "1000000" };
    let mut seen: [Vec<Seen>; 2] = Default::default();
    for round in 0..run.rounds {
        let mut engines = [Engine::Ours, Engine::Governor];
        engines.rotate_left(round % 2);
        for engine in engines {
            let mut command = run.cores.both(&run.own);
            command.args(["keys", engine.name(), "--keys", keys]);
            seen[engine as usize].push(said_by(command).await?);
        }
    }
    let spread = |of: fn(&Seen) -> f64| seen.each_ref().map(|seen| Spread::of(seen.iter().map(of).collect()));
    let against = |what: &str, governor: Spread| format!("governor: {}{what}", governor.text(1));
    let [ours, governor] = spread(|seen| seen.bytes_a_key);
    table.add(Row {
        what: format!("Memory a key at {keys} keys, resident"),
        figure: format!("{} B", ours.text(1)),
        against: against(" B", governor),
        value: ours.median,
        hold: MEMORY,
    });
    let [ours, governor] = spread(Seen::pause);
    table.add(Row {
        what: "Longest that the limiter makes one caller wait meanwhile".to_owned(),
        figure: format!("{} ms", ours.text(2)),
        against: against(" ms", governor),
        value: ours.median,
        hold: PAUSE,
    });
    type Part = (&'static str, fn(&Seen) -> Longest);
    const PARTS: [Part; 5] = [
        ("an insertion", |seen| seen.insertion),
        ("a call beside insertions", |seen| seen.beside_insertion),
        ("a call beside a sweep that drops nothing", |seen| seen.beside_idle_sweep),
        ("a call beside a sweep that drops all", |seen| seen.beside_sweep),
        ("the control, without any limit", |seen| seen.control),
    ];
    let parts = |figure: fn(Longest) -> f64| {
        PARTS.map(|(what, of)| {
            let [ours, governor] =
                seen.each_ref().map(|seen| Spread::of(seen.iter().map(|seen| figure(of(seen))).collect()));
            format!("{what} {} (governor {})", ours.text(2), governor.text(2))
        })
    };
    table.note(format!("Longest calls, ms of processor time: {}.", parts(|longest| longest.cpu).join("; ")));
    table.note(format!("The same, ms on the wall: {}.", parts(|longest| longest.wall).join("; ")));
    let [ours, governor] = spread(|seen| seen.sweep);
    table.note(format!("A sweep of all keys takes {} ms (governor {}).", ours.text(0), governor.text(0)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_held_until_they_are_full_again_on_both_sides() {
        for engine in [Engine::Ours, Engine::Governor] {
            let seen = look(engine, 20_000).unwrap();
            assert!(seen.insertion.cpu > 0.0 && seen.pause() >= seen.insertion.cpu, "{engine:?}: {seen:?}");
            assert!(seen.control.wall > 0.0, "{engine:?}: {seen:?}");
        }
    }
}

//! One decision of four tiers: two with keys drawn at random from 100,000 each (a passenger, a device), two shared (the class,
//! everybody).

use std::{hint::black_box, path::Path, time::Instant};

use arrayvec::ArrayVec;
use clap::Args;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, RateLimiter};
use traffic::{
    Nanos,
    limit::{Key, Secret, Tier, decide_all},
};

use super::{
    Run,
    dice::Dice,
    limiter::{Engine, Limit},
    side::{Side, answer_each},
    table::{Hold, Row, Table},
};

/// Passengers, and as many devices. `crates/bench/limitador` has the same.
const KEYS: u64 = 100_000;
const AGAINST_GOVERNOR: Hold = Hold::at_most(0.3, 0.7, "×");
const AGAINST_LIMITADOR: Hold = Hold::at_least(25.0, 10.0, "× as fast");

/// What the bench starts a side with.
#[derive(Args)]
pub(crate) struct Options {
    /// Whose limits decide
    engine: Engine,
}

/// Decides as often as each line of standard input says.
///
/// # Errors
/// In words.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    match options.engine {
        Engine::Ours => {
            let ours = Ours::new();
            serve(|passenger, device, now| ours.decide(passenger, device, now))
        }
        Engine::Governor => {
            let governor = Governor::new()?;
            serve(|passenger, device, _| governor.decide(passenger, device))
        }
    }
}

/// The clock is read inside: ours reads it once a decision, governor's limiters each read it themselves.
fn serve(decide: impl Fn(u64, u64, Nanos) -> bool) -> Result<(), String> {
    let (start, mut dice) = (Instant::now(), Dice::new(1));
    for key in 0..KEYS {
        decide(key, key, Nanos(1));
    }
    answer_each(|decisions| {
        let began = Instant::now();
        for _ in 0..decisions {
            let (passenger, device) = (dice.below(KEYS), dice.below(KEYS));
            let now = Nanos(start.elapsed().as_nanos() as u64);
            assert!(black_box(decide(passenger, device, now)), "a limit that nobody reaches refused");
        }
        began.elapsed().as_nanos() as f64 / f64::from(decisions)
    })
}

struct Ours {
    tables: [traffic::limit::Table; 4],
    secret: Secret,
}

impl Ours {
    fn new() -> Self {
        let keys = [KEYS, KEYS, 1, 1].map(|keys| 2 * keys as usize);
        let mut id = 0;
        let tables = keys.map(|keys| {
            id += 1;
            Limit::NEVER.table(id, keys)
        });
        Self { tables, secret: Secret::new([7; 16]) }
    }

    fn decide(&self, passenger: u64, device: u64, now: Nanos) -> bool {
        let [passengers, devices, classes, everybody] = &self.tables;
        let key = |who: u64| self.secret.key(&who.to_le_bytes());
        let tier = |table, key| Tier { table, key, prefix: Key::SHARED, cost: 1, shadow: false };
        let tiers = [
            tier(passengers, key(passenger)),
            tier(devices, key(device)),
            tier(classes, Key::SHARED),
            tier(everybody, Key::SHARED),
        ];
        decide_all(&tiers, now, &mut ArrayVec::new())
    }
}

/// Four limiters, as governor's users have them: one unit after the other, whatever the next one says.
struct Governor {
    passengers: DefaultKeyedRateLimiter<u64>,
    devices: DefaultKeyedRateLimiter<u64>,
    classes: DefaultKeyedRateLimiter<u8>,
    everybody: DefaultDirectRateLimiter,
}

impl Governor {
    fn new() -> Result<Self, String> {
        let quota = Limit::NEVER.quota()?;
        Ok(Self {
            passengers: RateLimiter::dashmap(quota),
            devices: RateLimiter::dashmap(quota),
            classes: RateLimiter::dashmap(quota),
            everybody: RateLimiter::direct(quota),
        })
    }

    fn decide(&self, passenger: u64, device: u64) -> bool {
        self.passengers.check_key(&passenger).is_ok()
            && self.devices.check_key(&device).is_ok()
            && self.classes.check_key(&0).is_ok()
            && self.everybody.check().is_ok()
    }
}

/// Three processes in turn, each on the server's core.
///
/// # Errors
/// In words.
pub(crate) async fn measure(run: &Run, limitador: &Path, table: &mut Table) -> Result<(), String> {
    let (many, few) = if run.quick { (100_000, 10_000) } else { (2_000_000, 100_000) };
    let side = |engine: Engine| {
        let mut command = run.cores.server(&run.own);
        command.args(["decide", engine.name()]);
        Side::start(engine.name(), command)
    };
    let mut ours = side(Engine::Ours).await?;
    let mut governor = side(Engine::Governor).await?;
    let mut limitador = Side::start("limitador", run.cores.server(limitador)).await?;
    let mut ns = [const { Vec::new() }; 3];
    for round in 0..run.rounds {
        // Who begins changes.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            ns[who].push(match who {
                0 => ours.decide(many).await?,
                1 => governor.decide(many).await?,
                _ => limitador.decide(few).await?,
            });
        }
    }
    let [ours, governor, limitador] = ns;
    let what = "One decision, 4 tiers (2 of 100k random keys, 2 shared)";
    let to_limitador = Row::times_as_fast("The same", AGAINST_LIMITADOR, "ns", &ours, "limitador in memory", limitador);
    table.add(Row::ratio(what, AGAINST_GOVERNOR, "ns", ours, "four governor checks", governor));
    table.add(to_limitador);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_admit_what_no_limit_reaches() {
        let (ours, governor) = (Ours::new(), Governor::new().unwrap());
        for key in 0..1000 {
            assert!(ours.decide(key, key % 7, Nanos(key)) && governor.decide(key, key % 7));
        }
        assert_eq!(ours.tables.each_ref().map(traffic::limit::Table::keys), [1000, 7, 1, 1]);
    }
}

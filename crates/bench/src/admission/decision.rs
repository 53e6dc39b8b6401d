//! One decision of four tiers: two with keys drawn at random from 100,000 each (a passenger, a device), two shared (the class,
//! everybody).

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use arrayvec::ArrayVec;
use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, RateLimiter};
use prometheus::Registry;
use traffic::{
    Admission, Caller, Class, Config, Nanos, Policies,
    limit::{Key, Secret, Tier, decide_all},
};

use super::{
    Run,
    dice::Dice,
    limiter::Limit,
    side::{Side, answer_each},
    table::{Hold, Row, Table},
};
use crate::{clock, report::Spread};

/// Passengers, and as many devices. `crates/bench/limitador` has the same.
const KEYS: u64 = 100_000;
const AGAINST_GOVERNOR: Hold = Hold::at_most(0.3, 0.7, "×");
const AGAINST_LIMITADOR: Hold = Hold::at_least(25.0, 10.0, "× as fast");

/// What the gateways of the other rows are told as well: as many policies as the product comes with, out of reach.
const POLICIES: &str = include_str!("../../../../tests/no-limits.toml");

/// What the bench starts a side with.
#[derive(Args)]
pub(crate) struct Options {
    /// Who decides
    who: Who,
}

/// Who decides.
#[derive(Clone, Copy, ValueEnum)]
enum Who {
    /// The limits of `crates/traffic` alone
    Ours,
    /// The same by the policies, as the gateway asks: counted, and with the numbers for an answer's headers
    Admission,
    /// Four limiters of governor's
    Governor,
}

/// Decides as often as each line of standard input says.
///
/// # Errors
/// In words.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    match options.who {
        Who::Ours => {
            let ours = Ours::new();
            serve(|passenger, device, now| ours.decide(passenger, device, now))
        }
        Who::Admission => {
            let whole = Whole::new()?;
            serve(|passenger, device, now| whole.decide(passenger, device, now))
        }
        Who::Governor => {
            let governor = Governor::new()?;
            serve(|passenger, device, _| governor.decide(passenger, device))
        }
    }
}

/// The clock is read inside: ours reads it once a decision, governor's limiters each read it themselves.
fn serve(decide: impl Fn(u64, u64, Nanos) -> bool) -> Result<(), String> {
    let (start, mut dice) = (clock::now(), Dice::new(1));
    for key in 0..KEYS {
        decide(key, key, Nanos(1));
    }
    answer_each(|decisions| {
        let began = clock::now();
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

/// The second decision as a request meets it.
struct Whole {
    admission: Admission,
    devices: Vec<String>,
}

impl Whole {
    fn new() -> Result<Self, String> {
        let policies = Policies::parse(POLICIES).map_err(|mistakes| mistakes.to_string())?;
        let admission = Admission::build(&Config::default(), policies, [7; 16], &Registry::new());
        let devices = (0..KEYS).map(|number| format!("device-{number}")).collect();
        Ok(Self { admission: admission.map_err(|e| e.to_string())?, devices })
    }

    fn decide(&self, passenger: u64, device: u64, now: Nanos) -> bool {
        let caller = Caller {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            passenger: Some(passenger as i64),
            device: self.devices.get(device as usize).map(String::as_str),
        };
        let decision = self.admission.check_caller(caller, Class::Ride, now);
        // Without a fleet-wide policy nothing waits.
        decision.now_or_never().is_some_and(|decision| decision.is_admitted())
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

/// Four processes in turn, each on the server's core.
///
/// # Errors
/// In words.
pub(crate) async fn measure(run: &Run, limitador: &Path, table: &mut Table) -> Result<(), String> {
    let (many, few) = if run.quick { (100_000, 10_000) } else { (2_000_000, 100_000) };
    let side = |name| {
        let mut command = run.cores.server(&run.own);
        command.args(["decide", name]);
        Side::start(name, command)
    };
    let limitador = Side::start("limitador", run.cores.server(limitador)).await?;
    let mut sides = [
        (side("ours").await?, many),
        (side("governor").await?, many),
        (limitador, few),
        (side("admission").await?, many),
    ];
    let mut ns = [const { Vec::new() }; 4];
    for round in 0..run.rounds {
        // Who begins changes.
        for turn in 0..sides.len() {
            let who = (round + turn) % sides.len();
            let (side, decisions) = &mut sides[who];
            ns[who].push(side.decide(*decisions).await?);
        }
    }
    let [ours, governor, limitador, admission] = ns;
    let admission = Spread::of(admission).text(0);
    table.note(format!("The same decision through `Admission`, counted and with what headers need: {admission} ns."));
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
    fn every_policy_that_the_product_comes_with_is_decided_in_a_benchmark() {
        let said = |policies: Policies| {
            let list = policies.list.into_iter();
            list.map(|policy| (policy.name, policy.key, policy.classes)).collect::<Vec<_>>()
        };
        assert_eq!(said(Policies::parse(POLICIES).unwrap()), said(Policies::built_in()));
    }

    #[test]
    fn every_side_admits_what_no_limit_reaches() {
        let (ours, whole, governor) = (Ours::new(), Whole::new().unwrap(), Governor::new().unwrap());
        for key in 0..1000 {
            let (device, now) = (key % 7, Nanos(key));
            assert!(ours.decide(key, device, now) && whole.decide(key, device, now) && governor.decide(key, device));
        }
        assert_eq!(ours.tables.each_ref().map(traffic::limit::Table::keys), [1000, 7, 1, 1]);
    }
}

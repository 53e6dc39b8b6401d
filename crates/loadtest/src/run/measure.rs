//! Turns what was counted and seen into the outcome.

use std::{collections::BTreeMap, time::Duration};

use super::{
    arrivals::Spread,
    book::{Book, PRIORITIES, SLOT, SLOTS_A_SECOND, Slot, Tier},
    engine::Engine,
    figures::{self, Measured},
    kinds::Kind,
    limits::Policy,
    observe::Sights,
    outcome::{
        Calibration, Counts, Fairness, KindRow, Outcome, Percentiles, PhaseRow, PriorityRow, Refusals, RetryWave,
        ScenarioFacts, Second, ServerFacts, Spray, Validity,
    },
    scenario::{Role, Scenario},
};
use crate::tally::Times;

/// Version of the JSON.
const FORMAT: u32 = 1;
/// Recovered is who succeeds with this share of the baseline's success…
const SUCCESS_BACK: f64 = 0.95;
/// … within this many times its p99, or so many milliseconds more, whatever is longer.
const LATENCY_BACK: (f64, f64) = (2.0, 5.0);

/// Everything that a run leaves behind.
pub(crate) struct Remains<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) engine: &'a Engine,
    pub(crate) sights: &'a Sights,
    pub(crate) server: ServerFacts,
    pub(crate) base: (f64, &'static str),
    pub(crate) calibration: Option<Calibration>,
    pub(crate) calibration_after: Option<Calibration>,
    pub(crate) refusals: Option<Refusals>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) seed: u64,
    pub(crate) began_unix_s: u64,
    /// Cores that the generator used, mean.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) keys_sent: u64,
    pub(crate) took: Duration,
    pub(crate) notes: Vec<String>,
}

/// The outcome, without checks.
pub(crate) fn outcome(remains: Remains<'_>) -> Outcome {
    let state = remains.engine.state();
    let book = &state.book;
    let (totals, times) = book.totals();
    let phases = phases(remains.scenario, remains.base.0, book, remains.sights, remains.took);
    let mut run = Outcome {
        format: FORMAT,
        tool: concat!("loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        began_unix_s: remains.began_unix_s,
        scenario: facts(&remains),
        validity: validity(&remains, book),
        totals,
        latency: Percentiles::of(&times),
        kinds: kinds(remains.engine, book),
        priorities: priorities(&by_priority(book)),
        phases,
        series: series(book, remains.sights),
        refused_by: named(book, &book.refused),
        policies: remains.policies.iter().map(|policy| policy.verify(&book.admitted, &remains.engine.routes)).collect(),
        retries: retries(remains.scenario, book),
        fairness: fairness(remains.scenario, book),
        spray: spray(&remains, remains.sights),
        notes: remains.notes,
        server: remains.server,
        calibration: remains.calibration,
        calibration_after: remains.calibration_after,
        refusals: remains.refusals,
        ..Outcome::default()
    };
    run.notes.extend(book.examples.iter().map(|example| format!("not expected: {example}")));
    if !book.remembers_all() {
        run.notes.push("more requests were admitted than are held against the policies".to_owned());
    }
    let measured = measured(&run, book, remains.sights);
    run.figures = figures::all(&run, &measured);
    run
}

fn facts(remains: &Remains<'_>) -> ScenarioFacts {
    let scenario = remains.scenario;
    ScenarioFacts {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        control: scenario.control,
        arrivals: if scenario.arrivals == Spread::Even { "even" } else { "poisson" }.to_owned(),
        seed: remains.seed,
        seconds: scenario.spray.as_ref().map_or(scenario.seconds(), |_| remains.took.as_secs_f64()),
        base_rate: remains.base.0,
        base_from: remains.base.1.to_owned(),
        deadline_ms: scenario.deadline_ms,
        max_in_flight: scenario.max_in_flight,
        passengers: scenario.passengers,
        sources: scenario.sources,
    }
}

fn validity(remains: &Remains<'_>, book: &Book) -> Validity {
    let lag = Percentiles::of(&book.lag);
    let max_lag_ms = remains.scenario.max_lag_ms;
    let reasons = reasons(&lag, max_lag_ms);
    let (valid, generator_cores, redrawn) = (reasons.is_empty(), remains.generator_cores, book.redrawn);
    Validity { valid, reasons, lag, max_lag_ms, generator_cores, redrawn }
}

/// Why the generator did not do what was asked of it.
fn reasons(lag: &Percentiles, max_lag_ms: f64) -> Vec<String> {
    let late = lag.p99.filter(|p99| *p99 > max_lag_ms).map(|p99| {
        format!(
            "the generator could not keep up: one request in a hundred was sent {p99:.0} ms late or more, and \
             {max_lag_ms:.0} ms are allowed"
        )
    });
    let nothing = (lag.count == 0).then(|| "no request was sent".to_owned());
    late.into_iter().chain(nothing).collect()
}

fn kinds(engine: &Engine, book: &Book) -> Vec<KindRow> {
    let sent = |kind: &Kind| book.kinds[kind.index()].counts.offered > 0;
    let row = |kind: Kind| {
        let Tier { counts, times } = &book.kinds[kind.index()];
        KindRow {
            route: kind.route(),
            class: engine.routes.class(kind).to_owned(),
            priority: engine.routes.priority(kind),
            share: engine.mixes.first().map(|mix| mix.share(kind)).unwrap_or_default(),
            counts: *counts,
            latency: Percentiles::of(times),
        }
    };
    Kind::ALL.into_iter().filter(sent).map(row).collect()
}

fn by_priority(book: &Book) -> [Tier; PRIORITIES] {
    book.phases.iter().fold(<[Tier; PRIORITIES]>::default(), |mut sum, phase| {
        for (sum, tier) in sum.iter_mut().zip(phase) {
            sum.counts = sum.counts.plus(&tier.counts);
            sum.times = std::mem::take(&mut sum.times).with(&tier.times);
        }
        sum
    })
}

fn priorities(tiers: &[Tier; PRIORITIES]) -> Vec<PriorityRow> {
    let row = |(priority, tier): (u8, &Tier)| PriorityRow {
        priority,
        counts: tier.counts,
        latency: Percentiles::of(&tier.times),
    };
    (0..).zip(tiers).map(row).collect()
}

fn phases(scenario: &Scenario, base: f64, book: &Book, sights: &Sights, took: Duration) -> Vec<PhaseRow> {
    let mut from_s = 0.0;
    let mut rows = Vec::new();
    for (phase, tiers) in scenario.phase.iter().zip(&book.phases) {
        let to_s = from_s + phase.seconds;
        let (rate_from, rate_to) = phase.rates(base);
        rows.push(PhaseRow {
            name: phase.name.clone(),
            role: phase.role.name().to_owned(),
            from_s,
            to_s,
            rate_from,
            rate_to,
            ..tiers_of(tiers)
        });
        from_s = to_s;
    }
    if scenario.phase.is_empty()
        && let Some(tiers) = book.phases.first()
    {
        let (name, to_s) = ("spray".to_owned(), took.as_secs_f64());
        rows.push(PhaseRow { name, to_s, ..tiers_of(tiers) });
    }
    for row in &mut rows {
        let cpu = sights.cpu_between(row.from_s, row.to_s);
        row.server_cores = cpu.filter(|_| row.to_s > row.from_s).map(|cpu| cpu / (row.to_s - row.from_s));
    }
    rows
}

fn tiers_of(tiers: &[Tier; PRIORITIES]) -> PhaseRow {
    let (counts, times) = tiers.iter().fold((Counts::default(), Times::default()), |(counts, times), tier| {
        (counts.plus(&tier.counts), times.with(&tier.times))
    });
    PhaseRow { counts, latency: Percentiles::of(&times), priorities: priorities(tiers), ..PhaseRow::default() }
}

fn series(book: &Book, sights: &Sights) -> Vec<Second> {
    let seconds = book.slots.chunks(SLOTS_A_SECOND).enumerate();
    let second = |(index, slots): (usize, &[Slot])| {
        let slot = together(slots);
        let counts = slot.counts.iter().fold(Counts::default(), |sum, counts| sum.plus(counts));
        Second {
            at_s: index as f64,
            counts,
            refused_by: named(book, &slot.refused_by),
            latency: Percentiles::of(&slot.times),
            latency_p0: Percentiles::of(&slot.times_p0),
            offered_by_priority: slot.counts.map(|counts| counts.offered),
            ok_by_priority: slot.counts.map(|counts| counts.ok),
            lag_p99_ms: Percentiles::of(&slot.lag).p99,
            in_flight: slot.in_flight,
            retries: slot.retries,
            server: sights.second(index),
        }
    };
    seconds.map(second).collect()
}

fn together(slots: &[Slot]) -> Slot {
    slots.iter().fold(Slot::default(), |mut sum, slot| {
        for (sum, counts) in sum.counts.iter_mut().zip(&slot.counts) {
            *sum = sum.plus(counts);
        }
        for (refuser, count) in &slot.refused_by {
            *sum.refused_by.entry(*refuser).or_default() += count;
        }
        let (times, times_p0, lag) =
            (sum.times.with(&slot.times), sum.times_p0.with(&slot.times_p0), sum.lag.with(&slot.lag));
        Slot { times, times_p0, lag, retries: sum.retries + slot.retries, in_flight: slot.in_flight, ..sum }
    })
}

fn named(book: &Book, refused: &BTreeMap<u16, u64>) -> BTreeMap<String, u64> {
    refused.iter().map(|(refuser, count)| (book.refusers[usize::from(*refuser)].clone(), *count)).collect()
}

fn retries(scenario: &Scenario, book: &Book) -> Option<RetryWave> {
    let retry = scenario.retry.as_ref()?;
    let slots_a_bin = ((retry.bin_s / SLOT.as_secs_f64()).round() as usize).max(1);
    let first = book.slots.iter().position(|slot| slot.retries > 0).unwrap_or(book.slots.len());
    let bins: Vec<u64> =
        book.slots[first..].chunks(slots_a_bin).map(|bin| bin.iter().map(|slot| slot.retries).sum()).collect();
    let judged = figures::wave(&bins, retry.judged_from);
    Some(RetryWave {
        obeying: retry.obey,
        clients: book.clients,
        served: book.clients_served,
        bin_s: slots_a_bin as f64 * SLOT.as_secs_f64(),
        from_s: first as f64 * SLOT.as_secs_f64(),
        bins,
        judged_from: retry.judged_from,
        peak: judged.map(|(peak, ..)| peak),
        mean: judged.map(|(_, mean, _)| mean),
        peak_to_mean: judged.map(|(.., ratio)| ratio),
        told: book.told.clone(),
    })
}

fn fairness(scenario: &Scenario, book: &Book) -> Option<Fairness> {
    let hot = scenario.hot.as_ref()?;
    let (first, others) = book.people.as_ref()?.split_first()?;
    let (jain, ratios) = figures::fairness(others);
    let rest = others.iter().fold(Counts::default(), |sum, counts| sum.plus(counts));
    Some(Fairness { hot_times: hot.times, hot: *first, rest, keys: others.len() as u64, jain, ratios })
}

fn spray(remains: &Remains<'_>, sights: &Sights) -> Option<Spray> {
    let plan = remains.scenario.spray.as_ref()?;
    let memory: Vec<f64> = sights.list().iter().filter_map(|sight| sight.rss_mb).collect();
    let (before, after) = (memory.first().copied(), memory.last().copied());
    let sent = remains.keys_sent;
    Some(Spray {
        keys_asked: plan.keys,
        keys_sent: sent,
        seconds: remains.took.as_secs_f64(),
        rss_before_mb: before,
        rss_after_mb: after,
        rss_max_mb: memory.iter().copied().reduce(f64::max),
        bytes_a_key: before.zip(after).map(|(before, after)| (after - before) * 1e6 / sent.max(1) as f64),
    })
}

fn measured(run: &Outcome, book: &Book, sights: &Sights) -> Measured {
    let phase = |role: Role| run.phases.iter().find(|phase| phase.role == role.name());
    let cpu = |phase: &PhaseRow| sights.cpu_between(phase.from_s, phase.to_s);
    let calm = phase(Role::Baseline).or_else(|| phase(Role::Unloaded));
    Measured {
        recovery_s: phase(Role::Recovery).zip(calm).and_then(|(after, before)| recovery(after, before, book)),
        accepted_us: calm.and_then(|calm| Some(cpu(calm)? * 1e6 / calm.counts.ok.max(1) as f64)),
        rss_mb: sights.list().iter().filter_map(|sight| sight.rss_mb).reduce(f64::max),
    }
}

/// Seconds from the end of the peak to the first whole second, at any quarter, that is as before it; none when there is
/// no such second.
fn recovery(after: &PhaseRow, before: &PhaseRow, book: &Book) -> Option<f64> {
    let (success, p99) = (before.counts.success()?, before.latency.p99?);
    let bar_ms = (p99 * LATENCY_BACK.0).max(p99 + LATENCY_BACK.1);
    let slot = |at_s: f64| (at_s / SLOT.as_secs_f64()).ceil() as usize;
    let slots = book.slots.get(slot(after.from_s)..slot(after.to_s).min(book.slots.len()))?;
    let is_back = |second: &[Slot]| {
        let sum = together(second);
        let counts = sum.counts.iter().fold(Counts::default(), |all, counts| all.plus(counts));
        counts.success().is_some_and(|now| now >= SUCCESS_BACK * success)
            && Percentiles::of(&sum.times).p99.is_some_and(|now| now <= bar_ms)
    };
    let quarters = slots.windows(SLOTS_A_SECOND).position(is_back)?;
    Some(quarters as f64 * SLOT.as_secs_f64())
}

#[cfg(test)]
#[path = "measure_test.rs"]
mod tests;

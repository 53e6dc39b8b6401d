//! What was counted, as the tables of the outcome.

use std::{collections::BTreeMap, time::Duration};

use super::super::{
    book::{Book, PRIORITIES, SLOTS_A_SECOND, Slot, Tier},
    engine::Engine,
    kinds::Kind,
    observe::Sights,
    outcome::{Counts, KindRow, Percentiles, PhaseRow, PriorityRow, Second},
    scenario::Scenario,
};
use crate::tally::Times;

pub(super) fn kinds(engine: &Engine, book: &Book) -> Vec<KindRow> {
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

pub(super) fn by_priority(book: &Book) -> [Tier; PRIORITIES] {
    book.phases.iter().fold(<[Tier; PRIORITIES]>::default(), |mut sum, phase| {
        for (sum, tier) in sum.iter_mut().zip(phase) {
            sum.counts = sum.counts.plus(&tier.counts);
            sum.times = std::mem::take(&mut sum.times).with(&tier.times);
        }
        sum
    })
}

pub(super) fn priorities(tiers: &[Tier; PRIORITIES]) -> Vec<PriorityRow> {
    let row = |(priority, tier): (u8, &Tier)| PriorityRow {
        priority,
        counts: tier.counts,
        latency: Percentiles::of(&tier.times),
    };
    (0..).zip(tiers).map(row).collect()
}

pub(super) fn phases(scenario: &Scenario, base: f64, book: &Book, sights: &Sights, took: Duration) -> Vec<PhaseRow> {
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

pub(super) fn series(book: &Book, sights: &Sights) -> Vec<Second> {
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

pub(super) fn together(slots: &[Slot]) -> Slot {
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

pub(super) fn named(book: &Book, refused: &BTreeMap<u16, u64>) -> BTreeMap<String, u64> {
    refused.iter().map(|(refuser, count)| (book.refusers[usize::from(*refuser)].clone(), *count)).collect()
}

//! What only some scenarios have: clients that come back, a hot key, sprayed keys.

use super::{
    super::{
        book::{Book, SLOT},
        figures,
        observe::Sights,
        outcome::{Counts, Fairness, RetryWave, Spray},
        scenario::Scenario,
    },
    Remains,
};

pub(super) fn retries(scenario: &Scenario, book: &Book) -> Option<RetryWave> {
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

pub(super) fn fairness(scenario: &Scenario, book: &Book) -> Option<Fairness> {
    let hot = scenario.hot.as_ref()?;
    let (first, others) = book.people.as_ref()?.split_first()?;
    let (jain, ratios) = figures::fairness(others);
    let rest = others.iter().fold(Counts::default(), |sum, counts| sum.plus(counts));
    Some(Fairness { hot_times: hot.times, hot: *first, rest, keys: others.len() as u64, jain, ratios })
}

pub(super) fn spray(remains: &Remains<'_>, sights: &Sights) -> Option<Spray> {
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

//! What holds for any requests in any order, by threads whose clocks are a little apart.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// One request: by how much time went on before it, by how much its thread's clock lags, and per table whether it is a tier:
/// key, cost, only watched.
type Step = (u64, u64, Vec<Option<(u64, u32, bool)>>, bool);

fn steps(tables: usize) -> impl Strategy<Value = Vec<Step>> {
    let tier = prop::option::weighted(0.8, (0..3_u64, 1..5_u32, prop::bool::weighted(0.2)));
    prop::collection::vec((0..30_u64, 0..15_u64, prop::collection::vec(tier, tables), prop::bool::ANY), 1..60)
}

fn worlds() -> impl Strategy<Value = (Vec<(u64, u32)>, Vec<Step>)> {
    prop::collection::vec((1..40_u64, 1..9_u32), 1..=4).prop_flat_map(|rates| {
        let steps = steps(rates.len());
        (Just(rates), steps)
    })
}

proptest! {
    #[test]
    fn no_more_is_admitted_than_the_burst_and_the_rate_allow_and_a_refused_request_changes_no_tier(
        (rates, steps) in worlds(),
        few_keys in prop::bool::ANY,
    ) {
        let max_keys = if few_keys { 2 } else { 1000 };
        let rates: Vec<_> = rates.into_iter().map(|(interval, burst)| rate(interval, burst)).collect();
        let tables: Vec<_> = (0..).zip(&rates).map(|(id, rate)| table(id, *rate, max_keys)).collect();
        let mut clock = 0;
        let mut log: HashMap<_, Vec<(u64, u64, u64)>> = HashMap::new();
        for (elapsed, lag, picks, odd) in steps {
            clock += elapsed;
            let now = clock.saturating_sub(lag);
            if odd {
                tables.iter().for_each(|table| _ = table.sweep(Nanos(now)));
            }
            let mut tiers: Vec<_> = tables.iter().zip(&picks)
                .filter_map(|(table, pick)| pick.map(|(key, cost, shadow)| Tier { shadow, ..tier(table, key, cost) }))
                .collect();
            if odd {
                tiers.reverse();
            }
            // A look first: what is refilled is dropped by it where a table is full, and not by the decision.
            tiers.iter().for_each(|tier| _ = tier.peek(Nanos(now)));
            let before: Vec<_> = tiers.iter().map(|tier| tier.table.everything()).collect();
            let (admitted, states) = all(&tiers, now);
            prop_assert_eq!(admitted, tiers.iter().zip(&states).all(|(tier, state)| tier.shadow || state.wait().is_none()));
            for ((tier, state), before) in tiers.iter().zip(&states).zip(before) {
                if admitted && state.wait().is_none() {
                    log.entry((tier.table.id, tier.key)).or_default().push((now, clock, tier.cost.into()));
                } else {
                    prop_assert_eq!(tier.table.everything(), before);
                }
            }
        }
        for ((table, _), log) in log {
            let rate = rates[table as usize];
            for (first, (from, ..)) in log.iter().enumerate() {
                let mut units = 0;
                for (_, to, cost) in &log[first..] {
                    units += cost;
                    prop_assert!(units <= u64::from(rate.burst()) + (to - from) / rate.interval().as_nanos() as u64);
                }
            }
        }
    }

    #[test]
    fn a_sole_client_that_waits_as_told_is_admitted_and_not_a_moment_earlier(
        tiers in prop::collection::vec((1..1_000_000_u64, 1..50_u32, 1..10_u32), 1..=MAX_TIERS),
        pauses in prop::collection::vec(0..3_000_000_u64, 1..60),
    ) {
        let tables: Vec<_> = (0..).zip(&tiers).map(|(id, (interval, burst, _))| table(id, rate(*interval, *burst), 9)).collect();
        let tiers: Vec<_> =
            tables.iter().zip(&tiers).map(|(table, (_, burst, cost))| tier(table, 7, *cost.min(burst))).collect();
        let mut now = 0;
        for pause in pauses {
            now += pause;
            let (admitted, states) = all(&tiers, now);
            if admitted {
                continue;
            }
            let wait = states.iter().filter_map(State::wait).max().unwrap().as_nanos() as u64;
            prop_assert!(wait > 0);
            prop_assert!(tiers.iter().any(|tier| tier.peek(Nanos(now + wait - 1)).wait().is_some()));
            now += wait;
            prop_assert!(all(&tiers, now).0);
        }
    }
}

#[test]
fn a_thread_whose_clock_is_behind_neither_gains_nor_loses() {
    let table = table(0, rate(10, 3), 100);
    assert!(admits(tier(&table, 1, 3), 1000));
    assert!(!admits(tier(&table, 1, 1), 900));
    // Refilled and forgotten at 1030. A thread that still thinks it is 1000 may empty it, but not twice.
    assert_eq!(table.sweep(Nanos(1030)), 0);
    assert!(admits(tier(&table, 1, 3), 1000));
    assert!(!admits(tier(&table, 1, 1), 1030));
    assert!(!admits(tier(&table, 1, 1), 0));
    assert!(admits(tier(&table, 1, 1), 1040));
}

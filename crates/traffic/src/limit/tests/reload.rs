//! Rates that change while they are used.

use proptest::prelude::*;

use super::*;

/// Every interval below divides it, so that fractions of units are whole numbers of it.
const UNIT: u64 = 720_720;
const INTERVALS: [u64; 12] = [1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 16];

#[test]
fn what_was_used_stays_used() {
    let table = table(0, rate(10, 10), 100);
    assert!(admits(tier(&table, 1, 4), 0));
    let left = |now| tier(&table, 1, 1).peek(Nanos(now)).remaining();
    assert_eq!(left(0), 6);
    table.set_rates(Rates::new(rate(1000, 20), []), Nanos(20));
    assert_eq!(left(20), 18, "two came back before, two are still used");
    assert_eq!(left(1020), 19);
    assert!(admits(tier(&table, 1, 6), 1020));
    table.set_rates(Rates::new(rate(7, 1), []), Nanos(1020));
    assert_eq!(left(1020), 0);
    assert_eq!(left(1027), 1, "nobody owes more than the new burst");
    assert_eq!(tier(&table, 2, 1).peek(Nanos(1020)).remaining(), 1);
}

#[test]
fn a_key_that_gets_a_rate_of_its_own_keeps_what_it_used() {
    let table = table(0, rate(10, 5), 100);
    assert!(admits(tier(&table, 1, 5), 0));
    assert!(admits(tier(&table, 2, 5), 0));
    table.set_rates(Rates::new(rate(10, 5), [(Key(1), rate(100, 8))]), Nanos(0));
    assert_eq!([1, 2].map(|key| tier(&table, key, 1).peek(Nanos(0)).remaining()), [3, 0]);
    table.set_rates(Rates::new(rate(10, 5), []), Nanos(0));
    assert_eq!([1, 2].map(|key| tier(&table, key, 1).peek(Nanos(0)).remaining()), [0, 0]);
}

#[test]
fn newcomers_to_a_full_table_keep_what_they_used() {
    let table = table(0, rate(10, 3), 1);
    assert!(admits(tier(&table, 0x0001, 1), 0));
    assert!(admits(tier(&table, 0x0102, 3), 0));
    table.set_rates(Rates::new(rate(1000, 3), []), Nanos(0));
    assert!(!admits(tier(&table, 0x0103, 1), 999));
    let (admitted, states) = all(&[tier(&table, 0x0102, 1)], 1000);
    assert!(admitted && !states[0].is_overflow());
    assert_eq!(states[0].remaining(), 0, "with a record of its own it has what came back, and no more");
}

#[test]
fn rates_that_stay_the_same_change_nothing() {
    let table = table(0, rate(10, 5), 1);
    assert!(admits(tier(&table, 1, 3), 3));
    assert!(admits(tier(&table, 2, 4), 3));
    let before = table.everything();
    table.set_rates(Rates::new(rate(10, 5), []), Nanos(3));
    let seen = |all: Vec<(u64, Nanos)>| all.into_iter().map(|(key, tat)| (key, tat.0.max(3))).collect::<Vec<_>>();
    assert_eq!(seen(table.everything()), seen(before));
}

proptest! {
    // Every reload may give the difference of the bursts, and time counts at the rate that held; a reload whose clock lags
    // takes effect somewhere between its moment and the latest that was seen. Exactly, in fractions.
    #[test]
    fn the_bound_holds_across_reloads(
        steps in prop::collection::vec(
            (0..40_u64, 0..10_u64, 0..4_u64, 1..6_u32, prop::option::weighted(0.2, (0..12_usize, 1..9_u32, prop::bool::ANY))),
            1..80,
        ),
        max_keys in prop_oneof![Just(1_usize), Just(1000)],
    ) {
        let table = table(0, rate(INTERVALS[7], 5), max_keys);
        let (mut clock, mut latest) = (0, 0);
        // What happened to key 1: when, the latest moment until then, and its units or its new rate.
        let mut log: Vec<(u64, u64, Result<u32, Rate>)> = vec![(0, 0, Err(rate(INTERVALS[7], 5)))];
        for (elapsed, lag, key, cost, reload) in steps {
            clock += elapsed;
            let now = clock.saturating_sub(lag);
            if let Some((interval, burst, own)) = reload {
                let (new, other) = (rate(INTERVALS[interval], burst), rate(4, 4));
                // Whoever is named while a newcomer to a full table has a new bucket then: no bound across that.
                let own = own && max_keys > 1;
                let rates = if own { Rates::new(other, [(Key(1), new)]) } else { Rates::new(new, [(Key(3), other)]) };
                table.set_rates(rates, Nanos(now));
                table.sweep(Nanos(now));
                log.push((now, latest.max(now), Err(new)));
            }
            latest = latest.max(now);
            if admits(tier(&table, key, cost), now) && key == 1 {
                log.push((now, latest, Ok(cost)));
            }
        }
        let back = |rate: Rate| UNIT / rate.interval().as_nanos() as u64;
        for (first, (from, ..)) in log.iter().enumerate() {
            let mut held = log[..=first].iter().rev().find_map(|event| event.2.err()).unwrap();
            let (mut time, mut allowed, mut used) = (*from, u64::from(held.burst()) * UNIT, 0);
            for (now, latest, event) in &log[first..] {
                let sure = if event.is_err() { now.max(&time) } else { latest.max(&time) };
                allowed += (sure - time) * back(held);
                time = *sure;
                match event {
                    Ok(cost) => used += u64::from(*cost) * UNIT,
                    Err(new) => {
                        allowed += latest.saturating_sub(time) * back(*new).max(back(held));
                        time = time.max(*latest);
                        allowed += u64::from(new.burst().saturating_sub(held.burst())) * UNIT;
                        held = *new;
                    }
                }
                prop_assert!(used <= allowed, "{} of {} units used since {}: {:?}", used, allowed, from, &log[first..]);
            }
        }
    }
}

//! What happens when there are more callers than records.

use std::collections::HashSet;

use super::*;

#[test]
fn spraying_keys_evicts_nobody_who_is_not_refilled() {
    let table = table(0, rate(1000, 3), 8);
    for key in 0..8 {
        assert!(admits(tier(&table, key, 3), 0));
    }
    let mut overflowed = 0;
    for sprayed in 0..10_000_u64 {
        let (_, states) = all(&[tier(&table, sprayed << 8, 1)], sprayed / 100);
        overflowed += u32::from(states[0].is_overflow());
        assert_eq!(table.keys(), 8);
    }
    for key in 0..8 {
        assert!(!admits(tier(&table, key, 1), 999), "key {key} was given amnesty");
    }
    assert!(overflowed >= 9_999);
}

#[test]
fn newcomers_share_a_bucket_with_their_prefix_only() {
    let table = table(0, rate(1000, 3), 1);
    assert!(admits(tier(&table, 0x0001, 1), 0));
    let spray = |prefix: u64, now| (0..50).filter(|key| admits(tier(&table, prefix << 8 | (key + 2), 1), now)).count();
    assert_eq!([spray(1, 0), spray(2, 0)], [3, 3]);
    assert_eq!(spray(1, 999), 0);
    assert!(tier(&table, 0x0107, 1).peek(Nanos(0)).is_overflow());
    assert!(!tier(&table, 0x0001, 1).peek(Nanos(0)).is_overflow());
}

#[test]
fn a_newcomer_takes_the_place_of_a_refilled_key_with_what_its_prefix_used() {
    let table = table(0, rate(1000, 3), 1);
    assert!(admits(tier(&table, 0x0001, 1), 0));
    assert!(admits(tier(&table, 0x0102, 3), 0));
    let newcomer = tier(&table, 0x0102, 1);
    let (admitted, states) = all(&[newcomer], 1000);
    assert!(admitted, "one unit came back");
    assert_eq!((states[0].remaining(), states[0].is_overflow()), (0, false));
    assert!(!admits(newcomer, 1999));
    assert_eq!(table.keys(), 1);
}

#[test]
fn a_key_with_a_rate_of_its_own_has_a_record_of_its_own_whatever_happens() {
    let table = Table::new(0, Rates::new(rate(1000, 3), [(Key(7), rate(1000, 5))]), 1);
    for key in 100..200 {
        _ = admits(tier(&table, key, 3), 0);
    }
    let (admitted, states) = all(&[tier(&table, 7, 1)], 0);
    assert!(admitted && !states[0].is_overflow());
    assert_eq!((states[0].rate(), table.keys()), (rate(1000, 5), 2));
    assert!(admits(tier(&table, 7, 2), 0), "found again");
}

#[test]
fn a_million_requests_of_ever_new_keys_take_bounded_memory_and_a_sweep_gives_it_back() {
    let max_keys = 40_000;
    let secret = Secret::new([7; 16]);
    let table = table(0, rate(1_000_000, 3), max_keys);
    let empty = table.bytes();
    let mut most = 0;
    for sprayed in 0..250_000_u64 {
        // Records refill in a third of the time that the table takes to fill, so that they come and go.
        let now = sprayed * if sprayed < 100_000 { 0 } else { 75 };
        _ = admits(Tier { key: secret.key(&sprayed.to_le_bytes()), ..tier(&table, 0, 1) }, now);
        most = most.max(if sprayed % 10_000 == 0 { table.bytes() } else { 0 });
    }
    assert!(table.keys() <= max_keys);
    assert!(most <= 64 * max_keys, "{} bytes a key", most / max_keys);
    assert_eq!(table.sweep(Nanos(u64::MAX / 4)), 0);
    assert!(table.bytes() < empty + max_keys, "{} bytes stay", table.bytes() - empty);
}

#[test]
fn keys_are_spread_evenly() {
    let secret = Secret::new([7; 16]);
    let table = table(0, rate(1_000_000, 3), 1 << 16);
    let mut seen = HashSet::new();
    for passenger in 0..(1_u64 << 16) {
        let key = secret.key(&passenger.to_le_bytes());
        assert!(seen.insert(key));
        _ = admits(Tier { key, prefix: key, ..tier(&table, 0, 1) }, 0);
    }
    assert!(table.keys() > (1 << 16) * 97 / 100, "{} of {}", table.keys(), 1 << 16);
}

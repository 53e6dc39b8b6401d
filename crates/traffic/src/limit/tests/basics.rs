//! Single decisions.

use super::*;

#[test]
fn a_burst_at_once_and_then_one_every_interval() {
    let table = table(0, rate(10, 3), 100);
    for left in [2, 1, 0] {
        let (admitted, states) = all(&[tier(&table, 1, 1)], 5);
        assert!(admitted);
        assert_eq!(
            (states[0].remaining(), states[0].full_in()),
            (left, Duration::from_nanos(u64::from(3 - left) * 10))
        );
    }
    let (admitted, states) = all(&[tier(&table, 1, 1)], 14);
    assert!(!admitted);
    assert_eq!((states[0].wait(), states[0].remaining()), (Some(Duration::from_nanos(1)), 0));
    assert!(admits(tier(&table, 1, 1), 15));
    assert!(!admits(tier(&table, 1, 1), 15));
    assert!(admits(tier(&table, 2, 3), 15));
}

#[test]
fn a_quota_that_does_not_divide_its_window_never_gives_a_unit_too_many() {
    let three_a_second = Rate::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(1), NonZeroU32::MIN);
    assert_eq!(three_a_second.interval(), Duration::from_nanos(333_333_334));
}

#[test]
fn a_bucket_of_centuries_is_made_smaller() {
    let rate = Rate::new(NonZeroU32::MIN, Duration::from_secs(86_400), NonZeroU32::MAX);
    assert_eq!(rate.interval(), Duration::from_secs(86_400));
    assert_eq!(rate.burst(), 53_375);
    let longest = Rate::new(NonZeroU32::MIN, Duration::MAX, NonZeroU32::MAX);
    assert_eq!(longest.burst(), 1);
    let tat = decide(Nanos(0), Nanos(7), longest, 1).unwrap();
    assert_eq!(decide(tat, Nanos(7), longest, 1), Err(longest.interval()));
}

#[test]
fn what_costs_more_than_the_burst_is_never_admitted_and_told_so() {
    let table = table(0, rate(10, 3), 100);
    let (admitted, states) = all(&[tier(&table, 1, 4)], 0);
    assert!(!admitted);
    assert_eq!((states[0].wait(), states[0].remaining()), (Some(Duration::MAX), 3));
}

#[test]
fn a_key_with_a_rate_of_its_own_has_that_one() {
    let table = Table::new(0, Rates::new(rate(10, 1), [(Key(7), rate(10, 9)), (Key(7), rate(10, 5))]), 100);
    let (_, states) = all(&[tier(&table, 7, 1)], 0);
    assert_eq!((states[0].rate(), states[0].remaining()), (rate(10, 5), 4));
    assert!(admits(tier(&table, 8, 1), 0));
    assert!(!admits(tier(&table, 8, 1), 0));
}

#[test]
fn a_look_changes_nothing() {
    let table = table(0, rate(10, 3), 100);
    assert_eq!(tier(&table, 1, 3).peek(Nanos(0)).remaining(), 3);
    assert_eq!(table.keys(), 0);
    assert!(admits(tier(&table, 1, 3), 0));
    assert_eq!(tier(&table, 1, 1).peek(Nanos(4)).wait(), Some(Duration::from_nanos(6)));
    assert_eq!(tier(&table, 1, 1).peek(Nanos(4)), tier(&table, 1, 1).peek(Nanos(4)));
}

#[test]
fn states_come_in_the_order_of_the_tiers_whatever_the_order_of_locks() {
    let [high, low] = [table(9, rate(10, 5), 100), table(1, rate(10, 3), 100)];
    let (admitted, states) = all(&[tier(&high, 1, 1), tier(&low, 1, 1)], 0);
    assert!(admitted);
    assert_eq!(states.iter().map(State::remaining).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn a_shadow_tier_never_refuses_and_is_not_spent_when_it_would() {
    let [enforced, watched] = [table(0, rate(10, 5), 100), table(1, rate(10, 2), 100)];
    let tiers = [shadow(&watched, 1, 2), tier(&enforced, 1, 1)];
    assert!(all(&tiers, 0).0);
    let (admitted, states) = all(&tiers, 5);
    assert!(admitted);
    assert_eq!((states[0].wait(), states[0].remaining()), (Some(Duration::from_nanos(15)), 0));
    assert_eq!((states[1].wait(), states[1].remaining()), (None, 3));
    assert_eq!(tiers[0].peek(Nanos(5)), states[0]);
    let (admitted, states) = all(&[shadow(&watched, 1, 1), tier(&enforced, 1, 5)], 10);
    assert!(!admitted, "an enforced tier refused");
    assert_eq!(states[0].remaining(), 1, "so the shadow one is not spent either");
}

#[test]
#[should_panic(expected = "one table twice")]
fn a_table_cannot_be_in_a_decision_twice() {
    // Keys of different stripes: taken twice, one lock would wait for ever instead of failing.
    let table = table(0, rate(10, 5), 1 << 16);
    all(&[tier(&table, 1 << 32, 1), tier(&table, 2 << 32, 1)], 0);
}

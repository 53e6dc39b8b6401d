use entity::value::{Id, Shard};
use proptest::prelude::*;

use super::*;
use crate::fleet::view::fixture::{AT, ride};

fn settings(time_scale: f64) -> FleetSettings {
    FleetSettings { drivers: 200, time_scale, accept_probability: 0.9 }
}

fn statuses() -> impl Strategy<Value = RideStatus> {
    prop_oneof![
        Just(RideStatus::Requested),
        Just(RideStatus::Accepted),
        Just(RideStatus::Arrived),
        Just(RideStatus::InProgress),
        Just(RideStatus::Completed),
        Just(RideStatus::Cancelled),
        Just(RideStatus::Expired),
    ]
}

proptest! {
    #[test]
    fn a_plan_is_repeatable_never_before_its_status_and_only_for_what_moves(
        seed: u64, status in statuses(), version in 1..1000, later_ms in -5000_i64..10_000_000,
        time_scale in prop_oneof![1e-12_f64..1.0, 1.0_f64..100_000.0], accept_probability in 0.0_f64..=1.0,
        drivers in 0_u32..300,
    ) {
        let settings = FleetSettings { drivers, time_scale, accept_probability };
        let holder = if status == RideStatus::Requested { Holder::Nobody } else { Holder::Ours(3) };
        let ride = View { version, ..ride(status, holder) };
        let now = AT.plus_ms(later_ms);
        let step = plan(seed, &settings, &ride, &Busy::new(), now);
        prop_assert_eq!(step, plan(seed, &settings, &ride, &Busy::new(), now));
        prop_assert_eq!(step.is_none(), status.is_terminal());
        if let Some(step) = step {
            prop_assert!(step.due >= AT);
            match step.action {
                Action::Answer => prop_assert!(step.due > now),
                Action::Accept { driver, .. } => prop_assert!(step.due <= now && driver < drivers),
                Action::Arrive | Action::Start | Action::Complete => {}
            }
        }
    }

    #[test]
    fn a_willing_driver_is_found_however_late_the_fleet_looks(
        seed: u64, late_ms in 0_i64..100_000_000, time_scale in 0.1_f64..100_000.0,
    ) {
        let settings = FleetSettings { accept_probability: 1.0, ..settings(time_scale) };
        let ride = ride(RideStatus::Requested, Holder::Nobody);
        let first = plan(seed, &settings, &ride, &Busy::new(), AT).unwrap();
        let later = plan(seed, &settings, &ride, &Busy::new(), first.due.plus_ms(late_ms)).unwrap();
        prop_assert!(matches!(later.action, Action::Accept { .. }), "{later:?}");
    }

    #[test]
    fn an_offer_is_answered_within_seconds_of_sandbox_time(seed: u64, time_scale in 0.1_f64..1000.0) {
        let first = plan(seed, &settings(time_scale), &ride(RideStatus::Requested, Holder::Nobody), &Busy::new(), AT);
        let waited = first.unwrap().due.since_ms(AT);
        prop_assert!(waited >= scaled_ms(THINKING_MIN_S, time_scale) && waited <= scaled_ms(OFFER_S, time_scale));
    }
}

/// Follows a requested ride the way the fleet does and says who accepted after how many answers.
fn answers(seed: u64, settings: &FleetSettings, busy: &Busy, limit: usize) -> (usize, Option<u32>) {
    let ride = ride(RideStatus::Requested, Holder::Nobody);
    let mut now = AT;
    for asked in 0..limit {
        let step = plan(seed, settings, &ride, busy, now).unwrap();
        match step.action {
            Action::Accept { driver, .. } => return (asked, Some(driver)),
            _ => now = step.due,
        }
    }
    (limit, None)
}

#[test]
fn about_the_given_share_of_offers_is_taken() {
    let settings = FleetSettings { accept_probability: 0.25, ..settings(60.0) };
    let at_once = (0..2000).filter(|seed| answers(*seed, &settings, &Busy::new(), 50).0 == 1).count();
    assert!((420..580).contains(&at_once), "{at_once}");
    assert!((0..100).all(|seed| answers(seed, &settings, &Busy::new(), 100).1.is_some()));
}

#[test]
fn nobody_accepts_with_probability_zero_or_without_a_free_driver() {
    let unwilling = FleetSettings { accept_probability: 0.0, ..settings(60.0) };
    assert_eq!(answers(1, &unwilling, &Busy::new(), 1000).1, None);
    let mut busy = Busy::new();
    busy.assign(Id::new(AT, 1, Shard::new(0).unwrap()).unwrap(), Some(0));
    let alone = FleetSettings { drivers: 1, accept_probability: 1.0, ..settings(60.0) };
    assert_eq!(answers(1, &alone, &busy, 1000).1, None);
    assert_eq!(answers(1, &alone, &Busy::new(), 1000).1, Some(0));
}

#[test]
fn a_ride_that_was_let_go_asks_somebody_else_first() {
    let first = |version| candidate(1, &View { version, ..ride(RideStatus::Requested, Holder::Nobody) }, 0).0;
    assert_ne!(first(3), first(5));
}

#[test]
fn nobody_is_asked_before_the_bank_said_yes() {
    let ride = View { authorised: false, ..ride(RideStatus::Requested, Holder::Nobody) };
    assert_eq!(plan(1, &settings(60.0), &ride, &Busy::new(), AT.plus_s(60)), None);
}

#[test]
fn a_ride_of_somebody_elses_driver_is_left_alone() {
    for status in [RideStatus::Accepted, RideStatus::Arrived, RideStatus::InProgress] {
        assert_eq!(plan(1, &settings(60.0), &ride(status, Holder::Other), &Busy::new(), AT.plus_s(60)), None);
    }
}

#[test]
fn driving_takes_what_the_ride_says_at_the_scale_of_time() {
    let due = |status, scale| plan(1, &settings(scale), &ride(status, Holder::Ours(3)), &Busy::new(), AT).unwrap();
    assert_eq!(due(RideStatus::Accepted, 1.0), Step { due: AT.plus_s(240), action: Action::Arrive });
    assert_eq!(due(RideStatus::Accepted, 60.0), Step { due: AT.plus_s(4), action: Action::Arrive });
    assert_eq!(due(RideStatus::InProgress, 600.0), Step { due: AT.plus_ms(1500), action: Action::Complete });
    let boarded = due(RideStatus::Arrived, 1.0);
    assert!(boarded.action == Action::Start && (20_000..=60_000).contains(&boarded.due.since_ms(AT)));
}

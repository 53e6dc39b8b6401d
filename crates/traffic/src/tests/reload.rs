use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::Whom;

fn left(world: &World, passenger: i64) -> u32 {
    let whom = Whom { passenger: Some(passenger), ..Whom::default() };
    world.admission.explain(&whom, Nanos(0))[0].remaining
}

#[test]
fn what_was_used_stays_used_and_what_is_new_starts_full() {
    let world = World::with(&policy("passenger", "passenger", 10, ""));
    for _ in 0..4 {
        assert!(world.of(1, Class::Ride, 0).is_admitted());
    }
    let changed = world.admission.replace(policies(&policy("passenger", "passenger", 12, "")), Nanos(0));
    assert_eq!((changed.revision, &changed.changed[..]), (2, &["passenger".to_owned()][..]));
    assert_eq!((left(&world, 1), left(&world, 2)), (8, 12));
    // A smaller bucket, and then none to speak of.
    world.admission.replace(policies(&policy("passenger", "passenger", 5, "")), Nanos(0));
    assert_eq!((left(&world, 1), left(&world, 2)), (1, 5));
    world.admission.replace(policies(&policy("passenger", "passenger", 1, "")), Nanos(0));
    assert_eq!((left(&world, 1), left(&world, 2)), (0, 1));
    // The same name with another key is another policy.
    let changed = world.admission.replace(policies(&policy("passenger", "device", 1, "")), Nanos(0));
    assert_eq!(changed.revision, 5);
    world.admission.replace(policies(&policy("passenger", "passenger", 3, "")), Nanos(0));
    assert_eq!(left(&world, 1), 3);
}

#[test]
fn an_override_that_comes_or_goes_keeps_what_was_used() {
    let plain = policy("passenger", "passenger", 10, "");
    let own = policy("passenger", "passenger", 10, "override = [{ key = \"1\", quota = 1, burst = 100 }]");
    let world = World::with(&plain);
    for _ in 0..4 {
        assert!(world.of(1, Class::Ride, 0).is_admitted());
    }
    world.admission.replace(policies(&own), Nanos(0));
    assert_eq!((left(&world, 1), left(&world, 2)), (96, 10));
    world.admission.replace(policies(&plain), Nanos(0));
    assert_eq!((left(&world, 1), left(&world, 2)), (6, 10));
}

#[test]
fn the_same_policies_again_change_nothing() {
    let world = World::with(&policy("passenger", "passenger", 10, ""));
    let changed = world
        .admission
        .replace(policies(&("# other text\n".to_owned() + &policy("passenger", "passenger", 10, ""))), Nanos(0));
    assert!(!changed.is_different);
    assert_eq!((changed.revision, world.admission.policies().revision()), (1, 1));
    let more = policy("passenger", "passenger", 10, "") + &policy("global", "global", 10, "");
    let changed = world.admission.replace(policies(&more), Nanos(0));
    assert_eq!((changed.revision, &changed.added[..]), (2, &["global".to_owned()][..]));
    assert_eq!(world.sample("gateway_traffic_policies_revision", &[]), Some(2.0));
    let swapped = policy("global", "global", 10, "") + &policy("passenger", "passenger", 10, "");
    let changed = world.admission.replace(policies(&swapped), Nanos(0));
    assert!(
        changed.is_different && changed.added.is_empty() && changed.changed.is_empty() && changed.removed.is_empty()
    );
}

#[test]
fn series_of_a_policy_that_is_gone_go_too() {
    let world = World::with(&policy("old", "passenger", 10, ""));
    world.of(1, Class::Ride, 0);
    world.admission.sweep(Nanos(0));
    assert_eq!(world.counted("old", "ride", "admitted"), Some(1.0));
    assert_eq!(world.sample("gateway_traffic_keys", &["old"]), Some(1.0));
    let changed = world.admission.replace(policies(&policy("new", "passenger", 10, "")), Nanos(0));
    assert_eq!((changed.added, changed.removed), (vec!["new".to_owned()], vec!["old".to_owned()]));
    assert_eq!(world.counted("old", "ride", "admitted"), None);
    assert_eq!(world.sample("gateway_traffic_keys", &["old"]), None);
    assert_eq!(world.counted("new", "ride", "admitted"), Some(0.0));
}

/// Neither file refuses anybody here, so nobody may be refused while one takes the other's place: not by a cost of the one
/// and a burst of the other, either.
#[test]
fn no_request_is_dropped_while_policies_are_replaced() {
    let file = |burst: u32, own: u32, more: &str| {
        let own = format!("override = [{{ key = \"1\", quota = 1000000000, burst = {own} }}]");
        format!(
            "[[policy]]\nname = \"passenger\"\nkey = \"passenger\"\nquota = 1000000000\nburst = {burst}\n\
             cost = {{ ride = {} }}\n{own}\n{more}",
            burst.min(100)
        )
    };
    let [small, large] =
        [file(2, 3, ""), file(100, 200, "[[policy]]\nname = \"global\"\nkey = \"global\"\nquota = 1000000000\n")]
            .map(|f| policies(&f));
    let world = World::with(&file(2, 3, ""));
    let (is_over, clock, decided) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    // Long enough after the one before that every bucket is full again.
    let now = || Nanos(clock.fetch_add(1_000, Ordering::SeqCst));
    thread::scope(|scope| {
        let threads: Vec<_> = [1, 2, 3]
            .map(|passenger| {
                let (world, is_over, decided, now) = (&world, &is_over, &decided, &now);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        let caller = Caller { address: home(), passenger: Some(passenger), device: None };
                        let decision = done(world.admission.check_caller(caller, Class::Ride, now()));
                        assert!(
                            decision.is_admitted(),
                            "passenger {passenger} was refused: {:?}",
                            decision.quotas().collect::<Vec<_>>()
                        );
                        decided.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .into();
        // Each thread decides while each file comes and goes, many times.
        for turn in 0..400 {
            let before = decided.load(Ordering::SeqCst);
            let next = if turn % 2 == 0 { &large } else { &small };
            world.admission.replace(next.clone(), now());
            while decided.load(Ordering::SeqCst) < before + 3
                && !threads.iter().any(thread::ScopedJoinHandle::is_finished)
            {
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn the_limit_of_work_in_progress_changes_with_the_file() {
    let world = World::with(&policy("passenger", "passenger", 10, ""));
    let more = policy("passenger", "passenger", 10, "[overload]\nmode = \"off\"");
    assert!(world.admission.replace(policies(&more), Nanos(0)).is_different);
    assert_eq!(world.admission.gate().state().mode, crate::GateMode::Off);
}

proptest! {
    #[test]
    fn no_reload_gives_or_takes_credit(
        bursts in prop::collection::vec(1..50_u32, 1..8),
        requests in prop::collection::vec(0..20_usize, 8),
    ) {
        let world = World::with(&policy("passenger", "passenger", bursts[0], ""));
        let mut used = 0_u32;
        for (burst, requests) in bursts.iter().zip(requests) {
            world.admission.replace(policies(&policy("passenger", "passenger", *burst, "")), Nanos(0));
            used = used.min(*burst);
            for _ in 0..requests {
                let fits = used < *burst;
                prop_assert_eq!(world.of(1, Class::Ride, 0).is_admitted(), fits);
                used += u32::from(fits);
            }
            prop_assert_eq!(left(&world, 1), burst - used);
        }
    }
}

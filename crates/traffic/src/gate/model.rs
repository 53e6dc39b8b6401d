//! Every order in which two or three threads can enter, finish, drop, end a window and change the settings
//! (`cargo test -p traffic --features model`).

use loom::{model::Builder, thread};

use super::*;

const RIDES: Priority = Priority::new(0);
const CATALOGUE: Priority = Priority::new(4);

fn config(limit: u32) -> GateConfig {
    GateConfig {
        shares: [1.0, 0.5, 0.5, 0.5, 0.5],
        min_limit: 1,
        max_limit: 3,
        initial: limit,
        ..GateConfig::default()
    }
}

/// All orders with at most so many switches from a thread that could have gone on.
fn check(switches: usize, rule: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(rule);
}

fn gate(limit: u32) -> Gate {
    Gate::new(config(limit), &Registry::new()).unwrap()
}

/// Enters if there is a place, checks how many are in meanwhile, leaves.
fn pass(gate: &Gate, priority: Priority, most: u32, finish: bool) {
    let Ok(permit) = gate.enter(priority, Nanos(1)) else { return };
    let in_flight = gate.shared.places.in_flight();
    assert!((1..=most).contains(&in_flight), "{in_flight} of {most}");
    if finish {
        // The first window ends at once: whoever finishes first looks at it.
        permit.finish(0, Nanos(2));
    }
}

#[test]
fn of_three_no_more_than_the_limit_are_in_and_in_the_end_nobody() {
    check(3, || {
        let places = Arc::new(Places::new(2, [2, 1, 1, 1, 1]));
        let pass = |priority| {
            let places = Arc::clone(&places);
            move || {
                let entered = places.enter(priority);
                assert!(places.in_flight() <= 2);
                if entered.is_ok() {
                    places.leave();
                }
            }
        };
        let others = [RIDES, CATALOGUE].map(|priority| thread::spawn(pass(priority)));
        pass(RIDES)();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(places.in_flight(), 0);
        assert!(places.take_peak() >= 1);
    });
}

#[test]
fn the_last_place_is_given_once_and_comes_back() {
    check(3, || {
        let gate = gate(1);
        let other = gate.clone();
        let other = thread::spawn(move || pass(&other, RIDES, 1, true));
        pass(&gate, RIDES, 1, false);
        other.join().unwrap();
        assert_eq!(gate.shared.places.in_flight(), 0);
        assert!(gate.enter(RIDES, Nanos(3)).is_ok());
    });
}

#[test]
fn a_share_is_kept_whoever_comes_first() {
    check(3, || {
        let gate = gate(2);
        let other = gate.clone();
        let other = thread::spawn(move || other.enter(CATALOGUE, Nanos(1)));
        let own = gate.enter(CATALOGUE, Nanos(1));
        let other = other.join().unwrap();
        assert!(own.is_ok() != other.is_ok(), "one place for two");
        assert!(gate.enter(RIDES, Nanos(1)).is_ok(), "and one that is only for rides");
    });
}

#[test]
fn one_thread_ends_a_window_while_others_come_and_go() {
    check(3, || {
        let gate = gate(2);
        let other = gate.clone();
        let other = thread::spawn(move || pass(&other, RIDES, 2, true));
        pass(&gate, RIDES, 2, true);
        other.join().unwrap();
        assert_eq!(gate.shared.places.in_flight(), 0);
        assert_eq!(gate.shared.window_ends.load(Relaxed), 2 + Duration::from_millis(100).as_nanos() as u64);
        assert!((2..=3).contains(&gate.shared.places.limit()));
    });
}

#[test]
fn other_settings_take_effect_among_those_who_come_and_go() {
    check(3, || {
        let gate = gate(2);
        let other = gate.clone();
        let other = thread::spawn(move || other.set_config(GateConfig { min_limit: 3, ..config(3) }));
        pass(&gate, RIDES, 3, true);
        other.join().unwrap();
        assert_eq!(gate.shared.places.in_flight(), 0);
        assert_eq!(gate.shared.places.limit(), 3);
    });
}

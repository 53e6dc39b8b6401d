//! When the limit falls, and when it comes back.

use std::collections::VecDeque;

use super::*;

/// One window in which `requests` of route 0 took `latency_ms` each.
fn window(gate: &Gate, now: &mut Nanos, requests: usize, latency_ms: u64) {
    let permits: Vec<_> = (0..requests).map_while(|_| gate.enter(RIDES, *now).ok()).collect();
    assert_eq!(permits.len(), requests);
    now.0 += latency_ms * MS;
    for permit in permits {
        permit.finish(0, *now);
    }
    now.0 += 100 * MS;
    gate.tick(*now);
}

/// The same, while somebody finds no place.
fn full_window(gate: &Gate, now: &mut Nanos, requests: usize, latency_ms: u64) {
    let inside = fill(gate, RIDES);
    assert!(gate.enter(CATALOGUE, *now).is_err());
    drop(inside);
    window(gate, now, requests, latency_ms);
}

#[test]
fn quick_work_lets_the_limit_grow_only_while_it_is_used() {
    let (gate, mut now) = (gate(GateConfig { min_limit: 10, max_limit: 100, ..config(40) }), Nanos(0));
    for _ in 0..3 {
        window(&gate, &mut now, 20, 10);
    }
    let unloaded = gate.unloaded(0).unwrap();
    assert!(unloaded >= Duration::from_millis(8) && unloaded <= Duration::from_millis(10), "{unloaded:?}");
    let used = gate.state().limit;
    assert!((41..=44).contains(&used), "it grew slowly: {used}");
    window(&gate, &mut now, 12, 10);
    assert_eq!(gate.state().limit, used, "hardly used");
}

/// A gate with the limit 100 that knows its route: 10 ms.
fn learnt() -> (Gate, Nanos) {
    let config = GateConfig { tolerance: 3.0, min_limit: 10, max_limit: 100, ..config(100) };
    let (gate, mut now) = (gate(config), Nanos(0));
    for _ in 0..3 {
        window(&gate, &mut now, 20, 10);
    }
    assert_eq!(gate.state().limit, 100);
    (gate, now)
}

#[test]
fn slow_work_shrinks_nothing_while_everybody_finds_a_place() {
    let (gate, mut now) = learnt();
    for _ in 0..20 {
        window(&gate, &mut now, 100, 500);
    }
    assert_eq!(gate.state().limit, 100);
}

#[test]
fn only_an_overload_that_lasts_shrinks_the_limit() {
    let (gate, mut now) = learnt();
    for _ in 0..10 {
        for latency_ms in [500, 500, 10] {
            full_window(&gate, &mut now, 20, latency_ms);
        }
        full_window(&gate, &mut now, 20, 500);
        window(&gate, &mut now, 20, 500);
    }
    assert_eq!(gate.state().limit, 100);
    for _ in 0..3 {
        full_window(&gate, &mut now, 20, 500);
    }
    assert!(gate.state().limit < 50);
}

#[test]
fn the_limit_shrinks_as_far_as_the_work_is_too_slow_and_then_in_every_window() {
    let (gate, mut now) = learnt();
    for _ in 0..3 {
        full_window(&gate, &mut now, 20, 60);
    }
    // Twice what three times the unloaded latency is, and a little more: the estimate is below the median.
    let twice = gate.state().limit;
    assert!((37..=50).contains(&twice), "{twice}");
    full_window(&gate, &mut now, 20, 60);
    let again = gate.state().limit;
    assert!((twice * 3 / 8..=twice / 2).contains(&again), "{again}");
    for _ in 0..3 {
        full_window(&gate, &mut now, 20, 5000);
    }
    assert_eq!(gate.state().limit, 10, "the least limit");
}

#[test]
fn rides_under_way_keep_the_places_of_a_calm_server_while_the_limit_is_small() {
    let (gate, mut now) = learnt();
    for _ in 0..3 {
        full_window(&gate, &mut now, 20, 5000);
    }
    let state = gate.state();
    assert_eq!((state.limit, state.priorities[0].room, state.priorities[1].room), (10, 100, 8));
}

#[test]
fn a_calm_gate_comes_back_used_or_not() {
    for uses in [0, 1, 20] {
        let (gate, mut now) = learnt();
        for _ in 0..3 {
            full_window(&gate, &mut now, 20, 5000);
        }
        assert_eq!(gate.state().limit, 10);
        // What is left of the last window.
        gate.tick(now);
        for _ in 0..11 {
            window(&gate, &mut now, uses, 5);
        }
        assert_eq!(gate.state().limit, 100, "with {uses} requests a window");
    }
}

#[test]
fn single_outliers_and_requests_without_a_sample_change_nothing() {
    let (gate, mut now) = (gate(GateConfig { min_limit: 5, max_limit: 100, ..config(100) }), Nanos(0));
    for _ in 0..5 {
        window(&gate, &mut now, 20, 10);
    }
    for _ in 0..20 {
        let outlier = gate.enter(RIDES, now).unwrap();
        let waits_by_design = fill(&gate, SIGN_IN);
        now.0 += 5_000 * MS;
        outlier.finish(0, now);
        drop(waits_by_design);
        window(&gate, &mut now, 20, 10);
    }
    assert_eq!(gate.state().limit, 100);
    assert!(gate.unloaded(0).unwrap() <= Duration::from_millis(10));
}

#[test]
fn slowness_with_hardly_anybody_in_is_not_answered_by_a_smaller_limit() {
    let (gate, mut now) = (gate(GateConfig { min_limit: 30, max_limit: 100, ..config(50) }), Nanos(0));
    for latency_ms in [10, 10, 10, 500, 500, 500] {
        let inside: Vec<_> = (0..20).map(|_| gate.enter(RIDES, now).unwrap()).collect();
        assert!(gate.enter(CATALOGUE, now).is_err());
        drop(inside);
        window(&gate, &mut now, 20, latency_ms);
    }
    assert!(gate.state().limit >= 50);
}

/// One window with 100 quick requests of route 1 and `slow` of route 0, which take `slow_ms`, while somebody finds no place.
fn mixed_window(gate: &Gate, now: &mut Nanos, slow: usize, slow_ms: u64) {
    let mut writes: Vec<_> = (0..100 + slow).map(|_| gate.enter(RIDES, *now).unwrap()).collect();
    assert!(gate.enter(CATALOGUE, *now).is_err());
    for look_up in writes.split_off(slow) {
        look_up.finish(1, Nanos(now.0 + MS / 50));
    }
    now.0 += slow_ms * MS;
    for write in writes {
        write.finish(0, *now);
    }
    now.0 += 100 * MS;
    gate.tick(*now);
}

#[test]
fn quick_look_ups_do_not_outvote_the_writes_that_are_stuck() {
    let (gate, mut now) = (gate(GateConfig { min_limit: 10, max_limit: 200, ..config(200) }), Nanos(0));
    for slow_ms in [10, 10] {
        mixed_window(&gate, &mut now, 10, slow_ms);
    }
    assert_eq!(gate.state().limit, 200);
    for _ in 0..3 {
        mixed_window(&gate, &mut now, 10, 100);
    }
    assert!(gate.state().limit < 200);
}

#[test]
fn one_write_that_is_stuck_is_no_overload() {
    let (gate, mut now) = (gate(GateConfig { min_limit: 10, max_limit: 200, ..config(200) }), Nanos(0));
    for slow_ms in [10, 10] {
        mixed_window(&gate, &mut now, 10, slow_ms);
    }
    for _ in 0..5 {
        mixed_window(&gate, &mut now, 1, 1000);
    }
    assert_eq!(gate.state().limit, 200);
}

#[test]
fn one_queue_shrinks_the_limit_once_however_long_it_takes_to_drain() {
    let (gate, mut now) = learnt();
    // Slow, but by less than what is left of the limit then.
    gate.set_config(GateConfig { tolerance: 25.0, min_limit: 5, max_limit: 100, ..config(100) });
    let mut queue = VecDeque::from(fill(&gate, RIDES));
    let mut limits = Vec::new();
    for refills in [true, true, true, false, false, false, false] {
        now.0 += 100 * MS;
        for permit in queue.drain(..20) {
            permit.finish(0, now);
        }
        queue.extend((0..20).map_while(|_| gate.enter(RIDES, now).ok()).take(if refills { 20 } else { 0 }));
        assert!(gate.enter(CATALOGUE, now).is_err());
        gate.tick(Nanos(now.0 + MS));
        limits.push(gate.state().limit);
    }
    let shrunk = *limits.last().unwrap();
    let first = limits.iter().position(|limit| *limit < 100).unwrap();
    assert!(limits[first..].iter().all(|limit| *limit == shrunk), "{limits:?}");
}

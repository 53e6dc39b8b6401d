//! What the gate must do for a service, whatever that is: one server or several, quick work or slow.

use super::*;
use crate::gate::GateMode;

/// Numbers of servers, and milliseconds of an average request.
pub(super) const SERVICES: [(usize, f64); 4] = [(1, 4.0), (4, 1.0), (4, 15.0), (8, 4.0)];
pub(super) const RIDES: Priority = Priority::ALL[0];

/// A load of `times` the capacity, a quarter of the capacity being priority 0. What is less important is more, and lighter.
pub(super) fn mix(servers: usize, service_ms: f64, times: f64) -> Vec<Flow> {
    let capacity = servers as f64 * 1000.0 / service_ms;
    let rest = times - 0.25;
    [(0.25, 1.0), (0.1 * rest, 2.0), (0.3 * rest, 1.0), (0.3 * rest, 0.5), (0.3 * rest, 0.5)]
        .into_iter()
        .zip(Priority::ALL)
        .map(|((part, weight), priority)| Flow {
            priority,
            route: priority.index(),
            per_s: part * capacity / weight,
            service_ms: weight * service_ms,
        })
        .collect()
}

pub(super) fn world(servers: usize, service_ms: f64, times: f64) -> World {
    World::new(GateConfig::default(), servers, &mix(servers, service_ms, times))
}

fn off() -> GateConfig {
    GateConfig { mode: GateMode::Off, ..GateConfig::default() }
}

#[test]
fn at_ten_times_the_capacity_work_goes_on_and_rides_under_way_hardly_notice() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.5);
        let calm = world.run(10.0);
        world.offer(&mix(servers, service_ms, 10.0));
        let _ = world.run(2.0);
        let spike = world.run(20.0);
        let case = format!("{servers} servers, {service_ms} ms");
        assert!(spike.goodput() >= 0.9, "{case}: goodput {}", spike.goodput());
        assert!(spike.success(RIDES) >= 0.995, "{case}: success {}", spike.success(RIDES));
        let (unloaded, p99) = (calm.latency(RIDES, 0.99), spike.latency(RIDES, 0.99));
        assert!(p99 <= 4.0 * unloaded, "{case}: p99 {p99} ms, {unloaded} ms unloaded");
        assert!(spike.success(Priority::ALL[4]) <= 0.01, "{case}: what is last is shut");
        let (least, most) = (spike.limits.iter().min().unwrap(), spike.limits.iter().max().unwrap());
        assert!(*most <= 3 * least, "{case}: the limit went from {least} to {most}");
    }
}

#[test]
fn without_the_gate_the_same_spike_makes_everybody_wait_ever_longer() {
    let mut world = World::new(off(), 4, &mix(4, 1.0, 0.5));
    let calm = world.run(5.0).latency(RIDES, 0.99);
    world.offer(&mix(4, 1.0, 10.0));
    let p50: Vec<f64> = (0..4).map(|_| world.run(1.0).latency(RIDES, 0.5)).collect();
    assert!(p50.is_sorted(), "{p50:?}");
    assert!(p50[3] > 100.0 * calm, "{p50:?}, calm {calm}");
}

#[test]
fn a_second_after_the_spike_everybody_is_served_again() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.5);
        let _ = world.run(5.0);
        world.offer(&mix(servers, service_ms, 10.0));
        let _ = world.run(10.0);
        world.offer(&mix(servers, service_ms, 0.5));
        let _ = world.run(1.0);
        let after = world.run(5.0);
        for priority in Priority::ALL {
            let success = after.success(priority);
            let enough = if priority == Priority::ALL[4] { 0.95 } else { 0.98 };
            assert!(success >= enough, "{servers} servers, {service_ms} ms, {priority:?}: {success}");
        }
    }
}

#[test]
fn the_limit_comes_back_within_seconds_of_a_bad_spell() {
    let mut world = world(4, 1.0, 0.5);
    let before = *world.run(5.0).limits.last().unwrap();
    world.slowness = 20.0;
    let spell = *world.run(3.0).limits.last().unwrap();
    assert!(spell <= 2 * GateConfig::default().min_limit, "{spell}");
    world.slowness = 1.0;
    // In the spell even rides under way were too many: what waits is done first.
    let _ = world.run(2.0);
    let after = *world.run(2.0).limits.last().unwrap();
    assert!(2 * after >= before, "{before}, then {spell}, then {after}");
}

#[test]
fn a_service_that_has_become_slower_for_ever_is_learnt_anew() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.26);
        let _ = world.run(10.0);
        let before = world.gate.unloaded(0).unwrap();
        world.slowness = 3.0;
        let _ = world.run(30.0);
        let after = world.run(20.0);
        let case = format!("{servers} servers, {service_ms} ms");
        assert!(world.gate.unloaded(0).unwrap() >= 2 * before, "{case}: still {before:?}");
        assert!(after.success(RIDES) >= 0.99, "{case}: {}", after.success(RIDES));
        assert!(after.goodput() >= 0.7, "{case}: {} of 0.78 offered", after.goodput());
    }
}

#[test]
fn even_when_the_least_limit_is_too_small_to_see_the_service_unloaded() {
    let mut world = world(24, 4.0, 0.26);
    let _ = world.run(10.0);
    world.slowness = 3.5;
    let _ = world.run(60.0);
    let after = world.run(10.0);
    assert!(after.success(RIDES) >= 0.99, "{}", after.success(RIDES));
    assert!(*after.limits.iter().min().unwrap() >= 24, "{:?}", after.limits.iter().min());
}

#[test]
fn an_overload_that_lasts_is_not_learnt_as_the_normal_state() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.5);
        let calm = world.run(10.0).latency(RIDES, 0.99);
        world.offer(&mix(servers, service_ms, 10.0));
        let _ = world.run(60.0);
        let p99 = world.run(10.0).latency(RIDES, 0.99);
        assert!(p99 <= 5.0 * calm, "{servers} servers, {service_ms} ms: {p99} ms, {calm} ms unloaded");
    }
}

#[test]
fn quick_and_slow_routes_and_stalls_of_single_requests_do_not_move_the_limit_down() {
    let flow = |route, per_s, service_ms| Flow { priority: Priority::ALL[2], route, per_s, service_ms };
    // A look-up in memory, a read, a write of three steps: half of what four servers can do.
    let flows = [flow(0, 4000.0, 0.02), flow(1, 400.0, 1.0), flow(2, 76.0, 20.0)];
    let mut world = World::new(GateConfig::default(), 4, &flows);
    world.stall_in = 200;
    let _ = world.run(5.0);
    let report = world.run(30.0);
    let least = *report.limits.iter().min().unwrap();
    assert!(least >= GateConfig::default().initial, "{least}");
    let success = report.success(Priority::ALL[2]);
    assert!(success >= 0.995, "{success}");
}

#[test]
fn a_priority_that_is_alone_may_use_the_whole_machine() {
    for priority in Priority::ALL {
        let flow = |times| [Flow { priority, route: 0, per_s: times * 1000.0, service_ms: 4.0 }];
        let mut world = World::new(GateConfig::default(), 4, &flow(0.5));
        let _ = world.run(5.0);
        world.offer(&flow(10.0));
        let _ = world.run(3.0);
        let goodput = world.run(10.0).goodput();
        assert!(goodput >= 0.9, "{priority:?}: {goodput}");
    }
}

#[test]
fn in_shadow_everybody_enters_and_the_overload_is_not_learnt() {
    let shadow = GateConfig { mode: GateMode::Shadow, ..GateConfig::default() };
    let mut world = World::new(shadow, 4, &mix(4, 1.0, 0.5));
    let _ = world.run(5.0);
    let before = world.gate.unloaded(0).unwrap();
    world.offer(&mix(4, 1.0, 3.0));
    let spike = world.run(10.0);
    assert_eq!(spike.offered, spike.admitted);
    assert!(world.gate.unloaded(0).unwrap() <= 2 * before);
    let state = world.gate.state();
    assert!(state.limit <= 2 * GateConfig::default().min_limit, "{}", state.limit);
    assert!(state.priorities[4].shadow_shed > 0);
    assert_eq!(state.priorities[4].shed, 0);
}

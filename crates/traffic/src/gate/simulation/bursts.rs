//! Many at once is no overload: what lasts is. And what lasts is answered quickly, and forgotten soon after it is over.

use super::{
    rules::{RIDES, SERVICES, mix, world},
    *,
};

/// Opening the app: what a hundred phones do when they are all told something.
fn opening(priority: Priority, service_ms: f64) -> Flow {
    Flow { priority, route: 9, per_s: 0.0, service_ms }
}

fn idle(servers: usize, service_ms: f64) -> World {
    // One after the other, so that the route is known.
    let flow = Flow { per_s: 0.05 * 1000.0 / service_ms, ..opening(RIDES, service_ms) };
    let mut world = World::new(GateConfig::default(), servers, &[flow]);
    let _ = world.run(10.0);
    world
}

#[test]
fn a_hundred_at_once_are_served_whatever_they_want_and_again_two_seconds_later() {
    for (servers, service_ms) in SERVICES {
        for slowness in [1.0, 10.0] {
            for priority in Priority::ALL {
                let mut world = idle(servers, service_ms);
                world.slowness = slowness;
                for round in 0..3 {
                    let admitted = world.burst(100, opening(priority, service_ms));
                    // One that takes longer than until the next one has not left yet.
                    if round == 0 || 100.0 * service_ms * slowness / servers as f64 <= 2000.0 {
                        assert_eq!(
                            admitted, 100,
                            "{servers} servers, {service_ms} ms × {slowness}, {priority:?}, {round}"
                        );
                    }
                    let _ = world.run(2.0);
                }
            }
        }
    }
}

#[test]
fn a_burst_that_does_not_fit_turns_some_away_and_shrinks_nothing() {
    for (servers, service_ms) in SERVICES {
        let mut world = idle(servers, service_ms);
        let before = world.gate.state().limit;
        assert!(world.burst(500, opening(Priority::ALL[4], service_ms)) < 500);
        let after = world.run(2.0).limits;
        assert!(after.iter().all(|limit| *limit >= before), "{servers} servers, {service_ms} ms: {before}, {after:?}");
    }
}

#[test]
fn a_crowd_that_finds_its_places_is_slow_and_not_shed() {
    // As much as it can do, but always a hundred at a time.
    let mut world = idle(1, 1.4);
    for _ in 0..20 {
        assert_eq!(world.burst(100, opening(Priority::ALL[2], 1.4)), 100);
        let _ = world.run(0.2);
    }
}

#[test]
fn ten_times_as_many_from_one_moment_to_the_next_are_tamed_within_half_a_second() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.5);
        let _ = world.run(10.0);
        world.offer(&mix(servers, service_ms, 10.0));
        let tamed = *world.run(0.5).limits.last().unwrap();
        // What came before that has to be worked off.
        let mut spike = world.run(3.0);
        assert_eq!(spike.success(RIDES), 1.0, "meanwhile rides under way find a place");
        spike = world.run(10.0);
        let usual = spike.limits.iter().sum::<u32>() / spike.limits.len() as u32;
        assert!(tamed <= 3 * usual, "{servers} servers, {service_ms} ms: {tamed}, later {usual}");
    }
}

#[test]
fn rides_under_way_are_not_turned_away_in_any_moment_of_a_spike() {
    for (servers, service_ms) in SERVICES {
        let mut world = world(servers, service_ms, 0.5);
        let _ = world.run(10.0);
        world.offer(&mix(servers, service_ms, 10.0));
        let spike = world.run(20.0);
        assert_eq!(spike.success(RIDES), 1.0, "{servers} servers, {service_ms} ms");
    }
}

#[test]
fn two_seconds_after_a_spike_the_next_burst_finds_its_places() {
    for (servers, service_ms) in SERVICES {
        for times in [0.0, 0.5] {
            let mut world = world(servers, service_ms, 0.5);
            let _ = world.run(5.0);
            world.offer(&mix(servers, service_ms, 10.0));
            let _ = world.run(10.0);
            let shrunk = world.gate.state().limit;
            let flows = if times > 0.0 { mix(servers, service_ms, times) } else { Vec::new() };
            world.offer(&flows);
            let _ = world.run(3.0);
            let limit = world.gate.state().limit;
            let case = format!("{servers} servers, {service_ms} ms, {times}: {shrunk}, then {limit}");
            assert!(shrunk < 200 && limit >= GateConfig::default().initial, "{case}");
            assert_eq!(world.burst(100, opening(Priority::ALL[4], service_ms)), 100, "{case}");
        }
    }
}

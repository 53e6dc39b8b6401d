mod limit;

use std::panic::{AssertUnwindSafe, catch_unwind};

use prometheus::Encoder;
use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const RIDES: Priority = Priority::new(0);
const REQUEST: Priority = Priority::new(1);
const SIGN_IN: Priority = Priority::new(2);
const HISTORY: Priority = Priority::new(3);
const CATALOGUE: Priority = Priority::new(4);

fn config(limit: u32) -> GateConfig {
    GateConfig {
        shares: [1.0, 0.8, 0.6, 0.4, 0.2],
        min_limit: limit,
        max_limit: limit,
        initial: limit,
        ..GateConfig::default()
    }
}

fn gate(config: GateConfig) -> Gate {
    Gate::new(config, &Registry::new()).unwrap()
}

/// As many as get in, at most 1000.
fn fill(gate: &Gate, priority: Priority) -> Vec<Permit> {
    (0..1000).map_while(|_| gate.enter(priority, Nanos(0)).ok()).collect()
}

#[test]
fn each_priority_fills_its_share_of_the_limit_and_no_more() {
    let gate = gate(config(20));
    let mut inside = Vec::new();
    for (priority, most) in [(CATALOGUE, 4), (HISTORY, 8), (SIGN_IN, 12), (REQUEST, 16), (RIDES, 20)] {
        inside.extend(fill(&gate, priority));
        assert_eq!(inside.len(), most, "{priority:?}");
    }
    assert_eq!(gate.state().in_flight, 20);
    drop(inside);
    assert_eq!(gate.state().in_flight, 0);
}

#[test]
fn rides_under_way_still_enter_when_everything_else_is_shut() {
    let gate = gate(config(20));
    let _inside = fill(&gate, REQUEST);
    for priority in [REQUEST, SIGN_IN, HISTORY, CATALOGUE] {
        let shed = gate.enter(priority, Nanos(0)).unwrap_err();
        assert_eq!((shed.priority, shed.level), (priority, 4));
    }
    assert!(gate.enter(RIDES, Nanos(0)).is_ok());
}

#[test]
fn what_is_served_last_is_told_to_come_back_last() {
    let gate = gate(config(1));
    let _inside = fill(&gate, RIDES);
    let waits = Priority::ALL.map(|priority| gate.enter(priority, Nanos(0)).unwrap_err().retry_after.as_secs());
    assert_eq!(waits, [1, 1, 2, 2, 3]);
}

#[test]
fn a_panic_gives_the_place_back() {
    let gate = gate(config(1));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _permit = gate.enter(RIDES, Nanos(0));
        panic!("in the handler");
    }));
    assert!(caught.is_err());
    assert!(gate.enter(RIDES, Nanos(0)).is_ok());
}

#[test]
fn in_shadow_nobody_is_refused_and_everybody_counted() {
    let gate = gate(GateConfig { mode: GateMode::Shadow, ..config(5) });
    let inside = fill(&gate, CATALOGUE);
    let state = gate.state();
    assert_eq!((inside.len(), state.in_flight), (1000, 1000));
    let catalogue = &state.priorities[4];
    assert_eq!((catalogue.admitted, catalogue.shadow_shed, catalogue.shed), (1, 999, 0));
}

#[test]
fn off_counts_nothing_and_a_place_from_before_is_still_given_back() {
    let gate = gate(config(5));
    let before = gate.enter(RIDES, Nanos(0));
    gate.set_config(GateConfig { mode: GateMode::Off, ..config(5) });
    let inside = fill(&gate, CATALOGUE);
    assert_eq!((inside.len(), gate.state().in_flight), (1000, 1));
    assert_eq!(gate.state().priorities[4].admitted, 0);
    gate.set_config(config(5));
    drop(inside);
    drop(before);
    assert_eq!(gate.state().in_flight, 0);
}

#[test]
fn other_settings_keep_the_limit_as_far_as_they_allow() {
    let gate = gate(GateConfig { min_limit: 1, max_limit: 100, ..config(50) });
    gate.set_config(GateConfig { min_limit: 10, max_limit: 90, initial: 20, ..config(1) });
    assert_eq!(gate.state().limit, 50);
    gate.set_config(config(30));
    assert_eq!(gate.state().limit, 30);
    assert_eq!(gate.state().priorities[1].room, 24);
}

#[test]
fn a_clock_that_two_threads_read_out_of_order_is_harmless() {
    let gate = gate(config(20));
    for _ in 0..50 {
        gate.enter(RIDES, Nanos(5)).unwrap().finish(usize::MAX, Nanos(3));
    }
    assert_eq!((gate.state().limit, gate.state().in_flight), (20, 0));
}

#[test]
fn the_level_rises_at_once_and_falls_by_one_a_second() {
    let (gate, mut now) = (gate(config(20)), Nanos(0));
    let mut level_after = |ms: u64| {
        now.0 += ms * MS;
        gate.tick(now);
        gate.state().level
    };
    assert_eq!(level_after(100), 0);
    drop(fill(&gate, SIGN_IN));
    assert_eq!(level_after(100), 3);
    assert_eq!([level_after(100), level_after(800)], [3, 3]);
    assert_eq!([level_after(200), level_after(900)], [2, 2]);
    assert_eq!([level_after(200), level_after(1100), level_after(1100)], [1, 0, 0]);
}

#[test]
fn the_metrics_are_named_and_read_when_asked() {
    let registry = Registry::new();
    let gate = Gate::new(config(20), &registry).unwrap();
    let _inside = fill(&gate, CATALOGUE);
    let mut text = Vec::new();
    prometheus::TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "gateway_overload_limit 20",
        "gateway_overload_in_flight 4",
        "gateway_overload_level 0",
        "gateway_overload_decisions_total{outcome=\"admitted\",priority=\"4\"} 4",
        "gateway_overload_decisions_total{outcome=\"shed\",priority=\"4\"} 1",
        "gateway_overload_decisions_total{outcome=\"shadow_shed\",priority=\"0\"} 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
    }
    assert!(Gate::new(config(20), &registry).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Enter(usize),
    Drop(usize),
    Finish(usize, usize),
    Panic(usize),
    Configure(u32),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..5_usize).prop_map(Step::Enter),
        2 => (0..50_usize).prop_map(Step::Drop),
        3 => (0..50_usize, 0..200_usize).prop_map(|(which, route)| Step::Finish(which, route)),
        1 => (0..50_usize).prop_map(Step::Panic),
        1 => (1..40_u32).prop_map(Step::Configure),
        2 => (0..300 * MS).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn places_are_neither_lost_nor_doubled_and_a_share_is_never_exceeded(steps in steps()) {
        let gate = gate(GateConfig { min_limit: 1, max_limit: 60, ..config(20) });
        let (mut inside, mut now, mut calm): (Vec<Permit>, _, _) = (Vec::new(), Nanos(0), 20);
        for step in steps {
            match step {
                Step::Enter(priority) => {
                    let state = gate.state();
                    let share = state.priorities[priority].share;
                    let limit = if priority == 0 { state.limit.max(calm) } else { state.limit };
                    let fits = f64::from(state.in_flight) + 1e-9 < share * f64::from(limit);
                    let entered = gate.enter(Priority::ALL[priority], now);
                    prop_assert_eq!(entered.is_ok(), fits);
                    inside.extend(entered);
                }
                Step::Drop(which) if which < inside.len() => drop(inside.swap_remove(which)),
                Step::Finish(which, route) if which < inside.len() => inside.swap_remove(which).finish(route, now),
                Step::Panic(which) if which < inside.len() => {
                    let permit = inside.swap_remove(which);
                    let unwinding = catch_unwind(AssertUnwindSafe(move || {
                        let _permit = permit;
                        std::panic::resume_unwind(Box::new("without a message"));
                    }));
                    prop_assert!(unwinding.is_err());
                }
                Step::Configure(limit) => {
                    gate.set_config(GateConfig { max_limit: 60, ..config(limit) });
                    calm = limit;
                }
                Step::Wait(nanos) => now.0 += nanos,
                Step::Drop(_) | Step::Finish(..) | Step::Panic(_) => {}
            }
            let state = gate.state();
            prop_assert_eq!(state.in_flight as usize, inside.len());
            prop_assert!((1..=60).contains(&state.limit));
        }
        drop(inside);
        prop_assert_eq!(gate.state().in_flight, 0);
    }
}

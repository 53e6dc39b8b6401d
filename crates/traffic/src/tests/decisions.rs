use std::time::Duration;

use prometheus::Registry;
use proptest::prelude::*;

use super::*;
use crate::{TierReport, Whom};

fn names(decision: &Decision) -> Vec<&str> {
    decision.quotas().map(|quota| quota.policy).collect()
}

#[test]
fn one_ipv6_network_is_one_caller_and_ipv4_written_as_ipv6_is_ipv4() {
    let world = World::with(&policy("address", "address", 2, ""));
    let admits = |address: &str| world.from(address, Class::Quote, 0).is_admitted();
    assert_eq!(["2001:db8::1", "2001:db8::ffff:2", "2001:db8::3"].map(admits), [true, true, false]);
    assert!(admits("2001:db8:0:1::1"));
    assert_eq!(["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7"].map(admits), [true, true, false]);
}

#[test]
fn each_passenger_and_each_device_has_a_budget_of_its_own() {
    let world = World::with(&(policy("passenger", "passenger", 2, "") + &policy("device", "device", 1, "")));
    let admits = |passenger, device| {
        let caller = Caller { address: home(), passenger: Some(passenger), device: Some(device) };
        done(world.admission.check_caller(caller, Class::Ride, Nanos(0))).is_admitted()
    };
    assert!(admits(1, "a"));
    assert!(!admits(1, "a"), "the device is spent");
    assert!(admits(1, "b"));
    assert!(!admits(1, "c"), "the passenger is spent");
    assert!(admits(2, "c"), "and the device of the refused request is not");
}

#[test]
fn whoever_has_no_token_is_counted_by_class_and_together_with_all() {
    let all =
        policy("passenger", "passenger", 9, "") + &policy("class", "class", 2, "") + &policy("global", "global", 3, "");
    let world = World::with(&all);
    let decide = |class| {
        let caller = Caller { address: home(), passenger: None, device: None };
        done(world.admission.check_caller(caller, class, Nanos(0)))
    };
    assert_eq!(names(&decide(Class::Quote)), ["class", "global"]);
    assert!(decide(Class::Quote).is_admitted());
    let refused = decide(Class::Quote);
    assert_eq!(refused.violated().collect::<Vec<_>>(), ["class"]);
    assert!(decide(Class::Ride).is_admitted(), "another class, and the refused one took nothing of all");
    assert_eq!(decide(Class::Ride).violated().collect::<Vec<_>>(), ["global"]);
}

#[test]
fn a_policy_speaks_about_its_classes_alone_and_takes_what_each_costs() {
    let more = "classes = [\"quote\", \"request\"]\ncost = { request = 3 }";
    let world = World::with(&policy("passenger", "passenger", 4, more));
    assert!(names(&world.of(1, Class::Ride, 0)).is_empty());
    let [after_one, after_two] = [Class::Request, Class::Quote].map(|class| world.of(1, class, 0));
    assert_eq!(after_one.quotas().next().map(|quota| quota.remaining), Some(1));
    assert_eq!(after_two.quotas().next().map(|quota| quota.remaining), Some(0));
}

#[test]
fn the_numbers_tell_what_is_left_and_when_it_is_back() {
    let world = World::with(&(policy("a", "passenger", 2, "") + &policy("b", "global", 7, "cost = { ride = 2 }")));
    world.of(1, Class::Ride, 0);
    world.of(1, Class::Ride, 0);
    let refused = world.of(1, Class::Ride, 5);
    assert!(!refused.is_admitted());
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(5)));
    let numbers: Vec<_> = refused.quotas().map(|q| (q.policy, q.quota, q.window_s, q.remaining, q.reset_s)).collect();
    assert_eq!(numbers, [("a", 2, 20, 0, 5), ("b", 7, 70, 3, 35)], "who refused tells when it would not");
    let both = world.of(1, Class::Ride, 10);
    assert!(both.is_admitted() && both.retry_after().is_none());
}

#[test]
fn the_longest_wait_counts_and_every_policy_that_refused_is_named() {
    let world =
        World::with(&(policy("short", "passenger", 1, "") + &policy("long", "passenger", 2, "cost = { ride = 2 }")));
    assert!(world.of(1, Class::Ride, 0).is_admitted());
    let refused = world.of(1, Class::Ride, 0);
    assert_eq!(refused.violated().collect::<Vec<_>>(), ["short", "long"]);
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(20)));
}

#[test]
fn a_shadow_policy_refuses_nothing_is_counted_and_not_told() {
    let world = World::with(
        &(policy("real", "passenger", 9, "") + &policy("trial", "passenger", 1, "mode = \"shadow\"\ndeny = [\"8\"]")),
    );
    for _ in 0..3 {
        let decision = world.of(1, Class::Ride, 0);
        assert!(decision.is_admitted());
        assert_eq!(names(&decision), ["real"]);
    }
    assert!(world.of(8, Class::Ride, 0).is_admitted(), "its deny list is on trial too");
    let counted = |policy, outcome| world.counted(policy, "ride", outcome);
    assert_eq!((counted("trial", "admitted"), counted("trial", "shadow_refused")), (Some(1.0), Some(3.0)));
    assert_eq!((counted("real", "admitted"), counted("trial", "refused")), (Some(4.0), None));
}

#[test]
fn whoever_is_denied_spends_nothing_and_whoever_is_allowed_is_not_counted() {
    let lists = "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.13\", \"203.0.113.0/24\"]";
    let world = World::with(&(policy("lists", "address", 2, lists) + &policy("plain", "address", 9, "")));
    let denied = world.from("203.0.113.9", Class::Quote, 0);
    assert!(!denied.is_admitted());
    assert_eq!(denied.violated().collect::<Vec<_>>(), ["lists"]);
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(3600)));
    let quota = denied.quotas().next().unwrap();
    assert_eq!((quota.quota, quota.window_s, quota.remaining, quota.reset_s), (2, 20, 0, 3600));
    assert!(!world.from("10.0.0.13", Class::Quote, 0).is_admitted(), "deny is stronger");
    for _ in 0..5 {
        assert_eq!(names(&world.from("10.1.2.3", Class::Quote, 0)), ["plain"]);
    }
    assert_eq!(world.admission.policies().keys().collect::<Vec<_>>(), [("lists", 0), ("plain", 1)]);
    let counted = |outcome| world.counted("lists", "quote", outcome);
    assert_eq!(["denied", "allowed", "admitted"].map(counted), [Some(2.0), Some(5.0), Some(0.0)]);
}

#[test]
fn lists_and_overrides_name_passengers_devices_and_classes_too() {
    let world = World::with(
        &(policy("passenger", "passenger", 1, "deny = [\"4\"]\noverride = [{ key = \"5\", quota = 1, burst = 3 }]")
            + &policy("device", "device", 1, "allow = [\"bench\"]")
            + &policy(
                "class",
                "class",
                9,
                "deny = [\"quote\"]\noverride = [{ key = \"ride\", quota = 1, burst = 4 }]",
            )),
    );
    let decide = |passenger, device, class| {
        let caller = Caller { address: home(), passenger: Some(passenger), device: Some(device) };
        done(world.admission.check_caller(caller, class, Nanos(0)))
    };
    assert_eq!(decide(4, "bench", Class::Ride).violated().collect::<Vec<_>>(), ["passenger"]);
    assert_eq!(decide(1, "x", Class::Quote).violated().collect::<Vec<_>>(), ["class"]);
    for _ in 0..3 {
        assert!(decide(5, "bench", Class::Ride).is_admitted());
    }
    assert_eq!(decide(5, "bench", Class::Ride).violated().collect::<Vec<_>>(), ["passenger"]);
    assert!(decide(6, "bench", Class::Ride).is_admitted());
    assert_eq!(decide(7, "bench", Class::Ride).violated().collect::<Vec<_>>(), ["class"], "four rides, and no more");
}

#[test]
fn newcomers_to_a_full_policy_share_a_budget_with_their_neighbourhood_and_are_counted() {
    let world = World::holding(&policy("address", "address", 2, ""), 1);
    assert!(world.from("192.0.2.1", Class::Quote, 0).is_admitted(), "has the only record");
    let admitted = (0..20).filter(|i| world.from(&format!("198.51.100.{i}"), Class::Quote, 0).is_admitted());
    assert_eq!(admitted.count(), 2);
    assert!(world.from("192.0.2.1", Class::Quote, 0).is_admitted(), "is not crowded out");
    assert_eq!(world.counted("address", "quote", "overflow"), Some(20.0));
}

#[test]
fn two_admissions_cannot_report_to_one_registry() {
    let (registry, config) = (Registry::new(), Config::default());
    assert!(Admission::build(&config, Policies::built_in(), [0; 16], &registry).is_ok());
    assert!(Admission::build(&config, Policies::built_in(), [0; 16], &registry).is_err());
}

/// Any few policies over few callers, small enough that all of them refuse now and then.
fn any_policies() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["address", "passenger", "device", "class", "global"]);
    let one = (kind, 1..6_u32, 1..4_u32, any::<bool>(), 1..4_u32, any::<bool>());
    prop::collection::vec(one, 1..7).prop_map(|list| {
        let each = |(i, (key, burst, quota, is_shadow, cost, is_some)): (usize, (&str, u32, u32, bool, u32, bool))| {
            let (mode, cost) = (if is_shadow { "shadow" } else { "enforce" }, cost.min(burst));
            let classes = if is_some { "classes = [\"ride\", \"request\"]" } else { "" };
            format!(
                "[[policy]]\nname = \"p{i}\"\nkey = \"{key}\"\nquota = {quota}\nwindow_s = 3\nburst = {burst}\n\
                 mode = \"{mode}\"\ncost = {{ request = {cost} }}\n{classes}\n"
            )
        };
        list.into_iter().enumerate().map(each).collect()
    })
}

proptest! {
    #[test]
    fn a_refused_request_changes_no_policy_and_looking_changes_none_either(
        text in any_policies(),
        requests in prop::collection::vec((0..3_i64, 0..2_u8, any::<bool>(), 0..2_000_000_000_u64), 1..60),
    ) {
        let world = World::with(&text);
        let mut now = 0;
        for (passenger, device, is_request, pause) in requests {
            now += pause;
            let (class, device) = (if is_request { Class::Request } else { Class::Ride }, format!("d{device}"));
            let caller = Caller { address: home(), passenger: Some(passenger), device: Some(&device) };
            let whom = Whom { address: Some(home()), passenger: Some(passenger), device: Some(device.clone()), class: None };
            let stands = || -> Vec<TierReport> { world.admission.explain(&whom, Nanos(now)) };
            let before = stands();
            prop_assert_eq!(&before, &stands());
            let first = world.admission.check_address(home(), class, Nanos(now));
            let between = stands();
            if !first.is_admitted() {
                prop_assert_eq!(&between, &before);
            }
            let second = done(world.admission.check_caller(caller, class, Nanos(now)));
            if !second.is_admitted() {
                prop_assert_eq!(&stands(), &between);
            }
            // What was foretold is what was decided.
            let refuses = |policy: &&str| {
                let report = before.iter().find(|report| {
                    let is_of_class = report.whom == class.name() || report.key != crate::policies::KeyKind::Class;
                    report.policy == *policy && is_of_class
                });
                report.is_some_and(|report| report.refused.iter().any(|refused| refused.class == class))
            };
            for violated in first.violated().chain(second.violated()) {
                prop_assert!(refuses(&violated), "{violated} refused, and was not foretold: {before:?}");
            }
        }
    }

    #[test]
    fn a_sole_caller_who_waits_as_told_is_admitted(text in any_policies(), is_request: bool) {
        let world = World::with(&text);
        let (class, mut now) = (if is_request { Class::Request } else { Class::Ride }, 0);
        let caller = Caller { address: home(), passenger: Some(1), device: Some("d") };
        for _ in 0..40 {
            let decision = done(world.admission.check_caller(caller, class, Nanos(now)));
            if let Some(wait) = decision.retry_after() {
                prop_assert!(!wait.is_zero());
                now += u64::try_from(wait.as_nanos()).unwrap();
                prop_assert!(done(world.admission.check_caller(caller, class, Nanos(now))).is_admitted());
            }
        }
    }
}

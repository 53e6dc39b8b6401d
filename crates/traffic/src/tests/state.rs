use super::*;
use crate::{TierReport, Verdict, Whom};

fn find<'a>(reports: &'a [TierReport], policy: &str) -> &'a TierReport {
    reports.iter().find(|report| report.policy == policy).unwrap_or_else(|| panic!("{policy} is not in {reports:#?}"))
}

#[test]
fn an_operator_reads_why_somebody_is_refused() {
    let world = World::with(
        &(policy("address", "address", 3, "")
            + &policy(
                "passenger",
                "passenger",
                3,
                "cost = { request = 2 }\noverride = [{ key = \"9\", quota = 1, burst = 7 }]",
            )
            + &policy("trial", "passenger", 2, "mode = \"shadow\"")
            + &policy("blocked", "passenger", 3, "deny = [\"1\"]\nallow = [\"2\"]\nclasses = [\"history\"]")
            + &policy("class", "class", 5, "")),
    );
    for _ in 0..2 {
        assert!(world.of(1, Class::Ride, 0).is_admitted());
    }
    let asked = |passenger| Whom { passenger: Some(passenger), ..Whom::default() };
    let reports = world.admission.explain(&asked(1), Nanos(SECOND));
    assert_eq!(reports.len(), 3 + Class::ALL.len(), "no address was asked about, and every class: {reports:#?}");
    let passenger = find(&reports, "passenger");
    assert_eq!((passenger.verdict, passenger.remaining, passenger.burst), (Verdict::Refuses, 1, 3));
    assert_eq!((passenger.whom.as_str(), passenger.full_in_ms), ("1", 19_000));
    assert_eq!(passenger.why, "1 of 3 units are left; request takes 2 and is refused for 9000 ms more");
    let trial = find(&reports, "trial");
    assert_eq!(trial.verdict, Verdict::WouldRefuse);
    assert!(
        trial.why.starts_with("0 of 2 units are left; sign_in takes 1 and is counted as refused for 9000 ms more"),
        "{}",
        trial.why
    );
    let blocked = find(&reports, "blocked");
    assert_eq!(
        (blocked.verdict, blocked.why.as_str()),
        (Verdict::Denied, "on the deny list: refused at once, told to come back in 3600 s")
    );
    let of_class: Vec<_> =
        reports.iter().filter(|report| report.policy == "class").map(|r| (r.whom.as_str(), r.remaining)).collect();
    assert!(of_class.contains(&("ride", 3)) && of_class.contains(&("quote", 5)), "{of_class:?}");

    let other = world.admission.explain(&asked(9), Nanos(SECOND));
    assert_eq!((find(&other, "passenger").burst, find(&other, "passenger").has_override), (7, true));
    assert!(!find(&reports, "passenger").has_override);
    let allowed = world.admission.explain(&asked(2), Nanos(SECOND));
    assert_eq!(find(&allowed, "blocked").why, "on the allow list: not counted");
    let rides = world.admission.explain(&Whom { class: Some(Class::Ride), ..asked(1) }, Nanos(SECOND));
    assert_eq!(find(&rides, "passenger").verdict, Verdict::Admits, "a ride takes one unit");
    assert!(rides.iter().all(|report| report.policy != "blocked"), "it does not speak about rides");
}

#[test]
fn an_address_is_explained_as_it_is_counted() {
    let world = World::with(&policy("address", "address", 2, "deny = [\"2001:db8::7\"]"));
    assert!(world.from("2001:db8::1", Class::Quote, 0).is_admitted());
    let whom = |address: &str| Whom { address: address.parse().ok(), ..Whom::default() };
    let neighbour = &world.admission.explain(&whom("2001:db8::2"), Nanos(0))[0];
    assert_eq!((neighbour.whom.as_str(), neighbour.remaining), ("2001:db8::/64", 1));
    assert_eq!(world.admission.explain(&whom("2001:db8::7"), Nanos(0))[0].verdict, Verdict::Denied);
    let other = &world.admission.explain(&whom("::ffff:192.0.2.1"), Nanos(0))[0];
    assert_eq!((other.whom.as_str(), other.verdict), ("192.0.2.1", Verdict::Admits));
    assert!(world.admission.explain(&Whom::default(), Nanos(0)).is_empty(), "nobody was asked about");
}

#[test]
fn a_newcomer_to_a_full_policy_is_told_with_whom_the_budget_is_shared() {
    let world = World::holding(&policy("address", "address", 2, ""), 1);
    world.from("192.0.2.1", Class::Quote, 0);
    for i in 0..4 {
        world.from(&format!("198.51.100.{i}"), Class::Quote, 0);
    }
    let whom = Whom { address: "198.51.100.77".parse().ok(), class: Some(Class::Quote), ..Whom::default() };
    let report = &world.admission.explain(&whom, Nanos(0))[0];
    assert!(report.is_overflow && report.verdict == Verdict::Refuses, "{report:?}");
    assert!(report.why.ends_with("newcomers share the budget of their neighbourhood"), "{}", report.why);
}

#[test]
fn a_sweep_forgets_whoever_has_a_full_budget_again_and_nobody_else() {
    let world = World::with(&policy("passenger", "passenger", 10, ""));
    for _ in 0..5 {
        world.of(1, Class::Ride, 0);
    }
    world.of(2, Class::Ride, 0);
    let kept = |s: u64| {
        world.admission.sweep(Nanos(s * SECOND));
        world.sample("gateway_traffic_keys", &["passenger"])
    };
    assert_eq!([0, 11, 51].map(kept), [Some(2.0), Some(1.0), Some(0.0)]);
}

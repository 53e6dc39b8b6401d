//! What counts as too much.

use serde_json::json;

use super::*;

fn policy(key: &str, extra: Value) -> Policy {
    let mut value = json!({ "name": "p", "key": key, "classes": ["ride", "quote"], "quota": 10, "window_s": 1, "burst": 20,
        "cost": { "quote": 3 }, "mode": "enforce", "allow": [], "override": [] });
    value.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
    read(&json!({ "revision": 1, "policies": { "policy": [value] } })).unwrap().remove(0)
}

fn admitted(sent_ms: u32, source: u32) -> Admitted {
    Admitted { sent_ms, ended_ms: sent_ms + 5, who: Some(source), source, kind: Kind::Ride }
}

fn verify(policy: &Policy, admitted: &[Admitted]) -> PolicyRow {
    policy.verify(admitted, &Routes::built_in())
}

#[test]
fn exactly_what_is_allowed_is_not_too_much() {
    // The burst at once, then one every tenth of a second.
    let all: Vec<_> = (0..20).map(|_| admitted(0, 1)).chain((1..50).map(|n| admitted(n * 100, 1))).collect();
    let row = verify(&policy("address", json!({})), &all);
    assert_eq!((row.over, row.keys, row.admitted), (0.0, 1, 69));
    assert_eq!(row.worst_key.as_deref(), Some("127.0.1.2"));
}

#[test]
fn a_burst_too_many_in_the_middle_of_a_quiet_run_is_found() {
    // Over the whole run 20 + 10 · 30 s would be allowed; forty at once are not.
    let all: Vec<_> = (0..40).map(|_| admitted(15_010, 1)).chain([admitted(30_000, 1)]).collect();
    let row = verify(&policy("address", json!({})), &all);
    assert!((row.worst_admitted, row.worst_allowed) == (Some(40.0), Some(21.0)), "{row:?}");
    assert!((row.over - 19.0 / 21.0).abs() < 1e-9);
}

#[test]
fn what_may_have_been_decided_outside_the_stretch_does_not_count() {
    // Forty answers at the same time, of requests that were sent over four seconds.
    let all: Vec<_> = (0..40).map(|n| Admitted { ended_ms: 4000, ..admitted(n * 100, 1) }).collect();
    assert_eq!(verify(&policy("address", json!({})), &all).over, 0.0);
}

#[test]
fn each_key_has_its_own_budget_and_a_shared_one_has_not() {
    let all: Vec<_> = (0..4).flat_map(|source| (0..20).map(move |_| admitted(0, source))).collect();
    for key in ["address", "passenger", "device"] {
        let row = verify(&policy(key, json!({})), &all);
        assert_eq!((row.keys, row.over), (4, 0.0), "{key}");
    }
    for key in ["class", "global"] {
        let row = verify(&policy(key, json!({})), &all);
        assert_eq!((row.keys, row.worst_admitted), (1, Some(80.0)), "{key}");
        assert!(row.over > 2.0, "{key}");
    }
}

#[test]
fn costs_classes_overrides_and_allowed_addresses_are_heeded() {
    let quotes: Vec<_> = (0..8).map(|_| Admitted { kind: Kind::Quote, ..admitted(0, 1) }).collect();
    assert_eq!(verify(&policy("address", json!({})), &quotes).admitted, 24);
    let history: Vec<_> = (0..99).map(|_| Admitted { kind: Kind::History, ..admitted(0, 1) }).collect();
    assert_eq!(verify(&policy("address", json!({})), &history).keys, 0);
    let many: Vec<_> = (0..99).map(|_| admitted(0, 1)).collect();
    let more = json!({ "override": [{ "key": "127.0.1.2", "quota": 100, "window_s": 1, "burst": 100 }] });
    assert_eq!(verify(&policy("address", more), &many).over, 0.0);
    assert_eq!(verify(&policy("address", json!({ "allow": ["127.0.0.0/16"] })), &many).keys, 0);
    assert_eq!(verify(&policy("address", json!({ "allow": ["127.0.2.0/24"] })), &many).keys, 1);
}

#[test]
fn a_shadow_policy_allows_everything() {
    let shadow = json!({ "policies": [{ "name": "s", "mode": "shadow" }] });
    assert_eq!(read(&shadow).unwrap(), []);
}

#[test]
fn what_is_missing_is_named() {
    assert!(read(&json!({})).unwrap_err().contains("no list"));
    let error = read(&json!({ "policy": [{ "name": "x", "key": "address", "quota": 1, "window_s": 1 }] })).unwrap_err();
    assert_eq!(error, "policy `x` without `burst`");
}

#[test]
fn the_servers_routes_win_and_a_missing_one_is_named() {
    let mut routes = Routes::built_in();
    let list: Vec<_> =
        Kind::ALL.map(|k| json!({ "method": k.method(), "path": k.path(), "class": "ride", "priority": 4 })).into();
    learn_routes(&mut routes, &json!({ "routes": list })).unwrap();
    assert!(Kind::ALL.iter().all(|kind| routes.priority(*kind) == 4));
    let error = learn_routes(&mut routes, &json!(list[1..])).unwrap_err();
    assert_eq!(error, "the server has no route POST /v1/auth/otp");
}

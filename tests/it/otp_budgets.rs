//! How many sign-in codes are sent: to one phone, for one address, for one device, and at all. And that nobody can spend
//! what a passenger's own device needs. Why: `docs/decisions/0014-budgets-of-codes.md`.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, Passenger, eventually, fresh_phone, text};

/// The test stands behind a proxy that the gateway trusts, and so has any address it likes.
const PROXY: (&str, &str) = ("http.trusted_proxies", "127.0.0.1");
const HERE: &str = "198.51.100.1";
const THERE: &str = "203.0.113.7";
const ELSEWHERE: &str = "2001:db8::1";
/// What a passenger's device is called; nobody else knows.
const MINE: &str = "my-phone-5c1f";

/// Somebody who asks for codes.
#[derive(Clone, Copy)]
struct Asker<'a> {
    address: &'a str,
    device: Option<&'a str>,
}

const STRANGER: Asker = Asker { address: HERE, device: None };

impl Asker<'_> {
    async fn asks(&self, gateway: &Gateway, phone: &str) -> Answer {
        let mut body = json!({ "phone": phone });
        if let Some(device) = self.device {
            body["device_id"] = Value::from(device);
        }
        gateway.public().post("/v1/auth/otp", &body).header("x-forwarded-for", self.address).send().await
    }

    /// Asks until refused; how many codes were sent.
    async fn spends(&self, gateway: &Gateway, phone: &str, policies: &[&str]) -> usize {
        for sent in 0..100 {
            let answer = self.asks(gateway, phone).await;
            if answer.status != 202 {
                refused(&answer, policies);
                return sent;
            }
        }
        panic!("a hundred codes and no end");
    }

    /// Asks for a code and signs in with it.
    async fn signs_in(&self, gateway: &Gateway, phone: &str) -> Passenger {
        let challenge = self.asks(gateway, phone).await.expect(202);
        types(gateway, &challenge, phone, self.device.expect("a device signs in")).await
    }
}

async fn types(gateway: &Gateway, challenge: &Value, phone: &str, device: &str) -> Passenger {
    let code = Passenger::read_code(&gateway.public(), phone).await;
    let body = json!({ "challenge_id": challenge["challenge_id"], "code": code, "device_id": device });
    let tokens = gateway.public().post("/v1/auth/token", &body).send().await.expect(200);
    Passenger {
        api: gateway.public().with_token(&text(&tokens["access_token"])),
        id: text(&tokens["passenger"]["id"]),
        phone: phone.to_owned(),
        refresh_token: text(&tokens["refresh_token"]),
    }
}

/// A refusal that names these budgets and says when to come back: not before the slowest of them has a code.
#[track_caller]
fn refused(answer: &Answer, policies: &[&str]) {
    let problem = answer.problem(429, "quota-exceeded");
    assert_eq!(problem["violated-policies"], json!(policies), "{answer:#?}");
    let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    for policy in policies {
        let item = format!("\"{policy}\";r=0;t=");
        let (_, after) = answer.header("ratelimit").and_then(|text| text.split_once(&item)).expect(policy);
        let until: u64 = after.split(',').next().unwrap().parse().expect("seconds");
        assert!(0 < until && until <= wait, "{answer:#?}");
        let item = format!("\"{policy}\";q=");
        assert!(answer.header("ratelimit-policy").is_some_and(|text| text.contains(&item)), "{answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_budget_refuses_by_its_name_when_it_is_spent_and_not_before() {
    let one_device = Asker { device: Some("tablet"), ..STRANGER };
    for (setting, policy, asker, one_phone) in [
        ("auth.otp_per_phone", "otp-phone", STRANGER, true),
        ("auth.otp_per_phone_address", "otp-phone-address", STRANGER, true),
        ("auth.otp_per_address", "otp-address", STRANGER, false),
        ("auth.otp_per_device", "otp-device", one_device, false),
        ("auth.otp_global", "otp-global", STRANGER, false),
    ] {
        let gateway = Gateway::start_with(&[PROXY, (setting, "3")]).await;
        let phone = fresh_phone();
        let phone = || if one_phone { phone.clone() } else { fresh_phone() };
        for _ in 0..3 {
            asker.asks(&gateway, &phone()).await.expect(202);
        }
        refused(&asker.asks(&gateway, &phone()).await, &[policy]);
        let somebody_else = Asker { address: THERE, device: Some("another") };
        let other = somebody_else.asks(&gateway, &fresh_phone()).await;
        assert_eq!(other.status, if policy == "otp-global" { 429 } else { 202 }, "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_every_budget_that_is_spent() {
    let gateway = Gateway::start_with(&[PROXY, ("auth.otp_per_phone", "1"), ("auth.otp_global", "1")]).await;
    let phone = fresh_phone();
    STRANGER.asks(&gateway, &phone).await.expect(202);
    refused(&STRANGER.asks(&gateway, &phone).await, &["otp-phone", "otp-global"]);
    refused(&STRANGER.asks(&gateway, &fresh_phone()).await, &["otp-global"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_nobody_a_second_budget() {
    let mut gateway = Gateway::start_with(&[PROXY, ("auth.otp_per_phone", "2"), ("auth.otp_per_address", "3")]).await;
    let phone = fresh_phone();
    for _ in 0..2 {
        STRANGER.asks(&gateway, &phone).await.expect(202);
    }
    gateway.crash_and_restart().await;
    refused(&STRANGER.asks(&gateway, &phone).await, &["otp-phone"]);
    STRANGER.asks(&gateway, &fresh_phone()).await.expect(202);
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    refused(&STRANGER.asks(&gateway, &fresh_phone()).await, &["otp-address"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_takes_nothing_from_the_other_budgets() {
    let few = [("auth.otp_per_phone", "1"), ("auth.otp_per_address", "2"), ("auth.otp_global", "3")];
    let gateway = Gateway::start_with(&[&[PROXY][..], &few].concat()).await;
    let phone = fresh_phone();
    STRANGER.asks(&gateway, &phone).await.expect(202);
    for _ in 0..10 {
        refused(&STRANGER.asks(&gateway, &phone).await, &["otp-phone"]);
    }
    STRANGER.asks(&gateway, &fresh_phone()).await.expect(202);
    for _ in 0..10 {
        refused(&STRANGER.asks(&gateway, &fresh_phone()).await, &["otp-address"]);
    }
    Asker { address: THERE, ..STRANGER }.asks(&gateway, &fresh_phone()).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_not_sent_takes_nothing_from_any_budget() {
    let one = ["auth.otp_per_phone", "auth.otp_per_phone_address", "auth.otp_per_address", "auth.otp_per_device"];
    let one: Vec<_> = one.into_iter().chain(["auth.otp_global"]).map(|name| (name, "1")).collect();
    let gateway = Gateway::start_with(&[&[PROXY][..], &one].concat()).await;
    let (asker, phone) = (Asker { device: Some(MINE), ..STRANGER }, fresh_phone());
    gateway.script("sms", &json!({ "failure_rate": 1.0, "delay_ms": 0 })).await;
    for _ in 0..5 {
        asker.asks(&gateway, &phone).await.problem(503, "unavailable");
    }
    gateway.script("sms", &json!({ "failure_rate": 0.0, "delay_ms": 0 })).await;
    asker.asks(&gateway, &phone).await.expect(202);
    let all = ["otp-phone", "otp-phone-address", "otp-address", "otp-global", "otp-device"];
    refused(&asker.asks(&gateway, &phone).await, &all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_not_sent_takes_nothing_also_from_those_who_hung_up() {
    let gateway = Gateway::start_with(&[PROXY, ("auth.otp_per_phone", "1")]).await;
    let phone = fresh_phone();
    let under_way = async || gateway.metric("gateway_tasks_running{task=\"sign-in-code\"}").await;
    gateway.script("sms", &json!({ "failure_rate": 1.0, "delay_ms": 500 })).await;
    tokio::select! {
        answer = STRANGER.asks(&gateway, &phone) => panic!("answered too soon: {answer:#?}"),
        () = eventually("the message is under way", async || (under_way().await > 0.0).then_some(())) => {}
    }
    eventually("the message has failed", async || (under_way().await == 0.0).then_some(())).await;
    gateway.script("sms", &json!({ "failure_rate": 0.0, "delay_ms": 0 })).await;
    STRANGER.asks(&gateway, &phone).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_at_once_each_code_is_sent_once() {
    let gateway = Gateway::start_with(&[PROXY, ("auth.otp_per_phone", "7"), ("auth.otp_per_address", "10")]).await;
    let phone = fresh_phone();
    let answers = join_all((0..50).map(|_| STRANGER.asks(&gateway, &phone))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 7);
    answers.iter().filter(|answer| answer.status != 202).for_each(|answer| refused(answer, &["otp-phone"]));
    // One address, many phones: the budget that they share lies with none of them.
    let phones: Vec<String> = (0..50).map(|_| fresh_phone()).collect();
    let answers = join_all(phones.iter().map(|phone| STRANGER.asks(&gateway, phone))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 3);
}

/// Small budgets, so that an attacker can spend each of them; each time has to be more than the test takes.
fn small() -> Vec<(&'static str, &'static str)> {
    vec![
        PROXY,
        ("auth.otp_window_s", "86400"),
        ("auth.otp_per_phone", "4"),
        ("auth.otp_per_phone_address", "2"),
        ("auth.otp_per_address", "6"),
        ("auth.otp_global", "16"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_shut_out_a_passenger_whose_device_is_known() {
    let gateway = Gateway::start_with(&small()).await;
    let (phone, me) = (fresh_phone(), Asker { address: HERE, device: Some(MINE) });
    let passenger = me.signs_in(&gateway, &phone).await;
    let waiting = Asker { address: THERE, device: Some("new") }.asks(&gateway, &phone).await.expect(202);
    let waiting_code = Passenger::read_code(&gateway.public(), &phone).await;

    // The phone's open budget, what this address may ask for, and everybody's.
    fn attacker(address: &str) -> Asker<'_> {
        Asker { address, device: Some("burner") }
    }
    attacker(HERE).spends(&gateway, &phone, &["otp-phone-address"]).await;
    attacker(ELSEWHERE).spends(&gateway, &phone, &["otp-phone"]).await;
    for number in 0..30 {
        let elsewhere = format!("192.0.2.{number}");
        for address in [HERE, &elsewhere] {
            attacker(address).asks(&gateway, &fresh_phone()).await;
        }
    }
    refused(
        &attacker(HERE).asks(&gateway, &phone).await,
        &["otp-phone", "otp-phone-address", "otp-address", "otp-global"],
    );
    let spent = attacker("192.0.2.200").asks(&gateway, &phone).await;
    refused(&spent, &["otp-phone", "otp-global"]);

    // At the attacker's own address, and from another one. An attacker's guess at the device is none.
    for address in [HERE, THERE] {
        let me = Asker { address, ..me };
        me.signs_in(&gateway, &phone).await.api.get("/v1/me").send().await.expect(200);
        let spent = Asker { address, device: Some("my-phone") }.asks(&gateway, &phone).await;
        assert_eq!(spent.status, 429);
    }
    // What was under way goes on.
    passenger.api.get("/v1/me").send().await.expect(200);
    let refresh = json!({ "refresh_token": passenger.refresh_token });
    gateway.public().post("/v1/auth/refresh", &refresh).send().await.expect(200);
    let body = json!({ "challenge_id": waiting["challenge_id"], "code": waiting_code, "device_id": "new" });
    gateway.public().post("/v1/auth/token", &body).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_device_stays_known_after_signing_out_and_after_a_restart() {
    let mut gateway = Gateway::start_with(&small()).await;
    let (phone, me) = (fresh_phone(), Asker { address: HERE, device: Some(MINE) });
    let passenger = me.signs_in(&gateway, &phone).await;
    passenger.api.post("/v1/auth/logout", &json!({})).send().await.expect(204);
    STRANGER.spends(&gateway, &phone, &["otp-phone-address"]).await;
    Asker { address: THERE, ..STRANGER }.spends(&gateway, &phone, &["otp-phone", "otp-phone-address"]).await;
    gateway.crash_and_restart().await;
    me.signs_in(&gateway, &phone).await;
    // A device is known with the phones that it signed in with, and with no other.
    let other = fresh_phone();
    for address in [HERE, THERE] {
        Asker { address, ..STRANGER }.asks(&gateway, &other).await.expect(202);
        Asker { address, ..STRANGER }.asks(&gateway, &other).await.expect(202);
    }
    refused(&Asker { address: ELSEWHERE, ..me }.asks(&gateway, &other).await, &["otp-phone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_device_has_the_open_budget_besides_its_own() {
    let changes = [PROXY, ("auth.otp_per_phone", "3")];
    let gateway = Gateway::start_with(&changes).await;
    let (phone, me) = (fresh_phone(), Asker { address: HERE, device: Some(MINE) });
    me.signs_in(&gateway, &phone).await;
    assert_eq!(me.spends(&gateway, &phone, &["otp-phone"]).await, 3 + 2, "its own, and what was left of the open one");
    refused(&STRANGER.asks(&gateway, &phone).await, &["otp-phone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_alone_cannot_spend_a_phones_budget() {
    let gateway = Gateway::start_with(&small()).await;
    let phone = fresh_phone();
    assert_eq!(STRANGER.spends(&gateway, &phone, &["otp-phone-address"]).await, 2);
    // Another device, or another address of the same IPv6 network, is the same address.
    refused(&Asker { device: Some("burner"), ..STRANGER }.asks(&gateway, &phone).await, &["otp-phone-address"]);
    let new_phone = Asker { address: ELSEWHERE, device: Some("bought today") };
    new_phone.signs_in(&gateway, &phone).await;
    let neighbours = Asker { address: "2001:db8::2", device: None };
    neighbours.asks(&gateway, &phone).await.expect(202);
    let answer = Asker { address: "2001:db8::3", device: None }.asks(&gateway, &phone).await;
    refused(&answer, &["otp-phone", "otp-phone-address"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_spends_nobody_elses_budget_and_buys_none() {
    let gateway = Gateway::start_with(&[("auth.otp_per_address", "2")]).await;
    for address in [HERE, THERE] {
        Asker { address, ..STRANGER }.asks(&gateway, &fresh_phone()).await.expect(202);
    }
    refused(&Asker { address: ELSEWHERE, ..STRANGER }.asks(&gateway, &fresh_phone()).await, &["otp-address"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_and_unknown_phones_are_answered_alike_while_there_are_codes_and_when_there_are_none() {
    let gateway = Gateway::start_with(&[PROXY, ("auth.otp_per_phone", "2")]).await;
    let known = fresh_phone();
    Asker { address: THERE, device: Some(MINE) }.signs_in(&gateway, &known).await;
    Asker { address: ELSEWHERE, ..STRANGER }.asks(&gateway, &known).await.expect(202);
    let unknown = fresh_phone();
    for _ in 0..2 {
        Asker { address: ELSEWHERE, ..STRANGER }.asks(&gateway, &unknown).await.expect(202);
    }
    // What differs between any two answers: times, ids, and what an address has left.
    let shape = |answer: &Answer| {
        let fields: BTreeSet<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        let headers: BTreeSet<String> = answer.headers.keys().map(ToString::to_string).collect();
        let policies = answer.header("ratelimit-policy").unwrap().to_owned();
        (answer.status, fields, headers, policies, answer.json()["violated-policies"].clone())
    };
    for device in [None, Some("burner")] {
        let asker = Asker { address: HERE, device };
        let (one, other) = (asker.asks(&gateway, &known).await, asker.asks(&gateway, &unknown).await);
        assert_eq!((one.status, shape(&one)), (429, shape(&other)));
    }
    // To whoever holds a device that the passenger has signed in on, too.
    let gateway = Gateway::start_with(&[PROXY]).await;
    let [known, unknown] = [gateway.passenger().await.phone, fresh_phone()];
    for device in [None, Some("burner"), Some("phone-1")] {
        let asker = Asker { address: HERE, device };
        let (one, other) = (asker.asks(&gateway, &known).await, asker.asks(&gateway, &unknown).await);
        assert_eq!(shape(&one), shape(&other));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_what_is_left_of_the_askers_own_budgets_and_of_nobody_elses() {
    let gateway = Gateway::start_with(&small()).await;
    let phone = fresh_phone();
    Asker { address: THERE, ..STRANGER }.asks(&gateway, &phone).await.expect(202);
    let answer = Asker { device: Some("tablet"), ..STRANGER }.asks(&gateway, &phone).await;
    let (policies, left) = (answer.header("ratelimit-policy").unwrap(), answer.header("ratelimit").unwrap());
    for (policy, item) in [
        ("\"otp-phone-address\";q=2;w=86400", "\"otp-phone-address\";r=1;t=43200"),
        ("\"otp-address\";q=6;w=86400", "\"otp-address\";r=5;t=14400"),
        ("\"otp-device\";q=10000;w=86400", "\"otp-device\";r=9999;t=9"),
    ] {
        assert!(policies.contains(policy) && left.contains(item), "{answer:#?}");
    }
    assert!(!policies.contains("\"otp-phone\"") && !policies.contains("\"otp-global\""), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budgets_hold_no_address_and_no_device() {
    let mut gateway = Gateway::start_with(&[PROXY]).await;
    Asker { address: ELSEWHERE, device: Some("a-telltale-name") }.asks(&gateway, &fresh_phone()).await.expect(202);
    assert_eq!(gateway.stop().await, Some(0));
    let stored = gateway.stored();
    assert!(!stored.is_empty());
    for secret in ["a-telltale-name".as_bytes(), ELSEWHERE.as_bytes(), &[0x20, 0x01, 0x0d, 0xb8]] {
        assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret), "{secret:?}");
    }
}

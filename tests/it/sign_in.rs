//! One-time codes, tokens, profile.

use futures_util::future::join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::harness::{Answer, Api, Gateway, Passenger, eventually, fresh_phone, instant, passed, text};

/// Tries a code on a challenge.
async fn try_code(public: &Api, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge_id": challenge, "code": code, "device_id": "phone-1" });
    public.post("/v1/auth/token", &body).send().await
}

async fn refresh(public: &Api, token: &str) -> Answer {
    public.post("/v1/auth/refresh", &json!({ "refresh_token": token })).send().await
}

/// A code of the same form that is not `code`.
fn other_than(code: &str) -> String {
    let last = code.chars().last().expect("a code has digits");
    let changed = if last == '9' { '0' } else { '9' };
    format!("{}{changed}", &code[..code.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_from_the_message_signs_in() {
    let gateway = Gateway::start().await;
    let (public, phone) = (gateway.public(), fresh_phone());
    let challenge = public.post("/v1/auth/otp", &json!({ "phone": phone, "device_id": "phone-1" })).send().await;
    let challenge = challenge.expect(202);
    assert!(instant(&challenge["expires_at"]) > OffsetDateTime::now_utc());
    assert!(challenge["resend_after_s"].as_u64().is_some());

    let code = Passenger::read_code(&public, &phone).await;
    let tokens = try_code(&public, &text(&challenge["challenge_id"]), &code).await.expect(200);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(tokens["passenger"]["phone"], phone);
    assert_eq!(tokens["passenger"]["is_new"], true);

    let me = public.with_token(&text(&tokens["access_token"])).get("/v1/me").send().await.expect(200);
    assert_eq!(me["id"], tokens["passenger"]["id"]);
    assert_eq!(me["phone"], phone);
    assert!(instant(&me["created_at"]) <= OffsetDateTime::now_utc());
    assert_eq!((&me["name"], &me["email"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_phone_signs_in_as_the_same_passenger() {
    let gateway = Gateway::start().await;
    let (public, phone) = (gateway.public(), fresh_phone());
    let first = Passenger::sign_in(public.clone(), &phone).await;
    let (challenge, code) = Passenger::challenge(&public, &phone).await;
    let again = try_code(&public, &challenge, &code).await.expect(200);
    assert_eq!(again["passenger"]["id"], first.id);
    assert_eq!(again["passenger"]["is_new"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_code_answers_alike_for_known_and_unknown_phones() {
    let gateway = Gateway::start().await;
    let known = gateway.passenger().await.phone;
    let mut forms = Vec::new();
    for phone in [known, fresh_phone()] {
        let answer = gateway.public().post("/v1/auth/otp", &json!({ "phone": phone })).send().await.expect(202);
        let fields: Vec<String> = answer.as_object().unwrap().keys().cloned().collect();
        forms.push((fields, answer["resend_after_s"].clone()));
    }
    assert_eq!(forms[0], forms[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_counts_down_and_then_ends_the_challenge() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    let (challenge, code) = Passenger::challenge(&public, &fresh_phone()).await;
    let first = try_code(&public, &challenge, &other_than(&code)).await.problem(401, "otp-invalid");
    let mut left = first["attempts_left"].as_u64().expect("attempts_left");
    assert!((1..=10).contains(&left), "{first}");
    while left > 0 {
        let wrong = try_code(&public, &challenge, &other_than(&code)).await.problem(401, "otp-invalid");
        left -= 1;
        assert_eq!(wrong["attempts_left"], left);
    }
    try_code(&public, &challenge, &code).await.problem(410, "otp-expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_challenge_is_gone() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    let (challenge, code) = Passenger::challenge(&public, &fresh_phone()).await;
    try_code(&public, &challenge, &code).await.expect(200);
    try_code(&public, &challenge, &code).await.problem(410, "otp-expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_challenge_is_gone() {
    let gateway = Gateway::start_with(&[("auth.otp_ttl_s", "1")]).await;
    let (public, phone) = (gateway.public(), fresh_phone());
    let challenge = public.post("/v1/auth/otp", &json!({ "phone": phone })).send().await.expect(202);
    let code = Passenger::read_code(&public, &phone).await;
    passed(&challenge["expires_at"]).await;
    try_code(&public, &text(&challenge["challenge_id"]), &code).await.problem(410, "otp-expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_never_was_is_not_accepted() {
    let gateway = Gateway::start().await;
    for id in ["1", "not-an-id", "9223372036854775807"] {
        let answer = try_code(&gateway.public(), id, "123456").await;
        assert!(matches!(answer.status, 401 | 404 | 410 | 422), "{answer:#?}");
        let code = text(&answer.json()["code"]);
        answer.problem(answer.status, &code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_signs_in_once_however_many_try() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    let (challenge, code) = Passenger::challenge(&public, &fresh_phone()).await;
    let tries = (0..20).map(|_| try_code(&public, &challenge, &code));
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for loser in answers.iter().filter(|answer| answer.status != 200) {
        loser.problem(410, "otp-expired");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_not_more_than_one_after_the_other() {
    let gateway = Gateway::start_with(&[("auth.otp_attempts", "5")]).await;
    let public = gateway.public();
    let (challenge, code) = Passenger::challenge(&public, &fresh_phone()).await;
    let wrong = other_than(&code);
    let answers = join_all((0..50).map(|_| try_code(&public, &challenge, &wrong))).await;
    let (guesses, refusals): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 401);
    let left = guesses.iter().map(|answer| answer.problem(401, "otp-invalid")["attempts_left"].as_u64().unwrap());
    let mut left: Vec<u64> = left.collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4], "each attempt is counted once");
    for refusal in refusals {
        refusal.problem(410, "otp-expired");
    }
    try_code(&public, &challenge, &code).await.problem(410, "otp-expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_must_be_e164() {
    let gateway = Gateway::start().await;
    for phone in [json!("2125550123"), json!("+0125550123"), json!("+1"), json!("+12125550123456789"), json!(12)] {
        gateway.public().post("/v1/auth/otp", &json!({ "phone": phone })).send().await.blames("phone");
    }
    gateway.public().post("/v1/auth/otp", &json!({})).send().await.blames("phone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_buys_a_new_pair() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let next = refresh(&gateway.public(), &passenger.refresh_token).await.expect(200);
    assert_ne!(next["refresh_token"], passenger.refresh_token.as_str());
    assert_eq!(next["passenger"]["id"], passenger.id);
    assert_eq!(next["passenger"]["is_new"], false);
    gateway.public().with_token(&text(&next["access_token"])).get("/v1/me").send().await.expect(200);
    refresh(&gateway.public(), &text(&next["refresh_token"])).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_refresh_answer_can_be_asked_for_again() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let first = refresh(&gateway.public(), &passenger.refresh_token).await.expect(200);
    let second = refresh(&gateway.public(), &passenger.refresh_token).await.expect(200);
    assert_eq!(first["refresh_token"], second["refresh_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_from_further_back_revokes_the_family() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let public = gateway.public();
    let second = text(&refresh(&public, &passenger.refresh_token).await.expect(200)["refresh_token"]);
    let third = text(&refresh(&public, &second).await.expect(200)["refresh_token"]);
    refresh(&public, &passenger.refresh_token).await.problem(401, "refresh-reused");
    assert_eq!(refresh(&public, &third).await.status, 401, "the thief's or the owner's newest token stops too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_refresh_answer_can_be_asked_for_again_for_a_short_time_only() {
    let gateway = Gateway::start_with(&[("auth.refresh_grace_s", "1")]).await;
    let passenger = gateway.passenger().await;
    let newest = text(&refresh(&gateway.public(), &passenger.refresh_token).await.expect(200)["refresh_token"]);
    let refused = eventually("the time for a repeat ends", async || {
        let answer = refresh(&gateway.public(), &passenger.refresh_token).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    refused.problem(401, "refresh-reused");
    assert_eq!(refresh(&gateway.public(), &newest).await.status, 401, "the family is revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_refresh_token_is_refused() {
    let gateway = Gateway::start().await;
    refresh(&gateway.public(), "nonsense").await.problem(401, "token-invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_ends_refreshing() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let elsewhere = gateway.sign_in(&passenger.phone).await;
    passenger.api.post("/v1/auth/logout", &json!({})).send().await.expect(204);
    assert_eq!(refresh(&gateway.public(), &passenger.refresh_token).await.status, 401);
    refresh(&gateway.public(), &elsewhere.refresh_token).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_in_one_call_are_none() {
    let gateway = Gateway::start().await;
    let (one, other) = (gateway.passenger().await, gateway.passenger().await);
    let both = one.api.get("/v1/me").header("authorization", &format!("Bearer {}", other.api.token.unwrap()));
    both.send().await.problem(401, "token-invalid");
    let internal = gateway.internal();
    let both = internal.get("/metrics").header("authorization", "Bearer somebody-elses");
    both.send().await.problem(401, "token-invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names_and_null_removes() {
    let gateway = Gateway::start().await;
    let me = gateway.passenger().await.api;
    let changed = me.patch("/v1/me", &json!({ "name": "Lin", "email": "lin@example.com" })).send().await.expect(200);
    assert_eq!((&changed["name"], &changed["email"]), (&json!("Lin"), &json!("lin@example.com")));
    let changed = me.patch("/v1/me", &json!({ "name": null, "locale": "zh-CN" })).send().await.expect(200);
    assert_eq!(changed["name"], Value::Null);
    assert_eq!(changed["email"], "lin@example.com");
    assert_eq!(changed["locale"], "zh-CN");
    assert_eq!(me.get("/v1/me").send().await.expect(200), changed);
    assert_eq!(me.patch("/v1/me", &json!({})).send().await.expect(200), changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_passenger_is_gone_and_the_phone_may_start_anew() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    passenger.api.delete("/v1/me").send().await.expect(204);
    passenger.api.get("/v1/me").send().await.problem(401, "token-invalid");
    assert_eq!(refresh(&gateway.public(), &passenger.refresh_token).await.status, 401);

    let (challenge, code) = Passenger::challenge(&gateway.public(), &passenger.phone).await;
    let anew = try_code(&gateway.public(), &challenge, &code).await.expect(200);
    assert_eq!(anew["passenger"]["is_new"], true);
    assert_ne!(anew["passenger"]["id"], passenger.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deleted_during_a_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_ride().await;
    let problem = passenger.api.delete("/v1/me").send().await.problem(409, "already-riding");
    assert_eq!(problem["ride_id"], ride["id"]);
    passenger.cancel_free(&text(&ride["id"])).await;
    passenger.api.delete("/v1/me").send().await.expect(204);
}

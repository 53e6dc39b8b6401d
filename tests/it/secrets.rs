//! What nobody may read: phones, codes, tokens and keys stay out of the log, of errors, of metrics and, but for the
//! phone, of the database. And the headers that keep answers to those who asked.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Gateway, Passenger, SERVICE_TOKEN, eventually, failing, fresh_phone, healthy, run_to_exit, text, trip,
};

/// Codes that nobody used: their hashes are still in the database.
const OPEN_CODES: usize = 20;

/// Everything that must not be seen, and everything that could be.
#[derive(Default)]
struct Witness {
    /// What it is, and its text.
    secrets: Vec<(&'static str, String)>,
    codes: BTreeSet<String>,
    /// Errors, metrics, what operators read.
    seen: Vec<String>,
}

impl Witness {
    fn phone(&mut self) -> String {
        let phone = fresh_phone();
        // However its `+` is written.
        self.secrets.push(("a phone", phone.trim_start_matches('+').to_owned()));
        phone
    }

    fn tokens(&mut self, answer: &Value) {
        self.secrets.push(("an access token", text(&answer["access_token"])));
        self.secrets.push(("a refresh token", text(&answer["refresh_token"])));
    }

    fn error(&mut self, answer: &Answer, status: u16) {
        answer.expect(status);
        self.seen.push(format!("{:?} {}", answer.headers, answer.body));
    }

    async fn look_around(&mut self, gateway: &Gateway) {
        for path in ["/metrics", "/debug/tasks", "/internal/v1/outbox/dead"] {
            self.seen.push(gateway.internal().get(path).send().await.body);
        }
    }

    fn all_of(&self, texts: &[&str]) -> Vec<&(&'static str, String)> {
        self.secrets.iter().filter(|(_, secret)| texts.iter().any(|text| text.contains(secret.as_str()))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_in_plain_lines() {
    nothing_secret_is_written("pretty").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_in_json_lines() {
    nothing_secret_is_written("json").await;
}

/// At `trace`, which holds everything that the higher levels say.
async fn nothing_secret_is_written(format: &str) {
    let settings = [
        ("runtime.log", "trace"),
        ("runtime.log_format", format),
        ("rides.cancel_free_s", "0"),
        ("relay.max_attempts", "2"),
        ("relay.first_backoff_ms", "1"),
        ("relay.sweep_ms", "50"),
    ];
    let mut gateway = Gateway::start_with(&settings).await;
    let mut witness = Witness::default();
    witness.secrets.push(("the service token", SERVICE_TOKEN.to_owned()));
    witness.secrets.push(("a driver's phone", "12125550199".to_owned()));
    witness.secrets.extend(keys_of(&gateway));
    witness.secrets.extend(gateway.passwords().into_iter().map(|password| ("a database's password", password)));

    sign_ins(&gateway, &mut witness).await;
    rides(&gateway, &mut witness).await;
    replay(&gateway, &mut witness).await;
    partners_fail(&gateway, &mut witness).await;
    operators(&gateway, &mut witness).await;
    witness.look_around(&gateway).await;
    gateway.crash_and_restart().await;
    sign_ins(&gateway, &mut witness).await;
    witness.look_around(&gateway).await;
    gateway.stop().await;

    let log = gateway.log();
    assert!(log.contains("TRACE") && log.matches("answered").count() > 50, "the log says little:\n{log}");
    let mut texts: Vec<&str> = witness.seen.iter().map(String::as_str).collect();
    texts.push(&log);
    let found = witness.all_of(&texts);
    assert!(found.is_empty(), "{found:?} in:\n{}", lines_with(&texts, &found));
    let written = texts.iter().flat_map(|text| numbers(text.as_bytes())).find(|number| witness.codes.contains(number));
    if let Some(code) = written {
        panic!("the code {code} was written:\n{}", lines_with(&texts, &[&("a code", code.clone())]));
    }
    nothing_secret_is_stored(&gateway.stored(), &witness);
}

/// The load tool drives trips of a real day; everything that was written meanwhile is searched for what a phone of its
/// passengers, a token or a key looks like.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_written_during_a_replay() {
    let tool = Path::new(env!("CARGO_BIN_EXE_passenger-gateway")).with_file_name("loadtest");
    if !tool.exists() {
        eprintln!("skipped: the load tool is not there (cargo build --workspace --bins)");
        return;
    }
    let mut gateway = Gateway::start_with(&[("runtime.log", "trace")]).await;
    let url = gateway.public().base;
    let arguments = ["replay", "--url", &url, "--count", "40", "--time-scale", "2000", "--json", "/dev/stdout"];
    let output = Command::new(tool).args(arguments).output().expect("the load tool runs");
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{report}");
    let metrics = gateway.internal().get("/metrics").send().await.body;
    let keys = keys_of(&gateway);
    gateway.stop().await;
    let (log, stored) = (gateway.log(), gateway.stored());
    assert!(log.matches("answered").count() > 400, "the log says little:\n{log}");
    let phones = |text: &str| text.matches("+1212555").count() + text.matches("\"1212555").count();
    assert!(phones(&String::from_utf8_lossy(&stored)) >= 40, "its passengers' phones begin like this");
    for text in [&log, &metrics, &report] {
        assert_eq!(phones(text), 0, "a phone:\n{text}");
        // Every JSON web token begins so.
        let secrets = ["eyJ", SERVICE_TOKEN].into_iter().chain(keys.iter().map(|(_, key)| key.as_str()));
        let found: Vec<&str> = secrets.filter(|secret| text.contains(secret)).collect();
        assert!(found.is_empty(), "{found:?} in:\n{text}");
    }
}

/// Signs in well and badly, refreshes, uses a token twice.
async fn sign_ins(gateway: &Gateway, witness: &mut Witness) {
    let public = gateway.public();
    let phone = witness.phone();
    let (challenge, code) = Passenger::challenge(&public, &phone).await;
    let wrong = if code == "271828" { "314159" } else { "271828" };
    witness.codes.extend([code.clone(), wrong.to_owned()]);
    let sign_in = async |code: &str| {
        let body = json!({ "challenge_id": challenge, "code": code, "device_id": "phone-1" });
        public.post("/v1/auth/token", &body).send().await
    };
    witness.error(&sign_in(wrong).await, 401);
    let first = sign_in(&code).await.expect(200);
    witness.tokens(&first);
    witness.error(&sign_in(&code).await, 410);

    let refresh =
        async |token: &Value| public.post("/v1/auth/refresh", &json!({ "refresh_token": token })).send().await;
    let second = refresh(&first["refresh_token"]).await.expect(200);
    witness.tokens(&second);
    let third = refresh(&second["refresh_token"]).await.expect(200);
    witness.tokens(&third);
    witness.error(&refresh(&first["refresh_token"]).await, 401);
    witness.error(&refresh(&third["refresh_token"]).await, 401);

    // In places where they do not belong.
    let api = public.with_token(&text(&third["access_token"]));
    witness.error(&public.post("/v1/auth/otp", &json!({ "phone": format!("{phone}x") })).send().await, 422);
    witness.error(
        &public.post("/v1/auth/refresh", &json!({ "refresh_token": [third["refresh_token"]] })).send().await,
        422,
    );
    witness.error(
        &api.post("/v1/quotes", &json!({ "pickup": phone, "dropoff": third["access_token"] })).send().await,
        422,
    );
    witness.error(&api.get(&format!("/v1/rides?limit={}", phone.trim_start_matches('+'))).send().await, 422);
    witness.error(&api.get(&format!("/v1/rides?cursor={}", text(&third["access_token"]))).send().await, 400);
    witness.error(&gateway.internal_without_token().with_token(&code).get("/metrics").send().await, 401);
    let stranger = witness.phone();
    // This one URL may hold a phone, so its problem repeats it; the log does not.
    public.get(&format!("/sandbox/sms/{stranger}")).send().await.problem(404, "not-found");

    for _ in 0..OPEN_CODES {
        let phone = witness.phone();
        witness.codes.insert(Passenger::challenge(&public, &phone).await.1);
    }
}

/// One ride to its end, and one that is called off for a fee.
async fn rides(gateway: &Gateway, witness: &mut Witness) {
    let passenger = signed_in(gateway, witness).await;
    let driver = gateway.driver("ana");
    let ride = passenger.request_authorised_ride().await;
    let id = text(&ride["id"]);
    let stream = passenger.follow(&id).await;
    driver.bring(&passenger, &id, "completed").await;
    stream.until_end().await;
    passenger.receipt(&id).await.expect(200);
    let rating = format!("/v1/rides/{id}/rating");
    witness.error(&passenger.api.post(&rating, &json!({ "stars": passenger.phone })).send().await, 422);
    passenger.api.post(&rating, &json!({ "stars": 5 })).send().await.expect(201);

    let id = text(&driver.ride_at(&passenger, "arrived").await["id"]);
    let asked = passenger.cancel(&id, &json!({ "reason": "late" })).await.problem(409, "cancellation-fee");
    let token = text(&asked["confirmation_token"]);
    witness.secrets.push(("a confirmation token", token.clone()));
    let twice = json!({ "reason": "late", "confirmation_token": [token] });
    witness.error(&passenger.cancel(&id, &twice).await, 422);
    passenger.cancel(&id, &json!({ "reason": "late", "confirmation_token": token })).await.expect(200);
    let patch = json!({ "email": passenger.phone });
    witness.error(&passenger.api.patch("/v1/me", &patch).send().await, 422);
}

/// Some trips that the fleet drives, followed to their ends.
async fn replay(gateway: &Gateway, witness: &mut Witness) {
    let fleet = async |drivers: u32| {
        let fleet = json!({ "drivers": drivers, "time_scale": 1000.0, "accept_probability": 1.0 });
        gateway.public().put("/sandbox/fleet", &fleet).send().await.expect(204);
    };
    fleet(5).await;
    let mut passengers = Vec::new();
    for _ in 0..3 {
        passengers.push(signed_in(gateway, witness).await);
    }
    let trips = passengers.iter().map(|passenger| async {
        let id = text(&passenger.request_ride().await["id"]);
        passenger.follow(&id).await.until("completed").await;
    });
    join_all(trips).await;
    fleet(0).await;
}

/// Every partner fails once; a message is given up and read by an operator.
async fn partners_fail(gateway: &Gateway, witness: &mut Witness) {
    let passenger = signed_in(gateway, witness).await;
    let (fails, works) = (failing(), healthy());
    gateway.script("sms", &fails).await;
    let phone = witness.phone();
    witness.error(&gateway.public().post("/v1/auth/otp", &json!({ "phone": phone })).send().await, 503);
    gateway.script("sms", &works).await;
    gateway.script("routing", &fails).await;
    witness.error(&passenger.api.post("/v1/quotes", &trip()).send().await, 503);
    gateway.script("routing", &works).await;

    let driver = gateway.driver("bo");
    let id = text(&driver.ride_at(&passenger, "in_progress").await["id"]);
    gateway.script("payment", &fails).await;
    driver.step(&id, "complete").await.expect(200);
    let dead = eventually("the capture is given up", async || {
        let answer = gateway.internal().get("/internal/v1/outbox/dead").send().await;
        answer.body.contains(&id).then_some(answer)
    })
    .await;
    gateway.script("payment", &works).await;
    let entry = text(&dead.json()["entries"][0]["id"]);
    let requeue = format!("/internal/v1/outbox/dead/{entry}/requeue");
    gateway.internal().request(Method::POST, &requeue).send().await.expect(204);
    witness.seen.push(dead.body);
}

async fn operators(gateway: &Gateway, witness: &mut Witness) {
    let passenger = signed_in(gateway, witness).await;
    let nobody = witness.phone();
    let find = async |phone: &str| {
        gateway.internal().post("/internal/v1/passengers/find", &json!({ "phone": phone })).send().await
    };
    assert_eq!(find(&passenger.phone).await.expect(200)["id"], passenger.id);
    witness.error(&find(&nobody).await, 404);
    witness.error(&find(nobody.trim_start_matches('+')).await, 422);
    let sessions = format!("/internal/v1/passengers/{}/sessions", passenger.id);
    gateway.internal().delete(&sessions).send().await.expect(204);
    passenger.api.delete("/v1/me").send().await.expect(204);
}

async fn signed_in(gateway: &Gateway, witness: &mut Witness) -> Passenger {
    let phone = witness.phone();
    let passenger = gateway.sign_in(&phone).await;
    witness.codes.insert(Passenger::read_code(&gateway.public(), &phone).await);
    witness.secrets.push(("an access token", passenger.api.token.clone().unwrap()));
    witness.secrets.push(("a refresh token", passenger.refresh_token.clone()));
    passenger
}

/// Tokens and keys are not in the database at all, codes only hashed. A phone is: its owner may read it.
fn nothing_secret_is_stored(bytes: &[u8], witness: &Witness) {
    let raw = String::from_utf8_lossy(bytes);
    assert!(raw.contains("T123456C"), "the plate of a driver is found");
    let found: Vec<_> = witness.all_of(&[&raw]).into_iter().filter(|(what, _)| !what.ends_with("phone")).collect();
    assert!(found.is_empty(), "in the database: {found:?}");
    // By chance one may look like another number of six digits; codes in plain text would all be there.
    let codes: BTreeSet<_> = numbers(bytes).filter(|number| witness.codes.contains(number)).collect();
    assert!(codes.len() <= 1, "of {} codes in the database: {codes:?}", witness.codes.len());
}

/// The keys that the local profile made for itself.
fn keys_of(gateway: &Gateway) -> Vec<(&'static str, String)> {
    // Beside a SQLite file; otherwise where data lies by default.
    let file =
        ["secrets.toml", "data/secrets.toml"].into_iter().find_map(|name| fs::read_to_string(gateway.file(name)).ok());
    let file = file.expect("the local secrets");
    let values = file.lines().filter_map(|line| line.split('"').nth(1));
    let keys: Vec<_> = values.map(|value| ("a key", value.to_owned())).collect();
    assert!(keys.len() == 2 && keys.iter().all(|(_, key)| key.len() > 40), "two keys");
    keys
}

/// Whole numbers of six digits: neither the fraction of another nor a part of an id in hexadecimal.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = String> {
    let words = bytes.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
    let numbers = words.filter(|word| word.len() == 6 && word.iter().all(u8::is_ascii_digit));
    numbers.map(|word| String::from_utf8_lossy(word).into_owned())
}

fn lines_with(texts: &[&str], found: &[&(&'static str, String)]) -> String {
    let lines = texts.iter().flat_map(|text| text.lines());
    let guilty = lines.filter(|line| found.iter().any(|(_, secret)| line.contains(secret.as_str())));
    guilty.take(10).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_setting_is_not_told() {
    let key = "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=";
    let all = [
        ("auth.token_key", key),
        ("auth.phone_key", key),
        ("auth.previous_token_key", key),
        ("http.internal_token", "hunter2-of-the-operators"),
    ];
    let (code, output) = run_to_exit(&["config", "check"], &all).await;
    assert_eq!(code, 0, "{output}");
    assert!(!output.contains("aHVudGVy") && !output.contains("hunter2"), "{output}");

    for (setting, value) in [
        ("auth.token_key", "hunter2"),
        ("auth.phone_key", "hunter2 is not base64"),
        ("store.shards", "postgres://gateway:hunter2@database/rides"),
        ("store.shards", "sqlite://nowhere/gateway.db?password=hunter2"),
        ("store.password", "hunter2"),
        ("traffic.redis_url", "redis://:hunter2@cache"),
        ("nobodys.token", "hunter2"),
    ] {
        for command in [&["config", "check"][..], &["migrate"], &["serve"]] {
            let (code, output) = run_to_exit(command, &[(setting, value)]).await;
            assert!(code != 0 || command != ["serve"], "{setting}: {output}");
            assert!(!output.contains("hunter2"), "{command:?} with {setting}: {output}");
        }
    }
}

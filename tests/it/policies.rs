//! Policies while the gateway runs: from their file, from operators, on trial, with lists and budgets of somebody's own.

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Folder, Gateway, NO_LIMITS, eventually, instant, run_to_exit, run_to_exit_in, text},
    limits::{policy, refused},
};

const POLICIES: &str = "/internal/v1/traffic/policies";

fn passenger(burst: u32) -> String {
    policy("passenger", "passenger", burst, "")
}

/// What operators are told of the policies.
async fn in_effect(gateway: &Gateway) -> Value {
    gateway.internal().get(POLICIES).send().await.expect(200)
}

/// The policies' names.
async fn names(gateway: &Gateway) -> Vec<String> {
    let told = in_effect(gateway).await;
    told["policies"]["policy"].as_array().unwrap().iter().map(|policy| text(&policy["name"])).collect()
}

/// Sends policies as an operator does.
async fn put(gateway: &Gateway, policies: &str) -> Answer {
    let call = gateway.internal().request(reqwest::Method::PUT, POLICIES);
    call.header("content-type", "application/toml").text(policies.to_owned()).send().await
}

/// How one policy stands with somebody.
async fn stands(gateway: &Gateway, whom: &str, policy: &str) -> Value {
    let told = gateway.internal().get(&format!("/internal/v1/traffic?{whom}")).send().await.expect(200);
    let tier = told["tiers"].as_array().unwrap().iter().find(|tier| tier["policy"] == policy);
    tier.unwrap_or_else(|| panic!("{policy} is not in {told:#}")).clone()
}

/// A command that ended because of its policies file: it says why, a line each, and nothing looks like a crash.
#[track_caller]
fn unusable((code, output): (i32, String), words: &[&str]) {
    assert_eq!(code, 1, "{output}");
    assert!(!output.contains("panicked"), "{output}");
    let (_, told) = output.split_once("passenger-gateway: the policies file ").unwrap_or_else(|| panic!("{output}"));
    assert!(words.iter().all(|word| told.contains(word)), "no line says {words:?}:\n{output}");
    assert!(told.lines().skip(1).all(|line| line.starts_with("  ")), "the explanation is the last word:\n{output}");
}

async fn reloads(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!("gateway_traffic_reloads_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_counts_while_requests_run_and_nobody_loses_credit_or_an_answer() {
    let gateway = Gateway::start_under(&passenger(1000), &[]).await;
    let (someone, other) = (gateway.passenger().await, gateway.passenger().await);
    let mut answered = 0;
    for _ in 0..5 {
        someone.api.get("/v1/me").send().await.expect(200);
        answered += 1;
    }
    // From now on requests run all the time.
    let ask = async {
        while reloads(&gateway, "applied").await < 4.0 {
            someone.api.get("/v1/me").send().await.expect(200);
            answered += 1;
        }
    };
    let change = async {
        for turn in 0..4 {
            gateway.write_policies(&(passenger(1000 + turn) + &policy("new", "global", 900 + turn, "")));
            eventually("the change counts", async || {
                (reloads(&gateway, "applied").await > f64::from(turn)).then_some(())
            })
            .await;
        }
    };
    tokio::join!(ask, change);
    let left = stands(&gateway, &format!("passenger_id={}", someone.id), "passenger").await;
    assert_eq!(left["remaining"], 1003 - answered, "{left}");
    assert_eq!(stands(&gateway, &format!("passenger_id={}", other.id), "passenger").await["remaining"], 1003);
    assert!(gateway.log().contains("policies are in effect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_whole_once_with_its_line_and_the_old_policies_stay() {
    let gateway = Gateway::start_under(&passenger(1000), &[]).await;
    gateway.write_policies(&(passenger(7) + "\n[[policy]]\nname = \"b\"\nkey = \"adress\"\nquota = 0\n"));
    eventually("it is refused", async || (reloads(&gateway, "refused").await > 0.0).then_some(())).await;
    let told = in_effect(&gateway).await;
    assert_eq!((&told["revision"], &told["source"]), (&json!(1), &json!("file")));
    assert_eq!(told["policies"]["policy"][0]["burst"], 1000);
    let lines: Vec<&Value> = told["refused"]["mistakes"].as_array().unwrap().iter().map(|m| &m["line"]).collect();
    assert_eq!(lines, [11, 12]);
    instant(&told["refused"]["at"]);
    // Its looks go on; so does its task.
    let looks = |log: &str| log.matches("the policies file is refused").count();
    gateway.write_policies(&passenger(8));
    eventually("a good one counts again", async || (reloads(&gateway, "applied").await > 0.0).then_some(())).await;
    let log = gateway.log();
    assert_eq!(looks(&log), 1, "one line for one content: {log}");
    let line = log.lines().find(|line| line.contains("the policies file is refused")).unwrap();
    assert!(
        line.contains("line 11: `key`: it is \"adress\"") || line.contains("line 11: `key`: it is \\\"adress\\\""),
        "{line}"
    );
    assert_eq!(reloads(&gateway, "refused").await, 1.0);
    assert_eq!(in_effect(&gateway).await["refused"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_file_at_once_and_ends_nothing() {
    let gateway = Gateway::start_under(&passenger(1000), &[("traffic.reload_ms", "0")]).await;
    gateway.write_policies(&passenger(9));
    gateway.signal("HUP");
    eventually("the file was read", async || (reloads(&gateway, "applied").await > 0.0).then_some(())).await;
    gateway.write_policies(&passenger(10));
    let answer = gateway.internal().post("/internal/v1/traffic/reload", &json!({})).send().await.expect(200);
    assert_eq!((&answer["revision"], &answer["changed"]), (&json!(3), &json!(["passenger"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_policies_count_at_once_until_the_file_changes_or_is_asked_for() {
    let gateway = Gateway::start_under(&passenger(1000), &[]).await;
    let changed = put(&gateway, &(passenger(20) + &policy("more", "global", 900, ""))).await.expect(200);
    assert_eq!(changed["added"], json!(["more"]));
    let told = in_effect(&gateway).await;
    assert_eq!((&told["source"], &told["revision"]), (&json!("operator"), &json!(2)));
    instant(&told["loaded_at"]);
    assert_eq!(
        put(&gateway, &(passenger(20) + &policy("more", "global", 900, ""))).await.expect(200)["is_different"],
        false
    );
    gateway.internal().post("/internal/v1/traffic/reload", &json!({})).send().await.expect(200);
    assert_eq!(
        (in_effect(&gateway).await["source"].clone(), names(&gateway).await),
        (json!("file"), vec!["passenger".to_owned()])
    );
    put(&gateway, &passenger(30)).await.expect(200);
    gateway.write_policies(&passenger(40));
    eventually("the file has changed", async || (in_effect(&gateway).await["source"] == "file").then_some(())).await;
    assert_eq!(in_effect(&gateway).await["policies"]["policy"][0]["burst"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_mistake_changes_nothing_and_every_line_of_it_is_named() {
    let gateway = Gateway::start_under(&passenger(1000), &[]).await;
    let answer = put(&gateway, "[[policy]]\nname = \"a\"\nkey = \"address\"\nquota = 0\nmode = \"off\"\n").await;
    answer.blames("body");
    let mistakes = &answer.json()["mistakes"];
    assert_eq!(
        mistakes,
        &json!([
            { "line": 4, "text": "`quota`: it is 0, allowed is 1 to 1000000000 (units a window)" },
            { "line": 5, "text": "`mode`: it is \"off\", allowed is enforce, shadow" },
        ])
    );
    let wrong_type = gateway.internal().put(POLICIES, &json!({})).send().await;
    wrong_type.problem(415, "unsupported-media-type");
    put(&gateway, &"#".repeat(100_000)).await.problem(413, "body-too-large");
    let not_text = gateway.internal().request(reqwest::Method::PUT, POLICIES);
    let not_text = not_text.header("content-type", "application/toml").bytes(vec![0xff, 0xfe]);
    not_text.send().await.problem(400, "malformed");
    assert_eq!(
        (names(&gateway).await, in_effect(&gateway).await["revision"].clone()),
        (vec!["passenger".to_owned()], json!(1))
    );
    assert_eq!(reloads(&gateway, "refused").await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_why_a_passenger_is_refused_and_reading_changes_nothing() {
    let gateway = Gateway::start_under(&passenger(2), &[]).await;
    let someone = gateway.passenger().await;
    for _ in 0..2 {
        someone.api.get("/v1/me").send().await.expect(200);
    }
    refused(&someone.api.get("/v1/me").send().await, "passenger");
    let whom = format!("passenger_id={}&class=profile", someone.id);
    for _ in 0..3 {
        let told = stands(&gateway, &whom, "passenger").await;
        assert_eq!((&told["verdict"], &told["remaining"]), (&json!("refuses"), &json!(0)));
        assert_eq!((&told["whom"], &told["refused"][0]["class"]), (&json!(someone.id), &json!("profile")));
        let why = text(&told["why"]);
        assert!(why.starts_with("0 of 2 units are left; profile takes 1 and is refused for "), "{why}");
    }
    let whole = gateway.internal().get("/internal/v1/traffic").send().await.expect(200);
    assert_eq!(whole["policies"], json!([{ "name": "passenger", "key": "passenger", "mode": "enforce", "keys": 1 }]));
    assert_eq!((&whole["tiers"], &whole["gate"]["mode"]), (&json!([]), &json!("enforce")));
    for (query, field) in [
        ("address=here", "address"),
        ("passenger_id=x", "passenger_id"),
        ("device_id=", "device_id"),
        ("class=x", "class"),
    ] {
        gateway.internal().get(&format!("/internal/v1/traffic?{query}")).send().await.blames(field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_on_trial_counts_what_it_would_refuse_and_refuses_nothing() {
    let policies = policy("trial", "address", 2, "mode = \"shadow\"\nclasses = [\"catalogue\"]");
    let gateway = Gateway::start_under(&policies, &[]).await;
    for _ in 0..5 {
        let answer = gateway.public().get("/v1/ride-states").send().await;
        answer.expect(200);
        assert_eq!(answer.header("ratelimit"), None, "who is not limited is told of no limit");
    }
    let counted = async |outcome: &str| {
        let labels = format!("class=\"catalogue\",outcome=\"{outcome}\",policy=\"trial\"");
        gateway.metric(&format!("gateway_traffic_decisions_total{{{labels}}}")).await
    };
    assert_eq!((counted("admitted").await, counted("shadow_refused").await), (2.0, 3.0));
    assert_eq!(stands(&gateway, "address=127.0.0.1", "trial").await["verdict"], "would_refuse");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_denied_is_sent_away_for_an_hour_and_whoever_is_allowed_is_not_counted() {
    let gateway = Gateway::start_under(&policy("address", "address", 2, "allow = [\"127.0.0.0/8\"]"), &[]).await;
    let someone = gateway.passenger().await;
    for _ in 0..5 {
        gateway.public().get("/v1/ride-states").send().await.expect(200);
    }
    assert_eq!(stands(&gateway, "address=127.0.0.1", "address").await["why"], "on the allow list: not counted");
    let deny = policy("address", "address", 1000, "")
        + &policy("blocked", "passenger", 1000, &format!("deny = [\"{}\"]", someone.id));
    put(&gateway, &deny).await.expect(200);
    let answer = someone.api.get("/v1/me").send().await;
    refused(&answer, "blocked");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 3600, "{wait}");
    gateway.passenger().await.api.get("/v1/me").send().await.expect(200);
    assert_eq!(stands(&gateway, &format!("passenger_id={}", someone.id), "blocked").await["verdict"], "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_may_have_a_budget_of_their_own() {
    let gateway = Gateway::start_under(&passenger(2), &[]).await;
    let (partner, other) = (gateway.passenger().await, gateway.passenger().await);
    let own = format!("override = [{{ key = \"{}\", quota = 1, burst = 50 }}]", partner.id);
    put(&gateway, &policy("passenger", "passenger", 2, &own)).await.expect(200);
    for _ in 0..10 {
        partner.api.get("/v1/me").send().await.expect(200);
    }
    for _ in 0..2 {
        other.api.get("/v1/me").send().await.expect(200);
    }
    refused(&other.api.get("/v1/me").send().await, "passenger");
    assert_eq!(stands(&gateway, &format!("passenger_id={}", partner.id), "passenger").await["has_override"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_screen_shows_what_every_route_goes_through() {
    let policies = passenger(20)
        + &policy("trial", "class", 900, "mode = \"shadow\"\nclasses = [\"request\"]\ncost = { request = 4 }");
    let gateway = Gateway::start_under(&policies, &[]).await;
    let told = gateway.internal().get("/internal/v1/traffic/routes").send().await.expect(200);
    let rows = told["routes"].as_array().unwrap();
    let request = rows.iter().find(|row| row["method"] == "POST" && row["path"] == "/v1/rides").unwrap();
    assert_eq!((&request["class"], &request["priority"]), (&json!("request"), &json!(1)));
    assert_eq!(
        request["policies"],
        json!([
            { "name": "passenger", "key": "passenger", "cost": 1, "mode": "enforce" },
            { "name": "trial", "key": "class", "cost": 4, "mode": "shadow" },
        ])
    );
    assert!(rows.iter().all(|row| row["policies"].as_array().is_some_and(|policies| !policies.is_empty())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policies_file_can_be_checked_without_serving() {
    let folder = Folder::new();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, passenger(5) + &policy("trial", "class", 9, "mode = \"shadow\"\ncost = { request = 4 }"))
        .unwrap();
    let path = file.display().to_string();
    let (code, screen) = run_to_exit(&["traffic", "check", &path], &[]).await;
    assert_eq!(code, 0, "{screen}");
    let row = |start: &str| screen.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{screen}"));
    let words: Vec<&str> = row("POST    /v1/rides ").split_whitespace().collect();
    assert_eq!(words.join(" "), "POST /v1/rides request 1 passenger 1, trial 4 in shadow");
    assert!(row("any").contains("catalogue"), "{screen}");

    std::fs::write(&file, "[[policy]]\nname = \"a\"\nquota = 0\n").unwrap();
    let wrong = run_to_exit(&["traffic", "check", &path], &[]).await;
    assert_eq!(wrong.0, 1);
    for line in ["mine.toml is refused", "line 1: `key`: is missing", "line 3: `quota`: it is 0"] {
        assert!(wrong.1.contains(line), "{line}: {}", wrong.1);
    }
    // The same for the file that the settings name, in every command that would use it.
    for command in [["traffic", "check"].as_slice(), &["config", "check"], &["serve"]] {
        let refused = run_to_exit(command, &[("traffic.policies", &path)]).await;
        unusable(refused, &["mine.toml", "line 3: `quota`: it is 0"]);
        let missing = run_to_exit(command, &[("traffic.policies", "/nowhere/policies.toml")]).await;
        unusable(missing, &["/nowhere/policies.toml", "it cannot be read"]);
    }
    let (code, screen) = run_to_exit(&["traffic", "check"], &[NO_LIMITS]).await;
    assert!(code == 0 && screen.contains("address-open 1"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_in_the_configuration_folder_counts_when_none_is_named() {
    let folder = Folder::new();
    let (_, built_in) = run_to_exit_in(&folder, &["traffic", "check"], &[]).await;
    assert!(built_in.contains("address-open 1"), "{built_in}");
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/traffic.toml"), policy("mine", "global", 9, "")).unwrap();
    let (_, own) = run_to_exit_in(&folder, &["traffic", "check"], &[]).await;
    assert!(own.contains("mine 1") && !own.contains("address-open"), "{own}");
}

/// Whoever opens a pipe waits for a writer.
#[tokio::test(flavor = "multi_thread")]
async fn policies_that_are_no_file_are_not_waited_for() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let path = pipe.display().to_string();
    unusable(run_to_exit(&["traffic", "check", &path], &[]).await, &["it is no file"]);
}

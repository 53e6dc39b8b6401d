//! A wrong setting stops the start with one line that says what to change; the other commands of the binary.

use std::net::TcpListener;

use crate::harness::{BINARY, Folder, Gateway, run_to_exit, run_to_exit_in};

/// The line that explains a failed start. Nothing may look like a crash.
#[track_caller]
fn explained(ended: (i32, String), words: &[&str]) {
    let (code, output) = ended;
    assert_ne!(code, 0, "{output}");
    assert!(!output.contains("panicked") && !output.contains("backtrace"), "{output}");
    let line = output.lines().find(|line| words.iter().all(|word| line.contains(word)));
    assert!(line.is_some(), "no line says {words:?}:\n{output}");
}

async fn serve(settings: &[(&str, &str)]) -> (i32, String) {
    run_to_exit(&["serve"], settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_section_is_refused() {
    explained(serve(&[("weather.city", "Oslo")]).await, &["weather"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused() {
    explained(serve(&[("rides.match_timeout", "5")]).await, &["rides", "match_timeout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_the_wrong_type_is_refused_with_its_key_and_source() {
    explained(serve(&[("sandbox.drivers", "many")]).await, &["sandbox.drivers", "environment"]);
    explained(serve(&[("rides.match_timeout_s", "-1")]).await, &["rides.match_timeout_s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_out_of_range_is_refused_with_what_is_allowed() {
    explained(serve(&[("sandbox.time_scale", "0")]).await, &["sandbox.time_scale"]);
    explained(serve(&[("http.public_bind", "nowhere")]).await, &["http.public_bind"]);
    explained(serve(&[("store.shards", "mongodb://x")]).await, &["store.shards"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [("http.public_bind", address.as_str()), ("http.internal_bind", "127.0.0.1:0")];
    explained(serve(&settings).await, &["in use", &address]);
}

#[tokio::test(flavor = "multi_thread")]
async fn production_refuses_every_local_shortcut_by_name() {
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let arguments = [command, &["--profile", "production"]].concat();
        let ended = run_to_exit(&arguments, &[("sandbox.enabled", "true")]).await;
        for key in ["http.internal_token", "sandbox.enabled", "auth.token_key", "auth.phone_key"] {
            explained(ended.clone(), &[key]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_profile_is_refused() {
    explained(run_to_exit(&["serve", "--profile", "moon"], &[]).await, &["moon"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_can_be_checked_without_serving() {
    let (code, output) = run_to_exit(&["config", "check"], &[]).await;
    assert_eq!(code, 0, "{output}");
    explained(run_to_exit(&["config", "check"], &[("sandbox.drivers", "many")]).await, &["sandbox.drivers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_can_be_printed() {
    let (code, output) = run_to_exit(&["openapi"], &[]).await;
    assert_eq!(code, 0, "{output}");
    let start = output.find('{').expect("JSON");
    let printed: serde_json::Value = serde_json::from_str(&output[start..]).expect("JSON and nothing after it");
    let gateway = Gateway::start().await;
    assert_eq!(gateway.public().get("/openapi.json").send().await.expect(200), printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_harmless() {
    let folder = std::env::temp_dir().join(format!("passenger-gateway-migrate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let dsn = format!("sqlite://{}", folder.join("gateway.db").display());
    for _ in 0..2 {
        let (code, output) = run_to_exit(&["migrate"], &[("store.shards", &dsn)]).await;
        assert_eq!(code, 0, "{output}");
    }
    assert!(folder.join("gateway.db").exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_on_the_ports_it_was_given() {
    let gateway = Gateway::start().await;
    assert!(gateway.public().base.ends_with(&gateway.public_port().to_string()));
    gateway.public().get("/v1/ride-states").send().await.expect(200);
    assert!(gateway.log().contains(&gateway.public_port().to_string()), "the log says where it listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_makes_nothing_and_refuses_local_secrets_that_cannot_be_used() {
    let folder = Folder::new();
    let (code, output) = run_to_exit_in(&folder, &["config", "check"], &[]).await;
    assert_eq!(code, 0, "{output}");
    let data = folder.path().join("data");
    assert!(!data.exists());
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("secrets.toml"), "token_key = 'c2hvcnQ='\n").unwrap();
    explained(run_to_exit_in(&folder, &["config", "check"], &[]).await, &["data/secrets.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_ones_own_needs_its_secrets() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/staging.toml"), "").unwrap();
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let ended = run_to_exit_in(&folder, &[command, &["--profile", "staging"]].concat(), &[]).await;
        explained(ended, &["staging", "auth.token_key", "auth.phone_key", "http.internal_token"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sections_name_as_a_variable_is_refused_beside_its_keys() {
    let settings = [("http", "x"), ("http.public_bind", "127.0.0.1:0")];
    explained(run_to_exit(&["config", "check"], &settings).await, &["`http`", "GATEWAY__HTTP"]);
}

/// `/dev/full` takes nothing (Linux).
#[test]
fn a_refusal_that_cannot_be_told_is_still_a_refusal() {
    for errors in [">/dev/full", ">&-"] {
        let line = format!("exec \"$0\" serve --profile moon-base 2{errors}");
        let ended = std::process::Command::new("sh").args(["-c", &line, BINARY]).status().unwrap();
        assert_eq!(ended.code(), Some(1), "{errors}");
    }
}

//! The commands of the binary beside `serve`.

use crate::{
    breakdown::refused,
    harness::{BINARY, Folder, Gateway, run_to_exit, run_to_exit_in},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_can_be_checked_without_serving() {
    let (code, output) = run_to_exit(&["config", "check"], &[]).await;
    assert_eq!(code, 0, "{output}");
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
    let folder = Folder::new();
    for _ in 0..2 {
        let (code, output) = run_to_exit_in(&folder, &["migrate"], &[]).await;
        assert_eq!(code, 0, "{output}");
    }
    assert!(folder.path().join("data/gateway.db").exists());
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
    refused(run_to_exit_in(&folder, &["config", "check"], &[]).await, &["data/secrets.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_refuses_what_serving_refuses() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/staging.toml"), "").unwrap();
    let secrets = ["auth.token_key", "auth.phone_key", "http.internal_token"];
    for command in [["serve"].as_slice(), &["config", "check"]] {
        let staging = run_to_exit_in(&folder, &[command, &["--profile", "staging"]].concat(), &[]).await;
        refused(staging, &[&["staging"], &secrets[..]].concat());
        let arguments = [command, &["--profile", "production"]].concat();
        let production = run_to_exit(&arguments, &[("sandbox.enabled", "true")]).await;
        refused(production, &[&["sandbox.enabled"], &secrets[..]].concat());
    }
}

#[test]
fn a_setting_that_is_not_text_is_refused_by_name() {
    let line = r#"export GATEWAY__QUOTES__TTL_S="$(printf '\377')"; exec "$0" config check"#;
    let ended = std::process::Command::new("sh").args(["-c", line, BINARY]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("`quotes.ttl_s` (environment variable GATEWAY__QUOTES__TTL_S)"), "{said}");
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

//! The load tool against the built gateway: what its exit code says, and what it leaves behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::harness::{Folder, Gateway};

/// Some requests of every kind for a few seconds; the machine may be busy with other tests, so the generator may be late.
const SCENARIO: &str = r#"
about = "A little of everything, for a test."
passengers = 20
sources = 4
deadline_ms = 20000
max_lag_ms = 20000
checks = ["errors<=0", "server_5xx<=0"]

[[phase]]
name = "steady"
seconds = 3
per_s = 30
role = "peak"
"#;

struct Tool {
    binary: PathBuf,
    folder: Folder,
}

impl Tool {
    /// None where it was not built.
    fn new() -> Option<Self> {
        let binary = Path::new(env!("CARGO_BIN_EXE_passenger-gateway")).with_file_name("loadtest");
        if !binary.exists() {
            eprintln!("skipped: the load tool is not there (cargo build --workspace --bins)");
            return None;
        }
        let folder = Folder::new();
        fs::write(folder.path().join("little.toml"), SCENARIO).unwrap();
        Some(Self { binary, folder })
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(["run", "little.toml"]).args(arguments).current_dir(self.folder.path());
        command.env("LOADTEST_INTERNAL_TOKEN", crate::harness::SERVICE_TOKEN).output().expect("the load tool runs")
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_checks_hold_ends_with_0_and_one_that_fails_a_check_with_1() {
    let Some(tool) = Tool::new() else { return };
    let mut gateway = Gateway::start().await;
    let (url, internal) = (gateway.public().base, gateway.internal().base);
    let to = ["--url", &url, "--internal", &internal];
    let output = tool.run(&[&to[..], &["--json", "run.json", "--html", "run.html"]].concat());
    ended(&output, 0);

    let outcome: Value = serde_json::from_slice(&fs::read(tool.folder.path().join("run.json")).unwrap()).unwrap();
    let offered = outcome["totals"]["offered"].as_u64().unwrap();
    // 90 are expected, standard deviation 9.5.
    assert!((50..130).contains(&offered), "{offered}");
    assert_eq!(outcome["totals"]["ok"], offered, "{outcome:#}");
    let kinds = outcome["kinds"].as_array().unwrap();
    assert!(kinds.len() >= 8, "{kinds:#?}");
    assert_eq!(kinds.iter().map(|kind| kind["counts"]["offered"].as_u64().unwrap()).sum::<u64>(), offered);
    assert!(outcome["series"].as_array().unwrap().len() >= 3);
    assert_eq!(outcome["phases"][0]["priorities"].as_array().unwrap().len(), 5);
    assert_eq!(outcome["validity"]["valid"], true);
    let checks = outcome["checks"].as_array().unwrap();
    assert!(checks.len() == 2 && checks.iter().all(|check| check["holds"] == true), "{checks:#?}");
    assert!(
        fs::read_to_string(tool.folder.path().join("run.html")).unwrap().to_lowercase().contains("<!doctype html>")
    );

    let output = tool.run(&[&to[..], &["--check", "goodput>=1000000"]].concat());
    assert!(ended(&output, 1).contains("FAILED  goodput>=1000000"));
    gateway.stop().await;
}

#[test]
fn a_run_that_cannot_begin_ends_with_2_and_says_why() {
    let Some(tool) = Tool::new() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    assert!(ended(&tool.run(&["--url", &url]), 2).contains("no gateway answers"));
    assert!(ended(&tool.run(&["--url", "http://10.0.0.1"]), 2).contains("only this machine is allowed"));
    assert!(ended(&tool.run(&["--url", &url, "--check", "beauty>1"]), 2).contains("no figure `beauty`"));
}

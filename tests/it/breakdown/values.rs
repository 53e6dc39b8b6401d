//! Every setting of `config/default.toml` that is a number or a switch, set to something absurd, stops the start and
//! is named. The keys come from the file, so that a new setting is tried as well.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use futures_util::future::join_all;
use toml::{Table, Value};

use super::{misconfigured, refused};
use crate::harness::{Folder, run_to_exit, run_to_exit_in};

const ABSURD_NUMBERS: [&str; 3] = ["-1000000000", "99999999999999999999999", "plenty"];
const ABSURD_SWITCHES: [&str; 2] = ["perhaps", "2.5.1"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_told_at_once_on_a_line_each_and_nothing_is_made() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("config")).unwrap();
    let file = "[rides]\nmatch_timeout_s = \"soon\"\n[weather]\ncity = \"Oslo\"\n";
    fs::write(folder.path().join("config/default.toml"), file).unwrap();
    let settings = [
        ("quotes.ttl", "5"),
        ("sandbox.drivers", "many"),
        ("sandbox.time_scale", "0"),
        ("http.public_bind", "nowhere"),
        ("store.shards", "mongodb://x"),
    ];
    let problems: [&[&str]; 7] = [
        &["`rides.match_timeout_s`", "config/default.toml", "soon"],
        &["`weather`", "config/default.toml"],
        &["`quotes.ttl`", "GATEWAY__QUOTES__TTL", "ttl_s"],
        &["`sandbox.drivers`", "GATEWAY__SANDBOX__DRIVERS", "many"],
        &["`sandbox.time_scale`", "GATEWAY__SANDBOX__TIME_SCALE", "above 0"],
        &["`http.public_bind`", "GATEWAY__HTTP__PUBLIC_BIND", "address"],
        &["`store.shards`", "GATEWAY__STORE__SHARDS", "sqlite://"],
    ];
    for command in [&["serve"][..], &["migrate"], &["config", "check"]] {
        misconfigured(&run_to_exit_in(&folder, command, &settings).await, &problems);
        assert!(!folder.path().join("data").exists(), "{command:?} made a data folder");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sections_name_as_a_variable_is_refused_beside_its_keys() {
    let settings = [("http", "x"), ("http.public_bind", "127.0.0.1:0")];
    misconfigured(&run_to_exit(&["config", "check"], &settings).await, &[&["`http`", "GATEWAY__HTTP"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_profile_is_refused() {
    misconfigured(&run_to_exit(&["serve", "--profile", "moon"], &[]).await, &[&["moon"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_set_to_something_absurd_is_refused_by_name() {
    let keys = keys(is_number);
    assert!(keys.len() > 50, "the settings were not found: {keys:?}");
    // A table in a table has its own test below.
    let keys: Vec<String> = keys.into_iter().filter(|key| key.matches('.').count() == 1).collect();
    all_are_refused(&keys, &ABSURD_NUMBERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_in_a_table_set_to_something_absurd_is_refused_by_name() {
    let keys: Vec<String> = keys(is_number).into_iter().filter(|key| key.matches('.').count() > 1).collect();
    assert!(!keys.is_empty(), "the settings were not found");
    all_are_refused(&keys, &ABSURD_NUMBERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_switch_that_is_neither_on_nor_off_is_refused_by_name() {
    let keys = keys(Value::is_bool);
    assert!(!keys.is_empty(), "the settings were not found");
    all_are_refused(&keys, &ABSURD_SWITCHES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_or_a_list_that_makes_no_sense_is_refused_by_name() {
    let mut failures = Vec::new();
    for (key, value) in [
        ("http.public_bind", "127.0.0.1:99999"),
        ("http.internal_bind", ""),
        ("http.trusted_proxies", "10.0.0.0/99"),
        // More than the web framework takes.
        ("http.workers", "513"),
        ("store.shards", ""),
        ("store.shards", "sqlite://a.db,sqlite://b.db,sqlite://a.db"),
        ("store.synchronous", "off"),
        ("pricing.area", "40.68,-74.05,40.90"),
        ("pricing.area", "40.90,-74.05,40.68,-73.89"),
        ("pricing.area", "40.68,-74.05,400.90,-73.89"),
        ("pricing.area", "NaN,-74.05,40.90,-73.89"),
        ("routing.hourly_speed_m_s", "5.0,5.0"),
        ("routing.hourly_speed_m_s", "inf"),
        ("runtime.log", "entity=loud"),
        ("runtime.log_format", "xml"),
    ] {
        failures.extend(failure(key, value).await);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_number_can_be_changed_without_any_file() {
    for key in ["pricing.economy.base", "pricing.xl.per_km"] {
        let (code, output) = run_to_exit(&["config", "check"], &[(key, "300")]).await;
        assert_eq!(code, 0, "{key}:\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused_by_name_and_not_shown() {
    for key in ["auth.token_key", "auth.previous_token_key", "auth.phone_key"] {
        for value in ["c2hvcnQtc2VjcmV0", "not*base64*at*all*but*quite*long*enough*for*one"] {
            for command in [["serve"].as_slice(), &["config", "check"]] {
                let (code, output) = run_to_exit(command, &[(key, value)]).await;
                assert_eq!(code, 1, "{output}");
                let named = format!("`{key}` (environment variable ");
                assert!(output.contains(&named) && output.contains("base64"), "{output}");
                assert!(!output.contains(value), "{output}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    // An address for documentation (RFC 5737), which no machine has.
    for address in [taken.as_str(), "203.0.113.1:8081"] {
        for (bound, other) in [("http.public_bind", "http.internal_bind"), ("http.internal_bind", "http.public_bind")] {
            let settings = [(bound, address), (other, "127.0.0.1:0")];
            refused(run_to_exit(&["serve"], &settings).await, &["cannot listen", address]);
        }
    }
}

async fn all_are_refused(keys: &[String], values: &[&str]) {
    let mut failures = Vec::new();
    for key in keys {
        let tries = values.iter().map(|value| failure(key, value));
        failures.extend(join_all(tries).await.into_iter().flatten());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with the refusal of this value: it must name the key, where the value came from and nothing else.
async fn failure(key: &str, value: &str) -> Option<String> {
    let folder = shown().display().to_string();
    let (code, output) = run_to_exit(&["config", "check", "--config-dir", &folder], &[(key, value)]).await;
    let named = format!("`{key}` (environment");
    let lines: Vec<&str> = output.lines().collect();
    let right = code == 1 && lines.len() == 2 && lines[0].contains("1 problem") && lines[1].contains(&named);
    (!right).then(|| format!("{key} = {value} (exit code {code}):\n{output}"))
}

fn is_number(value: &Value) -> bool {
    let number = |value: &Value| value.is_integer() || value.is_float();
    number(value) || value.as_array().is_some_and(|members| members.iter().any(number))
}

/// The keys in the file of defaults whose value is of this kind.
fn keys(kind: impl Fn(&Value) -> bool + Copy) -> Vec<String> {
    let text = fs::read_to_string(shown().join("default.toml")).expect("the file of defaults");
    let mut keys = Vec::new();
    collect("", &text.parse::<Table>().expect("TOML"), kind, &mut keys);
    keys
}

fn collect(prefix: &str, table: &Table, kind: impl Fn(&Value) -> bool + Copy, keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => collect(&key, inner, kind, keys),
            value if kind(value) => keys.push(key),
            _ => {}
        }
    }
}

/// The folder with the file of defaults.
fn shown() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

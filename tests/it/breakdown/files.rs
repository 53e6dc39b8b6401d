//! Files that cannot be used: each is named once, left as it is, and never served from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::refused;
use crate::harness::{Folder, Gateway, Passenger, on_one_file, run_to_exit_in, text};

/// Where a gateway keeps its data by default, and the file of those that the harness starts.
const DATABASE: &str = "data/gateway.db";
const DATABASE_FILE: &str = "gateway.db";
/// Bytes of a page (SQLite's default).
const PAGE: usize = 4096;
const SECRETS: &str = "data/secrets.toml";

/// A folder with these files, where the gateway finds its data by default.
fn prepared(files: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// Both commands that open the database refuse, say so with these words, and leave the file alone.
async fn refused_and_unchanged(folder: &Folder, file: &str, words: &[&str]) {
    let path = folder.path().join(file);
    let before = fs::read(&path).unwrap();
    for command in ["serve", "migrate"] {
        refused(start(folder, command).await, words);
        assert_eq!(fs::read(&path).unwrap(), before, "`{command}` changed {file}");
    }
}

async fn start(folder: &Folder, command: &str) -> (i32, String) {
    // Ports of no interest: the start is refused before they are used.
    let nowhere = [("http.public_bind", "127.0.0.1:0"), ("http.internal_bind", "127.0.0.1:0")];
    run_to_exit_in(folder, &[command], &nowhere).await
}

/// A gateway that has ended, with a ride in its database.
async fn used() -> (Gateway, Passenger, Value) {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_authorised_ride().await;
    gateway.stop().await;
    assert!(!gateway.file("gateway.db-wal").exists(), "a polite end leaves one file");
    (gateway, passenger, ride)
}

/// What was acknowledged is there, and the ride goes on to its end.
async fn is_undamaged(gateway: &Gateway, passenger: &Passenger, ride: &Value) {
    let id = text(&ride["id"]);
    assert_eq!(passenger.ride(&id).await, *ride);
    assert_eq!(passenger.api.get("/v1/me").send().await.expect(200)["phone"], passenger.phone);
    gateway.driver("ana").bring(passenger, &id, "completed").await;
}

/// Not compressible, not zero, the same each time.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    if !on_one_file() {
        return;
    }
    let folder = prepared(&[(DATABASE, &noise(100_000))]);
    refused_and_unchanged(&folder, DATABASE, &[DATABASE, "not a database"]).await;
    let folder = prepared(&[(DATABASE, b"passengers,rides\n1,2\n")]);
    refused_and_unchanged(&folder, DATABASE, &[DATABASE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_cut_off_is_named_and_left_alone() {
    if !on_one_file() {
        return;
    }
    let database = fs::read(used().await.0.file("gateway.db")).unwrap();
    for length in [50, 2000, database.len() / 2, database.len() - 4096] {
        let folder = prepared(&[(DATABASE, &database[..length])]);
        refused_and_unchanged(&folder, DATABASE, &[DATABASE]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_becomes_a_new_database() {
    if !on_one_file() {
        return;
    }
    let folder = prepared(&[(DATABASE, b"")]);
    let (code, output) = start(&folder, "migrate").await;
    assert_eq!(code, 0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_with_the_step_that_is_not_known() {
    if !on_one_file() {
        return;
    }
    let mut database = fs::read(used().await.0.file("gateway.db")).unwrap();
    let (known, newer): (&[u8], &[u8]) = (b"m0001_passenger_rides", b"m9001_passenger_rides");
    // In the table and in its index.
    let places: Vec<usize> =
        (0..database.len() - known.len()).filter(|at| database[*at..].starts_with(known)).collect();
    assert!(places.len() > 1, "the applied steps were not found");
    for at in places {
        database[at..at + known.len()].copy_from_slice(newer);
    }
    let folder = prepared(&[(DATABASE, &database)]);
    refused_and_unchanged(&folder, DATABASE, &[DATABASE, "m9001_passenger_rides"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_local_secrets_are_named_and_left_alone() {
    for broken in [b"garb]age".as_slice(), b"", b"token_key = 'c2hvcnQ='\n", b"\xff\xfe\x00\x01"] {
        let folder = prepared(&[(SECRETS, broken)]);
        refused(start(&folder, "serve").await, &[SECRETS]);
        assert_eq!(fs::read(folder.path().join(SECRETS)).unwrap(), broken);
        assert!(!folder.path().join(DATABASE).exists(), "no database is made for secrets that do not work");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_a_file_is_named_and_left_alone() {
    let folder = prepared(&[("data", b"a note")]);
    refused(start(&folder, "serve").await, &["data"]);
    refused(start(&folder, "migrate").await, &["data"]);
    assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"a note");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_the_place_of_a_file_is_named() {
    if !on_one_file() {
        return;
    }
    for file in [DATABASE, SECRETS] {
        let folder = Folder::new();
        fs::create_dir_all(folder.path().join(file)).unwrap();
        refused(start(&folder, "serve").await, &[file]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_full_from_the_start_is_named() {
    if !on_one_file() {
        return;
    }
    let keys = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let settings = [("store.shards", "sqlite:///dev/full"), ("auth.token_key", keys), ("auth.phone_key", keys)];
    refused(run_to_exit_in(&Folder::new(), &["serve"], &settings).await, &["/dev/full", "full"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_data_folder_is_made() {
    if !on_one_file() {
        return;
    }
    let folder = Folder::new();
    let dsn = format!("sqlite://{}", folder.path().join("not/there/yet/gateway.db").display());
    let (code, output) = run_to_exit_in(&folder, &["migrate"], &[("store.shards", &dsn)]).await;
    assert_eq!(code, 0, "{output}");
}

/// One page of the database after the other is noise. What the gateway can still read is right, what it cannot is a
/// problem of ours, and with the page back everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_noise_is_told_and_spoils_no_other() {
    if !on_one_file() {
        return;
    }
    let (mut gateway, passenger, ride) = used().await;
    let file = gateway.file("gateway.db");
    let whole = fs::read(&file).unwrap();
    let (pages, mut told) = (whole.len() / PAGE, 0);
    for page in (1..pages).step_by((pages / 40).max(1)) {
        let mut broken = whole.clone();
        broken[page * PAGE..][..PAGE].copy_from_slice(&noise(PAGE));
        fs::write(&file, &broken).unwrap();
        match gateway.try_restart().await {
            Err(ended) => refused(ended, &[DATABASE_FILE, "malformed"]),
            Ok(()) => {
                for (path, right) in [("/v1/me", &passenger.id), ("/v1/rides/current", &text(&ride["id"]))] {
                    let answer = passenger.api.get(path).send().await;
                    match answer.status {
                        200 => assert_eq!(answer.json()["id"], **right, "page {page}"),
                        _ => drop(answer.problem(500, "internal")),
                    }
                    told += usize::from(answer.status == 500);
                }
                assert_eq!(gateway.stop().await, Some(0), "page {page}");
                assert!(!gateway.log().contains("panicked"), "page {page}");
            }
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(told > 0, "no page was missed");
    gateway.restart().await;
    is_undamaged(&gateway, &passenger, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_the_files_beside_the_database_loses_nothing() {
    if !on_one_file() {
        return;
    }
    // A write that was torn when the power went, and an index of the log that makes no sense.
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_authorised_ride().await;
    gateway.signal("KILL");
    gateway.exit().await;
    let log = gateway.file("gateway.db-wal");
    let torn = [fs::read(&log).unwrap(), noise(10_000)].concat();
    assert!(torn.len() > 20_000, "the last writes are in the log");
    fs::write(&log, torn).unwrap();
    fs::write(gateway.file("gateway.db-shm"), noise(32_768)).unwrap();
    gateway.restart().await;
    is_undamaged(&gateway, &passenger, &ride).await;
    // A log that belongs to no database.
    let (mut gateway, passenger, ride) = used().await;
    fs::write(gateway.file("gateway.db-wal"), noise(50_000)).unwrap();
    gateway.restart().await;
    is_undamaged(&gateway, &passenger, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_ports_and_data_is_refused_and_harms_nobody() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let ride = passenger.request_authorised_ride().await;
    let rival = gateway.start_a_rival().await;
    assert!(!rival.1.contains("fleet is on the road"), "it has begun to work:\n{}", rival.1);
    refused(rival, &["in use", &gateway.public_port().to_string()]);
    is_undamaged(&gateway, &passenger, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_data_folder_without_the_right_to_write_is_named() {
    if !on_one_file() {
        return;
    }
    let folder = prepared(&[("data/nothing", b"")]);
    let Some(_locked) = Locked::new(folder.path().join("data")) else { return };
    refused(start(&folder, "serve").await, &["data"]);
    refused(start(&folder, "migrate").await, &["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_can_only_be_read_is_named_and_there_again_when_it_can_be_written() {
    if !on_one_file() {
        return;
    }
    let (mut gateway, passenger, ride) = used().await;
    for locked in [gateway.file(""), gateway.file("gateway.db")] {
        let Some(_locked) = Locked::new(locked) else { return };
        refused(gateway.try_restart().await.expect_err("it cannot serve"), &[DATABASE_FILE]);
    }
    gateway.restart().await;
    is_undamaged(&gateway, &passenger, &ride).await;
}

/// A file or folder that cannot be written until this is dropped.
struct Locked(PathBuf);

impl Locked {
    /// `None`, with a word about it, where nothing keeps this user from writing.
    fn new(path: PathBuf) -> Option<Self> {
        // Permissions bind everybody but root, the immutable attribute also root.
        for command in [["chmod", "a-w"], ["chattr", "+i"]] {
            let done = Command::new(command[0]).arg(command[1]).arg(&path).output();
            if done.is_ok_and(|done| done.status.success()) && !writable(&path) {
                return Some(Self(path));
            }
        }
        eprintln!("skipped: nothing keeps this user from writing {}", path.display());
        None
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        for command in [["chattr", "-i"], ["chmod", "u+w"]] {
            // Whatever was not used fails, and harms nothing.
            let _ = Command::new(command[0]).arg(command[1]).arg(&self.0).output();
        }
    }
}

fn writable(path: &Path) -> bool {
    if path.is_dir() {
        let probe = path.join("probe");
        return fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).is_ok();
    }
    fs::OpenOptions::new().append(true).open(path).is_ok()
}

//! Files that cannot be used: each is named once, left as it is, and never served from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::refused;
use crate::harness::{Folder, Gateway, run_to_exit_in};

const DATABASE: &str = "data/gateway.db";
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

/// The database of a gateway that served a passenger, in one file.
async fn used_database() -> Vec<u8> {
    let mut gateway = Gateway::start().await;
    gateway.passenger().await;
    gateway.stop().await;
    let mut database = fs::read(gateway.file("gateway.db")).unwrap();
    // What was not yet copied from the write-ahead log (SQLite, "Database File Format", section 4.1).
    if let Ok(log) = fs::read(gateway.file("gateway.db-wal")).as_deref()
        && log.len() > 32
    {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap()) as usize;
        let page = number(&log[8..12]);
        for frame in log[32..].chunks_exact(24 + page) {
            let end = number(&frame[..4]) * page;
            database.resize(database.len().max(end), 0);
            database[end - page..end].copy_from_slice(&frame[24..]);
        }
    }
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    // Not compressible, not zero, the same each time.
    let noise: Vec<u8> = (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let folder = prepared(&[(DATABASE, &noise)]);
    refused_and_unchanged(&folder, DATABASE, &[DATABASE, "not a database"]).await;
    let folder = prepared(&[(DATABASE, b"passengers,rides\n1,2\n")]);
    refused_and_unchanged(&folder, DATABASE, &[DATABASE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_cut_off_is_named_and_left_alone() {
    let database = used_database().await;
    for length in [50, 2000, database.len() / 2, database.len() - 4096] {
        let folder = prepared(&[(DATABASE, &database[..length])]);
        refused_and_unchanged(&folder, DATABASE, &[DATABASE]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_becomes_a_new_database() {
    let folder = prepared(&[(DATABASE, b"")]);
    let (code, output) = start(&folder, "migrate").await;
    assert_eq!(code, 0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_with_the_step_that_is_not_known() {
    let mut database = used_database().await;
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
    for file in [DATABASE, SECRETS] {
        let folder = Folder::new();
        fs::create_dir_all(folder.path().join(file)).unwrap();
        refused(start(&folder, "serve").await, &[file]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_full_from_the_start_is_named() {
    let keys = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let settings = [("store.shards", "sqlite:///dev/full"), ("auth.token_key", keys), ("auth.phone_key", keys)];
    refused(run_to_exit_in(&Folder::new(), &["serve"], &settings).await, &["/dev/full", "full"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_data_folder_is_made() {
    let folder = Folder::new();
    let dsn = format!("sqlite://{}", folder.path().join("not/there/yet/gateway.db").display());
    let (code, output) = run_to_exit_in(&folder, &["migrate"], &[("store.shards", &dsn)]).await;
    assert_eq!(code, 0, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_without_the_right_to_write_is_named() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("data")).unwrap();
    let Some(_locked) = Locked::new(folder.path().join("data")) else { return };
    refused(start(&folder, "serve").await, &["data"]);
    refused(start(&folder, "migrate").await, &["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_only_be_read_is_named() {
    let folder = Folder::new();
    let (code, output) = start(&folder, "migrate").await;
    assert_eq!(code, 0, "{output}");
    let Some(_locked) = Locked::new(folder.path().join(DATABASE)) else { return };
    refused(start(&folder, "serve").await, &[DATABASE]);
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

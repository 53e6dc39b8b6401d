//! What whoever uses a private server relies on.
#![allow(clippy::unwrap_used, reason = "a test says what it relies on by failing there")]

use std::{
    io::{BufRead as _, BufReader, Read},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use clusters::{Binaries, Cluster, Error, Options, Server};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// No process.
const NOBODY: [&str; 0] = [];

/// PostgreSQL's programs; `None`, with a word about it, where there are none. `cargo xtask test` sees to it that there are.
fn binaries() -> Option<Binaries> {
    let found = Binaries::find();
    if let Err(missing) = &found {
        eprintln!("skipped: {missing}");
    }
    found.ok()
}

fn text(server: &Server, sql: &str) -> String {
    String::from_utf8(server.run(sql).unwrap()).unwrap().trim().to_owned()
}

fn is_served(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Waits until something is so.
#[allow(clippy::disallowed_methods, reason = "a look at a time, for a bounded time")]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let step = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if is_so() {
            return;
        }
        std::thread::sleep(step);
    }
    panic!("did not happen in {PATIENCE:?}: {what}");
}

/// Processes that live in this folder, by their number and name.
fn processes_in(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    // As text: of a folder that is gone, the system says so behind its name.
    let lives_there = |process: &PathBuf| {
        let place = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        place.to_string_lossy().starts_with(folder.to_str().unwrap())
    };
    let name = |process: PathBuf| std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    all.filter(lives_there).map(|process| format!("{} {}", process.display(), name(process.clone()))).collect()
}

#[test]
fn three_servers_serve_at_once_each_with_data_of_its_own() {
    let Some(binaries) = binaries() else { return };
    let three = Cluster::start_many(3, &binaries, &Options::default()).unwrap();
    for (number, cluster) in three.iter().enumerate() {
        cluster.server().run(&format!("CREATE DATABASE d{number};")).unwrap();
    }
    for (number, cluster) in three.iter().enumerate() {
        let databases = text(cluster.server(), "SELECT datname FROM pg_database WHERE datname LIKE 'd%';");
        assert_eq!(databases, format!("d{number}"));
        assert_eq!(text(cluster.server(), "SHOW max_prepared_transactions; SHOW fsync;"), "64\noff");
    }
}

#[test]
fn what_was_committed_is_there_after_the_postmaster_was_killed() {
    let Some(binaries) = binaries() else { return };
    for durable in [true, false] {
        let mut cluster = Cluster::start(&binaries, &Options { durable, ..Options::default() }).unwrap();
        let (database, port) = (cluster.server().create_database(None).unwrap(), cluster.server().port());
        assert_eq!(text(cluster.server(), "SHOW fsync;"), if durable { "on" } else { "off" });
        database.run("CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000);").unwrap();
        database.run("BEGIN; INSERT INTO kept VALUES (1001); PREPARE TRANSACTION 'half';").unwrap();
        let first = cluster.process_id().unwrap();
        let session = busy_session(&cluster);
        assert!(processes_in(&cluster.folder().join("data")).len() > 5, "the postmaster, its helpers, the session");

        cluster.kill().unwrap();
        assert!(!is_served(port));
        assert_eq!(processes_in(&cluster.folder().join("data")), NOBODY);
        assert!(!session.wait_with_output().unwrap().status.success(), "its sessions are cut off");
        assert!(cluster.server().run("SELECT 1;").is_err());

        cluster.start_again().unwrap();
        assert_ne!(cluster.process_id().unwrap(), first);
        assert_eq!(cluster.server().port(), port);
        let found = database.run("COMMIT PREPARED 'half'; SELECT count(*), max(n) FROM kept;").unwrap();
        assert_eq!(String::from_utf8_lossy(&found).trim(), "1001|1001");
        assert!(cluster.log().contains("not properly shut down"), "{}", cluster.log());

        cluster.stop().unwrap();
        assert!(!is_served(port));
        cluster.start_again().unwrap();
        assert_eq!(database.run("SELECT count(*) FROM kept;").unwrap(), b"1001\n");
    }
}

/// A client in the middle of a statement.
fn busy_session(cluster: &Cluster) -> std::process::Child {
    let mut psql = Command::new(Binaries::find().unwrap().folder().join("psql"));
    // Busy for a minute or so: it does not see by itself that its postmaster is gone.
    psql.args(["-X", "-d", &cluster.server().dsn(), "-c", "DO 'BEGIN FOR n IN 1..2000000000 LOOP END LOOP; END'"]);
    let session = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active';";
    eventually("the statement runs", || text(cluster.server(), busy) == "1");
    session
}

#[test]
fn folder_port_and_processes_are_gone_afterwards() {
    let Some(binaries) = binaries() else { return };
    let mut running = Cluster::start_many(2, &binaries, &Options::default()).unwrap();
    // Also that of a server that was killed before.
    running[1].kill().unwrap();
    let places: Vec<_> = running.iter().map(|cluster| (cluster.folder().to_owned(), cluster.server().port())).collect();
    assert!(is_served(places[0].1) && places.iter().all(|(folder, _)| folder.exists()));
    drop(running);
    for (folder, port) in places {
        assert!(!is_served(port) && !folder.exists());
        assert_eq!(processes_in(&folder), NOBODY);
    }
}

#[test]
fn a_killed_parent_leaves_no_server() {
    let Some(binaries) = binaries() else { return };
    let mut parent = Command::new(env!("CARGO_BIN_EXE_clusters"));
    parent.arg("2").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parent = parent.spawn().unwrap();
    let dsns = two_lines(parent.stdout.take().unwrap());
    let folders = two_lines(parent.stderr.take().unwrap()).map(PathBuf::from);
    let servers = dsns.map(|dsn| Server::at(&dsn, &binaries).unwrap());
    assert!(servers.iter().all(|server| text(server, "SELECT 1;") == "1"));
    assert!(folders.iter().all(|folder| folder.exists()));

    parent.kill().unwrap();
    parent.wait().unwrap();
    for (server, folder) in servers.iter().zip(folders) {
        eventually("its folder and its processes are gone", || !folder.exists() && processes_in(&folder) == NOBODY);
        assert!(!is_served(server.port()));
    }
}

#[test]
fn a_parent_that_is_killed_while_it_starts_servers_leaves_nothing() {
    let Some(_) = binaries() else { return };
    let place = std::env::temp_dir().join(format!("clusters-test-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let is_there = |pattern: &[&str]| {
        let folders = std::fs::read_dir(&place).unwrap().map(|folder| folder.unwrap().path());
        folders.into_iter().any(|folder| folder.join(pattern.iter().collect::<PathBuf>()).exists())
    };
    // While the data is made, while it is copied, while a server starts.
    for moment in [&["data"][..], &["data", "global", "pg_control"], &["data", "postmaster.opts"]] {
        let mut parent = Command::new(env!("CARGO_BIN_EXE_clusters"));
        parent.arg("2").env("TMPDIR", &place).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut parent = parent.spawn().unwrap();
        eventually("it begins", || is_there(moment));
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually("nothing is left", || !is_there(&[]) && processes_in(&place) == NOBODY);
    }
    std::fs::remove_dir(&place).unwrap();
}

fn two_lines(output: impl Read) -> [String; 2] {
    let mut lines = BufReader::new(output).lines();
    [(); 2].map(|()| lines.next().unwrap().unwrap())
}

#[test]
fn a_database_is_made_from_another_and_dropped_with_its_handle() {
    let Some(binaries) = binaries() else { return };
    let cluster = Cluster::start(&binaries, &Options::default()).unwrap();
    let server = Server::at(&cluster.server().dsn(), &binaries).unwrap();
    let template = server.create_database(None).unwrap();
    template.run("CREATE TABLE t (n int); INSERT INTO t VALUES (7);").unwrap();
    let copies = [server.create_database(Some(&template)).unwrap(), server.create_database(Some(&template)).unwrap()];
    copies[0].run("INSERT INTO t VALUES (8);").unwrap();
    let sums = copies.each_ref().map(|copy| copy.run("SELECT sum(n) FROM t;").unwrap());
    assert_eq!(sums, [b"15\n".to_vec(), b"7\n".to_vec()]);
    assert!(copies[0].dsn().ends_with(copies[0].name()));
    let owner = "SELECT pg_get_userbyid(datdba), rolsuper FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user;";
    assert_eq!(copies[0].run(owner).unwrap(), b"gateway|f\n");
    drop(copies);
    assert_eq!(text(&server, "SELECT count(*) FROM pg_database WHERE datname LIKE 'test_%';"), "1");
}

#[test]
fn nobody_enters_without_the_password() {
    let Some(binaries) = binaries() else { return };
    let cluster = Cluster::start(&binaries, &Options::default()).unwrap();
    let (before, rest) = cluster.server().dsn().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (name, password) = before.rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let password = password.split('@').next().unwrap();
    assert!(password.len() >= 32, "it cannot be guessed");
    let wrong = Server::at(&format!("{name}:guess@127.0.0.1:{rest}"), &binaries).unwrap();
    let error = wrong.run("SELECT 1;").unwrap_err().to_string();
    assert!(error.contains("password authentication failed") && !error.contains(password), "{error}");
    assert!(!cluster.log().contains(password), "{}", cluster.log());
}

#[test]
fn a_server_that_cannot_start_says_why_in_its_own_words() {
    let Some(binaries) = binaries() else { return };
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = Cluster::start(&binaries, &Options { settings, ..Options::default() }).unwrap_err();
    assert!(matches!(error, Error::NotStarted { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

//! What the product asked of PostgreSQL during a run of tests: every statement names its shard, or is on a short list of those
//! that need not. So the same statements run on a database that is distributed by shard.

mod exempt;
mod rule;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

/// How a server has to log for its log to be read here.
pub(crate) const SETTINGS: [(&str, &str); 3] = [
    ("log_statement", "all"),
    // No values: they are not looked at, and would be most of the log.
    ("log_parameter_max_length", "0"),
    ("log_line_prefix", "%m [%p] %q%a %d "),
];

/// As the product calls itself; what tests ask for themselves is not looked at.
const PRODUCT: &str = "] passenger-gateway ";

/// Reads the logs of servers and checks what the product asked for. How many statements differ from each other.
///
/// # Errors
/// Those that break the rule, a line each; after a whole suite (`whole`) also exemptions that nothing needs.
pub(crate) fn check(logs: &[PathBuf], whole: bool) -> Result<usize, String> {
    let mut statements = BTreeSet::new();
    for log in logs {
        read(log, &mut statements).map_err(|error| format!("{}: {error}", log.display()))?;
    }
    let mut findings = findings(&statements);
    if whole {
        findings.extend(exempt::unused(&statements).into_iter().map(|what| format!("exempt, and never asked: {what}")));
    }
    match findings.as_slice() {
        [] if statements.is_empty() => Err("no statement was recorded".to_owned()),
        [] => Ok(statements.len()),
        findings => Err(format!("statements must say `shard = $n`:\n  {}", findings.join("\n  "))),
    }
}

fn findings(statements: &BTreeSet<String>) -> Vec<String> {
    let wrong = statements.iter().filter(|statement| !exempt::is_exempt(statement));
    wrong.filter_map(|statement| rule::finding(statement).map(|why| format!("{why}: {statement}"))).collect()
}

/// Adds every statement of the product in a server's log.
fn read(log: &Path, statements: &mut BTreeSet<String>) -> std::io::Result<()> {
    let (mut reader, mut line) = (BufReader::new(File::open(log)?), Vec::new());
    let mut open: Option<String> = None;
    loop {
        line.clear();
        let is_over = reader.read_until(b'\n', &mut line)? == 0;
        let text = String::from_utf8_lossy(&line);
        // A statement of several lines goes on behind a tab.
        if let (Some(open), Some(more)) = (&mut open, text.strip_prefix('\t')) {
            open.push(' ');
            open.push_str(more);
            continue;
        }
        if let Some(statement) = open.take() {
            statements.insert(normal(&statement));
        }
        if is_over {
            return Ok(());
        }
        open = statement(&text).map(str::to_owned);
    }
}

/// The statement in the first line of an entry, if it has one of the product's.
fn statement(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(PRODUCT)?;
    let (_, rest) = rest.split_once(" LOG:  ")?;
    match rest.strip_prefix("statement: ") {
        Some(simple) => Some(simple),
        None => Some(rest.strip_prefix("execute ")?.split_once(": ")?.1),
    }
}

/// A statement on one line and without quotes.
fn normal(statement: &str) -> String {
    let words: Vec<_> = statement.split_whitespace().collect();
    words.join(" ").replace('"', "").trim_end_matches(';').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-23 10:00:00.000 UTC [12] LOG:  database system is ready to accept connections
2026-11-23 10:00:01.000 UTC [20] psql test_1 LOG:  statement: SELECT 1 FROM rides
2026-11-23 10:00:02.000 UTC [21] passenger-gateway test_1 LOG:  execute sqlx_s_3: SELECT \"rides\".\"id\"
\tFROM \"rides\"
\tWHERE \"rides\".\"shard\" = $1
2026-11-23 10:00:02.000 UTC [21] passenger-gateway test_1 LOG:  statement: COMMIT
2026-11-23 10:00:02.000 UTC [21] passenger-gateway test_1 ERROR:  canceling statement due to user request
2026-11-23 10:00:03.000 UTC [21] passenger-gateway test_1 LOG:  execute <unnamed>: SELECT \"version\" FROM \"rides\"
";

    #[test]
    fn what_the_product_asked_is_read_from_a_servers_log() {
        let log = crate::program::target().unwrap().join(format!("log-{}.txt", std::process::id()));
        std::fs::write(&log, LOG).unwrap();
        let mut statements = BTreeSet::new();
        read(&log, &mut statements).unwrap();
        let all: Vec<_> = statements.iter().map(String::as_str).collect();
        let (good, bad) = ("SELECT rides.id FROM rides WHERE rides.shard = $1", "SELECT version FROM rides");
        assert_eq!(all, ["COMMIT", good, bad]);
        let told = check(std::slice::from_ref(&log), false).unwrap_err();
        std::fs::remove_file(log).unwrap();
        assert!(told.ends_with(bad) && !told.contains(good) && !told.contains("COMMIT"), "{told}");
    }
}

//! The log of a PostgreSQL server with `log_statement = 'all'`: which session executed what, with which values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One execution of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executed {
    /// The number of the session's process.
    pub(crate) session: String,
    /// The statement with one blank between words.
    pub(crate) text: String,
    /// The values of `$1` and so on; `None` is NULL.
    pub(crate) values: Vec<Option<String>>,
}

/// What was executed in a database, but for one session of our own.
pub(crate) fn of_sessions(log: &str, database: &str, without: &str) -> Vec<Executed> {
    let mut all: Vec<Executed> = Vec::new();
    for entry in entries(log) {
        // As `log_line_prefix` has it: the time, [the process], the database.
        let Some((session, rest)) = entry.split_once('[').and_then(|(_, rest)| rest.split_once("] ")) else { continue };
        let Some(said) = rest.strip_prefix(database).filter(|_| session != without) else { continue };
        if let Some(detail) = said.strip_prefix(" DETAIL:  ") {
            let values = detail.strip_prefix("parameters: ").or_else(|| detail.strip_prefix("Parameters: "));
            let last = all.iter_mut().rev().find(|executed| executed.session == session);
            if let (Some(values), Some(last)) = (values, last) {
                last.values = values_of(values);
            }
        } else if let Some(text) = said.strip_prefix(" LOG:  ").and_then(statement) {
            all.push(Executed { session: session.to_owned(), text, values: vec![] });
        }
    }
    all
}

/// Lines that begin with a tab go on with the one before.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(last)) => {
                last.push('\n');
                last.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// `statement: BEGIN` and `execute name: SELECT 1`.
fn statement(said: &str) -> Option<String> {
    let text = match said.strip_prefix("statement: ") {
        Some(text) => text,
        None => said.strip_prefix("execute ")?.split_once(": ")?.1,
    };
    Some(text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches(';').to_owned())
}

/// `$1 = '12', $2 = 'it''s', $3 = NULL`.
fn values_of(mut text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((_, value)) = text.split_once(" = ") {
        text = match value.strip_prefix('\'') {
            None => {
                values.push(None);
                value.strip_prefix("NULL").unwrap_or_default()
            }
            Some(quoted) => {
                let (mut whole, mut rest) = (String::new(), quoted);
                while let Some((part, after)) = rest.split_once('\'') {
                    whole.push_str(part);
                    rest = after;
                    let Some(more) = rest.strip_prefix('\'') else { break };
                    whole.push('\'');
                    rest = more;
                }
                values.push(Some(whole));
                rest
            }
        };
    }
    values
}

/// Transactions whole, where they began; without what is executed anyway while nobody asks.
///
/// # Errors
/// A transaction is not over.
pub(crate) fn in_order(all: Vec<Executed>, background: &BTreeSet<String>) -> Result<Vec<Executed>, String> {
    let (mut units, mut open): (Vec<Vec<Executed>>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
    for executed in all {
        let session = executed.session.clone();
        let (begins, ends) = (executed.text == "BEGIN", matches!(&*executed.text, "COMMIT" | "ROLLBACK"));
        match open.get(&session) {
            Some(&unit) => units[unit].push(executed),
            None => units.push(vec![executed]),
        }
        if begins {
            open.insert(session, units.len() - 1);
        } else if ends {
            open.remove(&session);
        }
    }
    if !open.is_empty() {
        return Err("a transaction was still going on when everything should have been over".to_owned());
    }
    let is_frame = |executed: &Executed| matches!(&*executed.text, "BEGIN" | "COMMIT" | "ROLLBACK");
    units.retain(|unit| unit.iter().any(|executed| !is_frame(executed) && !background.contains(&executed.text)));
    Ok(units.concat())
}

/// How often each statement was executed, whatever is a value of it and whatever is written out.
pub(crate) fn texts(all: &[Executed]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for executed in all {
        let mut text = executed.text.clone();
        for (place, value) in executed.values.iter().enumerate().rev() {
            text = text.replace(&format!("${}", place + 1), if value.is_some() { "?" } else { "NULL" });
        }
        *counts.entry(text).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-23 10:00:00.000 UTC [7] db LOG:  execute sqlx_s_1: SELECT  a\n\
        \tFROM b WHERE c = $1 AND d = $2\n\
        2026-11-23 10:00:00.000 UTC [8] db LOG:  statement: BEGIN\n\
        2026-11-23 10:00:00.000 UTC [7] db DETAIL:  parameters: $1 = 'it''s [8] ', $2 = NULL\n\
        2026-11-23 10:00:00.000 UTC [8] db LOG:  execute <unnamed>: DELETE FROM b\n\
        2026-11-23 10:00:00.000 UTC [7] db LOG:  execute sqlx_s_2: SELECT e\n\
        2026-11-23 10:00:00.000 UTC [9] other LOG:  statement: SELECT 1\n\
        2026-11-23 10:00:00.000 UTC [8] db LOG:  statement: COMMIT;\n\
        2026-11-23 10:00:00.000 UTC [5] db LOG:  statement: SELECT 2\n\
        2026-11-23 10:00:00.000 UTC [3]  LOG:  checkpoint complete\n";

    #[test]
    fn statements_are_read_with_their_sessions_and_values() {
        let all = of_sessions(LOG, "db", "5");
        let found: Vec<_> = all.iter().map(|one| (&*one.session, &*one.text)).collect();
        let first = ("7", "SELECT a FROM b WHERE c = $1 AND d = $2");
        assert_eq!(found, [first, ("8", "BEGIN"), ("8", "DELETE FROM b"), ("7", "SELECT e"), ("8", "COMMIT")]);
        assert_eq!(all[0].values, [Some("it's [8] ".to_owned()), None]);
        let texts = texts(&all[..1]);
        assert_eq!(texts, BTreeMap::from([("SELECT a FROM b WHERE c = ? AND d = NULL".to_owned(), 1)]));
    }

    #[test]
    fn transactions_stay_whole_and_background_work_is_left_out() {
        let background = BTreeSet::from(["SELECT e".to_owned()]);
        let order = in_order(of_sessions(LOG, "db", "5"), &background).unwrap();
        let order: Vec<_> = order.iter().map(|one| &*one.text).collect();
        assert_eq!(order[1..], ["BEGIN", "DELETE FROM b", "COMMIT"]);
        let only_deletes = BTreeSet::from(["DELETE FROM b".to_owned(), "SELECT e".to_owned()]);
        assert_eq!(in_order(of_sessions(LOG, "db", "5"), &only_deletes).unwrap().len(), 1);
        let cut = &LOG[..LOG.find("[8] db LOG:  statement: COMMIT").unwrap()];
        assert!(in_order(of_sessions(cut, "db", "5"), &background).is_err());
    }
}

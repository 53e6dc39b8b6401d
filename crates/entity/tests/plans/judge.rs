//! Whether a plan is the one that the document promises.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cases::Case,
    database::Engine,
    exempt::{EXEMPT, May},
    plan::{Plan, Step},
    promise::{self, Key},
};

/// Of a plan in a finding.
const LINES: usize = 12;
/// Of a long line in a finding: characters at its ends.
const BEGIN: usize = 700;
const END: usize = 300;

/// What was seen of a table and a method.
#[derive(Default)]
struct Seen {
    keys: BTreeSet<&'static str>,
    inserts: bool,
    /// Another key than the one that the document names is as good.
    is_excused: bool,
}

/// Compares plans with the document, one after the other.
pub(crate) struct Judge {
    engine: Engine,
    keys: Vec<Key>,
    seen: BTreeMap<(String, &'static str), Seen>,
    called: BTreeSet<&'static str>,
    /// Which exemptions were needed, by their places.
    excused: BTreeSet<usize>,
    findings: Vec<String>,
}

impl Judge {
    pub(crate) fn new(engine: Engine) -> Self {
        let keys = promise::keys();
        let findings = promise::unnamed(&keys);
        let (seen, called, excused) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { engine, keys, seen, called, excused, findings }
    }

    /// Looks at all that a call made the store ask; `when`: which engine it is, and in which state.
    pub(crate) fn look_at(&mut self, when: &str, case: &Case, plans: &[Plan]) {
        self.called.insert(case.method);
        if plans.is_empty() {
            self.findings.push(format!("{} asks nothing on {when}", case.call));
        }
        let mut told = BTreeSet::new();
        for plan in plans {
            if let Some(table) = plan.inserts_into() {
                self.seen.entry((table.to_owned(), case.method)).or_default().inserts = true;
            }
            // The document names no methods for what the server asks itself, and for what comes before every write.
            let judged = |step| {
                if plan.holds_a_reference() {
                    self.wrong_for_a_reference(step)
                } else if plan.asks_who_holds_the_shard() {
                    self.wrong_at_the_door(step)
                } else {
                    self.wrong(case.method, step)
                }
            };
            let wrong: BTreeSet<_> = plan.steps.iter().filter_map(judged).collect();
            // A statement that was asked again with other values is told once.
            if !wrong.is_empty() && told.insert(&plan.statement) {
                self.findings.push(finding(case, when, plan, &wrong.into_iter().collect::<Vec<_>>()));
            }
        }
    }

    /// What breaks a rule, a paragraph each; with what the document promises and nobody saw, and what is exempt and need not be.
    pub(crate) fn findings(mut self) -> Vec<String> {
        for (table, method, key) in promise::promises(&self.keys) {
            let finding = match self.seen.get(&(table.to_owned(), method)) {
                Some(seen) if seen.keys.contains(key.name) || seen.is_excused => continue,
                // What an insert is held against stands in no plan.
                Some(seen) if seen.inserts && key.is_unique => continue,
                _ if !self.called.contains(method) => "no call of it is tried".to_owned(),
                None => format!("no call of it asks {table}"),
                Some(seen) if seen.keys.is_empty() => "it uses none".to_owned(),
                Some(seen) => format!("it uses {}", seen.keys.iter().copied().collect::<Vec<_>>().join(" and ")),
            };
            self.findings.push(format!("{table}: {} serves `{method}`, the document says, but {finding}", key.name));
        }
        for (at, exempt) in EXEMPT.iter().enumerate().filter(|_| self.engine == Engine::Sqlite) {
            if exempt.on.contains(&self.engine) && !self.excused.contains(&at) {
                let (method, may, why) = (exempt.method, exempt.may, exempt.why);
                self.findings.push(format!("`{method}` need not be exempt on {:?}: {may:?} ({why})", self.engine));
            }
        }
        self.findings
    }

    fn wrong(&mut self, method: &'static str, step: &Step) -> Option<String> {
        match step {
            Step::Scan(table) => {
                let is_excused = self.excuses(method, May::ReadTheTable);
                self.seen.entry((table.clone(), method)).or_default().is_excused |= is_excused;
                let said = promise::said(&self.keys, table, method);
                (!is_excused).then(|| format!("all of {table} is read; the document says {said}"))
            }
            Step::Sort if self.excuses(method, May::Sort) => None,
            Step::Sort => Some("rows are put in order, which an index could have given".to_owned()),
            Step::Unknown(what) => Some(format!("nobody knows what {what} is")),
            Step::Arbiter(index) => self.wrong_key(method, index),
            Step::Search { index, by } => {
                let wrong_key = self.wrong_key(method, index);
                wrong_key.or_else(|| self.too_much(method, index, by))
            }
        }
    }

    fn wrong_for_a_reference(&mut self, step: &Step) -> Option<String> {
        match step {
            Step::Search { index, by } => self.too_much("a reference", index, by),
            Step::Scan(table) => Some(format!("all of {table} is read to hold a reference")),
            _ => Some("a reference is held in a way that nobody knows".to_owned()),
        }
    }

    fn wrong_at_the_door(&mut self, step: &Step) -> Option<String> {
        match step {
            // Of the few shards of a transaction.
            Step::Sort => None,
            Step::Search { index, .. } if self.key(index).is_some_and(|key| key.name == "PK") => None,
            _ => Some("the map is not asked by its primary key".to_owned()),
        }
    }

    fn wrong_key(&mut self, method: &'static str, index: &str) -> Option<String> {
        let Some(key) = self.key(index).cloned() else { return Some(format!("{index} is in no document")) };
        let is_excused = !key.serves(method) && self.excuses(method, May::Use(key.name));
        let seen = self.seen.entry((key.table.to_owned(), method)).or_default();
        seen.keys.insert(key.name);
        seen.is_excused |= is_excused;
        let said = promise::said(&self.keys, key.table, method);
        let is_wrong = !key.serves(method) && !is_excused;
        is_wrong.then(|| format!("{} of {} is used; the document says {said}", key.name, key.table))
    }

    fn too_much(&mut self, method: &'static str, index: &str, by: &str) -> Option<String> {
        let key = self.key(index)?.clone();
        // One that begins with the shard and goes no further reads all that the shard holds, or skips from shard to shard.
        let goes_further = key.columns.iter().any(|column| *column != "shard" && has_word(by, column));
        let is_narrow = goes_further && !by.contains("ANY(");
        if is_narrow || key.is_partial || self.excuses(method, May::ReadTheShard) {
            return None;
        }
        Some(format!("too much of {} of {} is read: {by:?}", key.name, key.table))
    }

    /// Whether it is exempt, which is noted.
    fn excuses(&mut self, method: &str, may: May) -> bool {
        let engine = self.engine;
        let fits = |exempt: &crate::exempt::Exempt| {
            exempt.method == method && exempt.may == may && exempt.on.contains(&engine)
        };
        let at = EXEMPT.iter().position(fits);
        self.excused.extend(at);
        at.is_some()
    }

    /// The key behind the name that an engine has for it.
    fn key(&self, index: &str) -> Option<&Key> {
        let of_primary =
            index.strip_prefix("pk_").or_else(|| index.strip_prefix("sqlite_autoindex_")?.strip_suffix("_1"));
        self.keys.iter().find(|key| match of_primary {
            Some(table) => key.name == "PK" && key.table == table,
            None => key.name == index,
        })
    }
}

fn finding(case: &Case, when: &str, plan: &Plan, wrong: &[String]) -> String {
    let lines: Vec<_> = plan.lines.iter().take(LINES).map(|line| short(line)).collect();
    let more = if plan.lines.len() > LINES { "\n              …" } else { "" };
    let (wrong, lines, statement) = (wrong.join("; "), lines.join("\n              "), short(&plan.statement));
    format!("{}, on {when}: {wrong}\n  statement:  {statement}\n  plan:       {lines}{more}", case.call)
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

/// Without the middle: a list of a thousand shards says nothing.
fn short(text: &str) -> String {
    let (begin, end) = (BEGIN.min(text.len()), text.len().saturating_sub(END));
    match (text.get(..begin), text.get(end..)) {
        (Some(first), Some(last)) if begin < end => format!("{first} … {last}"),
        _ => text.to_owned(),
    }
}

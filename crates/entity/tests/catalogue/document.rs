//! The tables of `docs/data.md`, compared with a catalogue line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sea_orm::DbBackend;

use super::reader::{Catalogue, Kind, Table};

const DOCUMENT: &str = include_str!("../../../../docs/data.md");
/// Tables that SQLite does without.
const ON_POSTGRES_ONLY: [&str; 1] = ["migration_lock"];

/// What is said of a table, a line a column, key or relation; without `shard`, which every table begins with.
type Said = BTreeMap<String, BTreeSet<String>>;

/// What the document lists and the catalogue has not, and the other way round; and keys that serve nothing.
pub(crate) fn differences(catalogue: &Catalogue) -> Vec<String> {
    let (mut document, mut differences) = (Said::new(), Vec::new());
    let methods = methods(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    for (table, row) in rows() {
        document.entry(table.to_owned()).or_default();
        let Some([name, what, why]) = row else { continue };
        document.entry(table.to_owned()).or_default().insert(one_engine(&format!("{name} {what}"), catalogue.engine));
        if !what.contains('(') || what.starts_with("text(") || what.starts_with("binary(") {
            continue;
        }
        if why.is_empty() {
            differences.push(format!("{table}: the document does not say what {name} {what} is for"));
        }
        for word in quoted(why).filter(|word| !methods.contains(*word) && !is_a_name(word, catalogue)) {
            differences.push(format!("{table}: {name} {what} serves `{word}`, which is not there"));
        }
    }
    if catalogue.engine != DbBackend::Postgres {
        document.retain(|table, _| !ON_POSTGRES_ONLY.contains(&&**table));
    }
    let real = catalogue.tables.iter().map(|table| (table.name.clone(), lines(table, catalogue.engine))).collect();
    differences.extend(missing(&document, &real).map(|line| format!("only in the document: {line}")));
    differences.extend(missing(&real, &document).map(|line| format!("not in the document: {line}")));
    differences
}

/// What `one` has and `other` has not.
fn missing<'s>(one: &'s Said, other: &'s Said) -> impl Iterator<Item = String> {
    one.iter().flat_map(|(table, lines)| match other.get(table) {
        None => vec![format!("the table {table}")],
        Some(others) => lines.difference(others).map(|line| format!("{table}: {line}")).collect(),
    })
}

/// The rows of the tables of each table's section: its name with three cells, or with none to say that it has a section.
fn rows() -> Vec<(&'static str, Option<[&'static str; 3]>)> {
    let (_, tables) = DOCUMENT.split_once("\n## Tables\n").expect("a chapter of tables");
    let tables = tables.split_once("\n## ").map_or(tables, |(tables, _)| tables);
    let mut rows = Vec::new();
    for section in tables.split("\n### ").skip(1) {
        let (table, text) = section.split_once('\n').expect("a section below its title");
        rows.push((table, None));
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<_> = line.trim_matches('|').split(" |").map(str::trim).collect();
            let [name, what, why] = cells[..] else { panic!("three cells: {line}") };
            if !["column", "key"].contains(&name) {
                rows.push((table, Some([name, what, why])));
            }
        }
    }
    rows
}

/// What the catalogue says of a table, in the words of the document.
fn lines(table: &Table, engine: DbBackend) -> BTreeSet<String> {
    let columns = table
        .columns
        .iter()
        .filter(|column| column.name != "shard")
        .map(|column| format!("`{}` {}{}", column.name, column.kind, if column.is_null { " null" } else { "" }));
    let keys = table.keys.iter().map(|key| {
        let on = format!("({})", key.columns.join(", "));
        let on = key.condition.as_ref().map_or(on.clone(), |condition| format!("{on} where {condition}"));
        match key.kind {
            Kind::Primary => format!("PK {on}"),
            Kind::Unique => format!("`{}` unique {on}", key.name),
            Kind::Index => format!("`{}` {on}", key.name),
        }
    });
    let relations = table.relations.iter().map(|to| format!("→ {} ({})", to.table, to.columns.join(", ")));
    columns.chain(keys).chain(relations).map(|line| one_engine(&line, engine)).collect()
}

/// A line without what this engine does not tell.
fn one_engine(line: &str, engine: DbBackend) -> String {
    match engine {
        DbBackend::Postgres => line.replace(" binary(32)", " binary"),
        _ => line.replace(" bigint", " int"),
    }
}

/// Words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_a_name(word: &str, catalogue: &Catalogue) -> bool {
    catalogue.tables.iter().any(|table| {
        table.name == word
            || table.columns.iter().any(|column| column.name == word)
            || table.keys.iter().any(|key| key.name == word)
    })
}

/// The functions of this crate.
fn methods(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(methods(&path));
        } else {
            found.extend(functions(path));
        }
    }
    found
}

fn functions(path: PathBuf) -> Vec<String> {
    let source = fs::read_to_string(path).unwrap();
    let names = source.split(" fn ").skip(1).map(|rest| rest.split(['(', '<']).next().unwrap_or_default().to_owned());
    names.collect()
}

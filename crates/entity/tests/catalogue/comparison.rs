//! The tables of `docs/data.md`, compared with a catalogue line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use sea_orm::DbBackend;

use super::{
    document,
    reader::{Catalogue, Kind, Table},
};

/// Tables that SQLite does without.
const ON_POSTGRES_ONLY: [&str; 1] = ["migration_lock"];

/// What is said of a table, a line a column, key or relation; without `shard`, which every table begins with.
type Said = BTreeMap<String, BTreeSet<String>>;

/// What the document lists and the catalogue has not, and the other way round; and keys that serve nothing.
pub(crate) fn differences(catalogue: &Catalogue) -> Vec<String> {
    let (mut document, mut differences) = (Said::new(), Vec::new());
    let methods = methods();
    for (table, row) in document::rows() {
        document.entry(table.to_owned()).or_default();
        let Some([name, what, why]) = row else { continue };
        document.entry(table.to_owned()).or_default().insert(one_engine(&format!("{name} {what}"), catalogue.engine));
        if !what.contains('(') || what.starts_with("text(") || what.starts_with("binary(") {
            continue;
        }
        if why.is_empty() {
            differences.push(format!("{table}: the document does not say what {name} {what} is for"));
        }
        for word in document::quoted(why).filter(|word| !methods.contains(*word) && !is_a_name(word, catalogue)) {
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

fn is_a_name(word: &str, catalogue: &Catalogue) -> bool {
    catalogue.tables.iter().any(|table| {
        table.name == word
            || table.columns.iter().any(|column| column.name == word)
            || table.keys.iter().any(|key| key.name == word)
    })
}

/// The functions of this crate.
fn methods() -> BTreeSet<String> {
    let files = document::files(Path::new(document::SOURCES)).into_iter();
    files.flat_map(|file| document::functions(&fs::read_to_string(file).unwrap(), " fn ")).collect()
}

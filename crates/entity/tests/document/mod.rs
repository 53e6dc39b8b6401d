//! The chapter of tables in `docs/data.md`, as its tests read it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCUMENT: &str = include_str!("../../../../docs/data.md");

/// The crate whose methods the document names.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The rows of the tables of each table's section: its name with three cells, or with none to say that it has a section.
pub fn rows() -> Vec<(&'static str, Option<[&'static str; 3]>)> {
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

/// Words in backticks.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The files of a folder and of those within it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The functions of a file whose declaration has this before the name.
pub fn functions(source: &str, keyword: &str) -> BTreeSet<String> {
    let rest = source.split(keyword).skip(1);
    rest.map(|rest| rest.split(['(', '<']).next().unwrap_or_default().to_owned()).collect()
}

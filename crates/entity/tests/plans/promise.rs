//! Which keys the document names for which methods.

use std::{collections::BTreeSet, fs, path::Path};

use super::document;

/// Files without queries of tables of ours, by the beginning of their path in the crate.
const WITHOUT_TABLES: [(&str, &str); 3] = [
    ("store", "the databases themselves: which ones there are, and where each shard lies"),
    ("value", "no queries"),
    ("prepared.rs", "pg_prepared_xacts, a view of the server's"),
];

/// A key of a table and the methods that it serves.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) table: &'static str,
    /// `PK`, or that of the index.
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<&'static str>,
    /// It holds some of the rows: to read all of it is not to read all of the table.
    pub(crate) is_partial: bool,
    pub(crate) is_unique: bool,
    serves: BTreeSet<&'static str>,
}

impl Key {
    /// Whether the document says that it serves this method.
    pub(crate) fn serves(&self, method: &str) -> bool {
        self.serves.contains(method)
    }
}

/// Every key of every table, in the document's order.
pub(crate) fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for (table, row) in document::rows() {
        let Some([name, what, why]) = row else { continue };
        let of_key = what.strip_prefix("unique (").or_else(|| what.strip_prefix('('));
        let Some((columns, condition)) = of_key.and_then(|columns| columns.split_once(')')) else { continue };
        if name.starts_with('→') {
            continue;
        }
        keys.push(Key {
            table,
            name: name.trim_matches('`'),
            columns: columns.split(", ").collect(),
            is_unique: name == "PK" || what.starts_with("unique"),
            is_partial: condition.contains(" where "),
            serves: document::quoted(why).collect(),
        });
    }
    // A key may be served by another one; that is no method.
    let names: Vec<_> = keys.iter().map(|key| key.name).collect();
    keys.iter_mut().for_each(|key| key.serves.retain(|word| !names.contains(word)));
    keys
}

/// What the document promises, a method of a table and its key.
pub(crate) fn promises(keys: &[Key]) -> impl Iterator<Item = (&'static str, &'static str, &Key)> {
    keys.iter().flat_map(|key| key.serves.iter().map(move |method| (key.table, *method, key)))
}

/// What the document says about a method and a table.
pub(crate) fn said(keys: &[Key], table: &str, method: &str) -> String {
    let of_table = keys.iter().filter(|key| key.table == table);
    let named: Vec<_> = of_table.filter(|key| key.serves(method)).map(|key| key.name).collect();
    if named.is_empty() { "no key of it".to_owned() } else { named.join(" or ") }
}

/// Methods that ask a database and that no key is said to serve. Those of a module are looked for with the module's tables.
pub(crate) fn unnamed(keys: &[Key]) -> Vec<String> {
    let sources = Path::new(document::SOURCES);
    let (mut modules, mut unnamed) = (std::collections::BTreeMap::<String, Module>::new(), Vec::new());
    for path in document::files(sources) {
        let within = path.strip_prefix(sources).unwrap().display().to_string();
        if WITHOUT_TABLES.iter().any(|(beginning, _)| within.starts_with(beginning)) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let name = within.split(['/', '.']).next().unwrap_or_default().to_owned();
        let module = modules.entry(name).or_default();
        let tables = source.split("table_name = \"").skip(1).filter_map(|rest| rest.split('"').next());
        module.tables.extend(tables.map(str::to_owned));
        module.methods.extend(document::functions(&source, "pub async fn "));
    }
    for (name, module) in modules {
        let of_module: Vec<_> = keys.iter().filter(|key| module.tables.contains(key.table)).collect();
        let not_named = module.methods.iter().filter(|method| !of_module.iter().any(|key| key.serves(method)));
        unnamed.extend(not_named.map(|method| format!("{name}: the document names no key for `{method}`")));
    }
    unnamed
}

#[derive(Default)]
struct Module {
    tables: BTreeSet<String>,
    methods: BTreeSet<String>,
}

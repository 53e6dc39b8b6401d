//! Plans, in one form for both engines.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::Value;

/// How one statement is carried out.
pub(crate) struct Plan {
    pub(crate) statement: String,
    /// As the engine tells it, a line a step.
    pub(crate) lines: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// What matters of a plan.
pub(crate) enum Step {
    /// Rows are looked for in an index.
    Search {
        index: String,
        /// By what, in the engine's words; empty: all of the index is read.
        by: String,
    },
    /// The whole table is read.
    Scan(String),
    /// Rows are put in order.
    Sort,
    /// Of an insert: the key that tells what is there already.
    Arbiter(String),
    /// Nobody has thought about it yet.
    Unknown(String),
}

impl Plan {
    /// Whether the server itself asks, to hold a reference from table to table.
    pub(crate) fn holds_a_reference(&self) -> bool {
        self.statement.starts_with("SELECT 1 FROM ONLY ")
    }

    /// Whether it is what every write transaction begins with.
    pub(crate) fn asks_who_holds_the_shard(&self) -> bool {
        self.statement.contains(r#" FROM "shard_map" WHERE "shard_map"."shard" IN ("#)
    }

    /// The table that it inserts into.
    pub(crate) fn inserts_into(&self) -> Option<&str> {
        self.statement.strip_prefix("INSERT INTO ")?.trim_start_matches('"').split(['"', ' ']).next()
    }

    /// What SQLite would do.
    pub(crate) async fn of_sqlite(raw: &DatabaseConnection, statement: String) -> Self {
        let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = raw.query_all_raw(explain).await.unwrap();
        let mut lines: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        // Of rows by their keys: one like the other.
        lines.retain(|line| !line.starts_with("INDEX "));
        lines.dedup();
        let steps = lines.iter().filter_map(|line| sqlite_step(line)).collect();
        Self { statement, lines, steps }
    }

    /// What PostgreSQL did, from its report; `None` for another notice.
    pub(crate) fn of_postgres(notice: &str) -> Option<Self> {
        let (_, json) = notice.split_once("plan:\n")?;
        let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let mut plan = Self { statement: text(&report, "Query Text"), lines: vec![], steps: vec![] };
        plan.add(&report["Plan"], 0);
        Some(plan)
    }

    fn add(&mut self, node: &Value, depth: usize) {
        let (kind, index) = (text(node, "Node Type"), text(node, "Index Name"));
        let by = text(node, "Index Cond");
        let told = ["Relation Name", "Index Name", "Index Cond", "Filter", "Sort Key", "Plan Rows"];
        let told: Vec<_> =
            told.iter().filter_map(|name| node.get(name).map(|value| format!("{name}: {value}"))).collect();
        self.lines.push(format!("{}{kind} {}", "  ".repeat(depth), told.join(", ")));
        self.steps.extend(match &*kind {
            "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => Some(Step::Search { index, by }),
            "Seq Scan" | "Sample Scan" => Some(Step::Scan(text(node, "Relation Name"))),
            "Sort" | "Incremental Sort" => Some(Step::Sort),
            "Aggregate" | "Append" | "Bitmap Heap Scan" | "BitmapOr" | "BitmapAnd" | "Gather" | "Gather Merge"
            | "Group" | "Hash" | "Hash Join" | "Limit" | "LockRows" | "Materialize" | "Memoize" | "Merge Join"
            | "ModifyTable" | "Nested Loop" | "Result" | "Subquery Scan" | "Unique" | "Values Scan" => None,
            _ => Some(Step::Unknown(kind)),
        });
        let arbiters = node["Conflict Arbiter Indexes"].as_array().into_iter().flatten();
        self.steps.extend(arbiters.filter_map(Value::as_str).map(|index| Step::Arbiter(index.to_owned())));
        for below in node["Plans"].as_array().into_iter().flatten() {
            self.add(below, depth + 1);
        }
    }
}

fn text(node: &Value, name: &str) -> String {
    node[name].as_str().unwrap_or_default().to_owned()
}

/// One line of `EXPLAIN QUERY PLAN`; `None` for one that reads nothing itself.
pub(crate) fn sqlite_step(line: &str) -> Option<Step> {
    let unknown = || Some(Step::Unknown(line.to_owned()));
    let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
    match what {
        "SEARCH" | "SCAN" => {
            let using = rest.split_once(" USING INDEX ").or_else(|| rest.split_once(" USING COVERING INDEX "));
            let Some((_, index)) = using else {
                let is_no_table =
                    rest.starts_with('(') || rest.contains("CONSTANT ROW") || rest.ends_with("VALUES CLAUSE");
                return if is_no_table { None } else { Some(Step::Scan(rest.to_owned())) };
            };
            let (index, by) = index.split_once(' ').unwrap_or((index, ""));
            Some(Step::Search { index: index.to_owned(), by: by.to_owned() })
        }
        "USE" if rest.starts_with("TEMP B-TREE") => Some(Step::Sort),
        "MULTI-INDEX" | "CO-ROUTINE" | "MATERIALIZE" | "CORRELATED" | "LIST" | "SCALAR" | "COMPOUND" | "LEFT-MOST"
        | "UNION" => None,
        _ => unknown(),
    }
}

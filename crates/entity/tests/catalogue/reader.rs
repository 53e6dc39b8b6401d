//! The catalogue of a database, in one form for both engines.

use std::fmt;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement};

/// What a database says of itself.
pub(crate) struct Catalogue {
    pub(crate) engine: DbBackend,
    pub(crate) tables: Vec<Table>,
    pub(crate) triggers: Vec<String>,
}

pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) keys: Vec<Key>,
    pub(crate) relations: Vec<Relation>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As the document writes it: `bigint`, `text(64)`. SQLite's `integer` is `int` or `bigint`, and PostgreSQL's bytes have no
    /// length.
    pub(crate) kind: String,
    pub(crate) is_null: bool,
    pub(crate) is_generated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Primary,
    Unique,
    Index,
}

pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// In their order; an expression as it is written.
    pub(crate) columns: Vec<String>,
    /// Of a part of the rows, which.
    pub(crate) condition: Option<String>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.join(", ");
        match self.kind {
            Kind::Primary => write!(f, "the primary key ({columns})"),
            Kind::Unique => write!(f, "the unique index {} ({columns})", self.name),
            Kind::Index => write!(f, "the index {} ({columns})", self.name),
        }
    }
}

pub(crate) struct Relation {
    pub(crate) columns: Vec<String>,
    pub(crate) table: String,
    pub(crate) their_columns: Vec<String>,
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) → {} ({})", self.columns.join(", "), self.table, self.their_columns.join(", "))
    }
}

/// The statements that read one engine's catalogue. Lists are text, apart by commas.
struct Queries {
    tables: &'static str,
    triggers: &'static str,
    /// Of the table `$1`: name, type, null, generated.
    columns: &'static str,
    /// Of the table `$1`: name, `p`, `u` or `i`, columns, condition.
    keys: &'static str,
    /// Of the table `$1`: columns, table, its columns, on delete, on update.
    relations: &'static str,
}

const POSTGRES: Queries = Queries {
    tables: "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
        ORDER BY 1",
    triggers: "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    columns: "SELECT attname::text, format_type(atttypid, atttypmod), NOT attnotnull, attgenerated <> ''
        FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    keys: "SELECT relname::text, CASE WHEN indisprimary THEN 'p' WHEN indisunique THEN 'u' ELSE 'i' END,
        (SELECT string_agg(pg_get_indexdef(indexrelid, k, true), ',' ORDER BY k) FROM generate_series(1, indnkeyatts) AS k),
        pg_get_expr(indpred, indrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = $1::text::regclass ORDER BY 1",
    relations: "SELECT
        (SELECT string_agg(attname, ',' ORDER BY o) FROM unnest(conkey) WITH ORDINALITY AS u (n, o)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = n),
        confrelid::regclass::text,
        (SELECT string_agg(attname, ',' ORDER BY o) FROM unnest(confkey) WITH ORDINALITY AS u (n, o)
            JOIN pg_attribute ON attrelid = confrelid AND attnum = n),
        CASE confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'n' THEN 'SET NULL' ELSE 'other' END,
        CASE confupdtype WHEN 'a' THEN 'NO ACTION' ELSE 'other' END
        FROM pg_constraint WHERE contype = 'f' AND conrelid = $1::text::regclass ORDER BY 1, 2",
};

const SQLITE: Queries = Queries {
    tables: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    triggers: "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1",
    columns: r#"SELECT name, type, "notnull" = 0, hidden <> 0 FROM pragma_table_xinfo($1) ORDER BY cid"#,
    // A primary key of integers alone would have no index: it is read from the columns.
    keys: "SELECT $1, 'p', (SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk)), NULL
        UNION ALL
        SELECT list.name, CASE WHEN list.\"unique\" THEN 'u' ELSE 'i' END,
        (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(list.name) ORDER BY seqno)),
        CASE WHEN partial THEN substr(sql, instr(sql, ' WHERE ') + 7) END
        FROM pragma_index_list($1) AS list LEFT JOIN sqlite_master ON sqlite_master.name = list.name
        WHERE origin <> 'pk' ORDER BY 1",
    relations: r#"SELECT group_concat("from"), "table", group_concat("to"), max(on_delete), max(on_update)
        FROM (SELECT * FROM pragma_foreign_key_list($1) ORDER BY id, seq) GROUP BY id ORDER BY 1, 2"#,
};

/// Reads everything.
pub(crate) async fn read(database: &DatabaseConnection) -> Catalogue {
    let engine = database.get_database_backend();
    let queries = if engine == DbBackend::Postgres { POSTGRES } else { SQLITE };
    let mut tables = Vec::new();
    for row in rows(database, queries.tables, None).await {
        let name: String = text(&row, 0);
        tables.push(Table {
            columns: rows(database, queries.columns, Some(&name)).await.iter().map(|row| column(row, engine)).collect(),
            keys: rows(database, queries.keys, Some(&name)).await.iter().filter_map(key).collect(),
            relations: rows(database, queries.relations, Some(&name)).await.iter().map(relation).collect(),
            name,
        });
    }
    let triggers = rows(database, queries.triggers, None).await.iter().map(|row| text(row, 0)).collect();
    Catalogue { engine, tables, triggers }
}

async fn rows(database: &DatabaseConnection, query: &str, table: Option<&str>) -> Vec<QueryResult> {
    let values: Vec<sea_orm::Value> = table.into_iter().map(Into::into).collect();
    let statement = Statement::from_sql_and_values(database.get_database_backend(), query, values);
    database.query_all_raw(statement).await.expect(query)
}

fn column(row: &QueryResult, engine: DbBackend) -> Column {
    let is = |index| match engine {
        DbBackend::Postgres => row.try_get_by_index::<bool>(index).unwrap(),
        _ => row.try_get_by_index::<i64>(index).unwrap() != 0,
    };
    Column { name: text(row, 0), kind: kind(&text(row, 1)), is_null: is(2), is_generated: is(3) }
}

/// A type as the document writes it.
fn kind(declared: &str) -> String {
    let declared = declared.to_lowercase();
    let (name, size) =
        declared.split_once('(').map_or((&*declared, ""), |(name, size)| (name, size.trim_end_matches(')')));
    let name = match name {
        "character varying" | "varchar" => "text",
        "bytea" | "blob" => "binary",
        "integer" => "int",
        other => other,
    };
    if size.is_empty() { name.to_owned() } else { format!("{name}({size})") }
}

fn key(row: &QueryResult) -> Option<Key> {
    let kind = match &*text(row, 1) {
        "p" => Kind::Primary,
        "u" => Kind::Unique,
        _ => Kind::Index,
    };
    // Of a table without a primary key.
    let columns: Option<String> = row.try_get_by_index(2).unwrap();
    let condition: Option<String> = row.try_get_by_index(3).unwrap();
    let condition = condition.map(|text| text.replace(['(', ')'], "").to_lowercase());
    Some(Key { name: text(row, 0), kind, columns: list(&columns?), condition })
}

fn relation(row: &QueryResult) -> Relation {
    Relation {
        columns: list(&text(row, 0)),
        table: text(row, 1),
        their_columns: list(&text(row, 2)),
        on_delete: text(row, 3),
        on_update: text(row, 4),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).collect()
}

fn text(row: &QueryResult, index: usize) -> String {
    row.try_get_by_index(index).unwrap()
}

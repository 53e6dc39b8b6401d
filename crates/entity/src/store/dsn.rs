//! What a DSN says: which engine, and where.

use std::{fmt, path::PathBuf};

use runtime::Secret;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The forms that are accepted, for messages.
pub(super) const ALLOWED: &str = "sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE (no TLS yet; special \
                                  characters percent-encoded; ?host=/FOLDER for a unix socket)";

/// What a database runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file, with one writer at a time.
    Sqlite,
    /// A server, with many.
    Postgres,
}

/// One database, as it was named in `store.shards`.
#[derive(Clone)]
pub(super) enum Dsn {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Dsn {
    /// `None` unless it is of one of the [`ALLOWED`] forms. Why is not told: the reason might quote a password.
    pub(super) fn parse(dsn: &Secret) -> Option<Self> {
        let text = dsn.reveal();
        match text.strip_prefix("sqlite:") {
            Some(path) => sqlite_path(path).map(Self::Sqlite),
            None => postgres_options(text).map(|options| Self::Postgres(Box::new(options))),
        }
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

/// Without the user and the password.
impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(options) => {
                match options.get_socket() {
                    Some(folder) => folder.display().fmt(f)?,
                    None => f.write_str(options.get_host())?,
                }
                write!(f, ":{}/{}", options.get_port(), options.get_database().unwrap_or_default())
            }
        }
    }
}

/// With or without the slashes and the usual `?mode=rwc`.
fn sqlite_path(path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
    let is_file = !path.is_empty() && path != ":memory:" && !path.contains('?');
    is_file.then(|| PathBuf::from(path))
}

fn postgres_options(text: &str) -> Option<PgConnectOptions> {
    let after_scheme = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
    // A sign that was not percent-encoded would cut a password in two, and one half would be taken for a name to show.
    let (place, query) = after_scheme.split_once('?').unwrap_or((after_scheme, ""));
    let parameters = query.split('&').filter(|pair| !pair.is_empty());
    let known = |pair: &str| matches!(pair.split('=').next(), Some("host" | "port" | "user" | "password" | "dbname"));
    if text.contains('#') || !parameters.clone().all(known) {
        return None;
    }
    let at = place.rfind('@').unwrap_or(0);
    if place.find('/').is_some_and(|slash| slash < at) {
        return None;
    }
    let options: PgConnectOptions = text.parse().ok()?;
    options.get_database().filter(|database| !database.is_empty())?;
    Some(options.ssl_mode(PgSslMode::Disable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(dsn: &str) -> Option<String> {
        Dsn::parse(&Secret::new(dsn)).map(|dsn| dsn.to_string())
    }

    #[test]
    fn a_sqlite_file_in_any_usual_spelling() {
        assert_eq!(shown("sqlite://data/a.db").as_deref(), Some("data/a.db"));
        assert_eq!(shown("sqlite:///var/a.db?mode=rwc").as_deref(), Some("/var/a.db"));
        assert_eq!(shown("sqlite:a.db").as_deref(), Some("a.db"));
        for bad in ["", "a.db", "sqlite://", "sqlite::memory:", "sqlite://a.db?mode=ro", "mysql://u:p@h/db"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_server_is_shown_without_its_user_and_password() {
        for (dsn, expected) in [
            ("postgres://rider:hunter2@db.example:5433/rides", "db.example:5433/rides"),
            ("postgresql://rider:hunter2@[::1]/rides", "[::1]:5432/rides"),
            ("postgres://rider:h%2Funter%402@10.0.0.1:5432/rides", "10.0.0.1:5432/rides"),
            ("postgres:///rides?host=/run/postgresql&user=rider&password=hunter2", "/run/postgresql:5432/rides"),
            ("postgres://rider:hunter2@localhost:7000/rides?host=/tmp/sockets", "/tmp/sockets:7000/rides"),
        ] {
            assert_eq!(shown(dsn).as_deref(), Some(expected), "{dsn}");
        }
    }

    #[test]
    fn what_would_be_taken_for_something_else_is_refused() {
        for bad in [
            "postgres://",
            "postgres://rider:hunter2@host",
            "postgres://rider:hunter2@host/",
            "postgres://rider:12/34@host/rides",
            "postgres://rider:12?34@host/rides",
            "postgres://rider:12#34@host/rides",
            "postgres://rider:hunter2@host:notaport/rides",
            "postgres://rider:hunter2@host/rides?sslmode=require",
            "postgres://rider:hunter2@host/rides?options=-csearch_path=x",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}

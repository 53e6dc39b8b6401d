//! What is in effect, for people: every value with where it came from, secrets hidden.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Every setting of every section, in the order in which sections were taken.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Line>);

#[derive(Debug)]
struct Line {
    section: &'static str,
    key: String,
    value: String,
    origin: String,
}

impl Report {
    /// Adds a section. [`runtime::Secret`] hides itself when it is serialised; passwords in addresses are hidden here.
    pub(super) fn add<T: Serialize>(&mut self, section: &'static str, config: &T, origin: impl Fn(&str) -> String) {
        let mut lines = Vec::new();
        // A settings struct always serialises; if one did not, its section would be empty here and still be in effect.
        flatten(String::new(), serde_json::to_value(config).unwrap_or_default(), &mut lines);
        self.0.extend(lines.into_iter().map(|(key, value)| {
            let origin = origin(&key);
            Line { section, key, value: value.to_string(), origin }
        }));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for line in &self.0 {
            if line.section != section {
                section = line.section;
                writeln!(f, "[{section}]")?;
            }
            writeln!(f, "{} = {}  # {}", line.key, line.value, line.origin)?;
        }
        Ok(())
    }
}

fn flatten(key: String, value: Value, lines: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(key, value, lines);
            }
        }
        Value::Null => lines.push((key, Value::from("not set"))),
        value => lines.push((key, hidden(value))),
    }
}

fn hidden(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_password(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(hidden).collect()),
        other => other,
    }
}

/// `postgres://user:secret@host/db` with `…` for the secret.
fn without_password(address: String) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // The last @ ends the user: a password may hold one that nobody encoded.
    let Some((user, host)) = authority.rsplit_once('@') else { return address };
    let Some((name, _)) = user.split_once(':') else { return address };
    format!("{scheme}://{name}:…@{host}{}", &rest[authority.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_hidden_and_nothing_else() {
        let shown = |text: &str| without_password(text.to_owned());
        assert_eq!(
            shown("postgres://app:s3cr@t@db:5432/rides?sslmode=on"),
            "postgres://app:…@db:5432/rides?sslmode=on"
        );
        for open in ["sqlite://data/gateway.db", "postgres://app@db/rides", "http://host/a:b@c", "127.0.0.1:80", "@:"] {
            assert_eq!(shown(open), open);
        }
    }
}

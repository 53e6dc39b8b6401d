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
    /// Adds a section. What is secret, an address with a password too, is a [`runtime::Secret`]: it hides itself.
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
        value => lines.push((key, value)),
    }
}

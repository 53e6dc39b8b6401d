//! The one layered configuration: built-in defaults, `default.toml`, `<profile>.toml`, the environment. It knows no
//! component's keys: each component owns its section's type and takes the section from here.

mod report;
mod source;

use std::{collections::BTreeMap, fmt};

use config::{Map, Value, ValueKind};
use runtime::Invalid;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use report::Report;
pub(crate) use source::{Profile, Sources};

use source::Origins;

/// Settings that were read and not yet handed to their owners.
pub(crate) struct Sections {
    left: BTreeMap<String, Value>,
    origins: Origins,
    known: Vec<&'static str>,
    report: Report,
    problems: Vec<Problem>,
}

impl Sections {
    /// Reads every layer. What cannot be read is a problem that [`Sections::finish`] tells, beside all others.
    pub(crate) fn load(sources: &Sources) -> Self {
        let (left, problems) = sources.read();
        Self { left, origins: sources.origins(), known: Vec::new(), report: Report::default(), problems }
    }

    /// Hands a component its section: what was set over the defaults in code. With a bad value the problem is kept
    /// for [`Sections::finish`] and the rest of the section is still looked at.
    pub(crate) fn take<T>(&mut self, section: &'static str, validate: impl Fn(&T) -> Result<(), Invalid>) -> T
    where
        T: DeserializeOwned + Serialize + Default,
    {
        self.known.push(section);
        let given = self.table(section);
        let mut good = given.clone();
        let config = loop {
            let (key, reason) = match serde_path_to_error::deserialize(Value::new(None, good.clone())) {
                Ok(config) => match validate(&config) {
                    Ok(()) => break config,
                    Err(Invalid { key, allowed }) => (key.to_owned(), format!("allowed is {allowed}")),
                },
                Err(error) => (error.path().to_string(), plain(error.into_inner())),
            };
            let origin = self.origins.describe(section, &key, &given);
            self.problems.push(Problem { key: format!("{section}.{key}"), origin, reason });
            // Without the bad value the next one shows. Each turn drops one key, so this ends.
            let top = key.split(['.', '[']).next().unwrap_or_default();
            if good.remove(top).is_none() {
                break T::default();
            }
        };
        self.report.add(section, &config, |key| self.origins.describe(section, key, &given));
        config
    }

    /// What is in effect and where it came from, once every owner has taken its section.
    ///
    /// # Errors
    /// Everything that is wrong, including sections that nobody owns.
    pub(crate) fn finish(mut self) -> Result<Report, Problems> {
        self.known.sort_unstable();
        for (section, value) in &self.left {
            self.problems.push(Problem {
                key: section.clone(),
                origin: self.origins.of_section(section, value),
                reason: format!("no such section; there are {}", self.known.join(", ")),
            });
        }
        if self.problems.is_empty() { Ok(self.report) } else { Err(Problems(self.problems)) }
    }

    fn table(&mut self, section: &'static str) -> Map<String, Value> {
        let Some(value) = self.left.remove(section) else { return Map::new() };
        if let ValueKind::Table(table) = value.kind {
            return table;
        }
        self.problems.push(Problem {
            key: section.to_owned(),
            origin: self.origins.of_section(section, &value),
            reason: "this is a section: set its keys".to_owned(),
        });
        Map::new()
    }
}

/// The reason without key and origin, which are told beside it.
fn plain(error: config::ConfigError) -> String {
    use config::ConfigError::{At, Type};
    match error {
        Type { unexpected, expected, .. } => format!("it is {unexpected}, allowed is {expected}"),
        At { error, .. } => plain(*error),
        other => other.to_string(),
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `section.key`, a section, or a file.
    key: String,
    /// Where the value came from.
    origin: String,
    /// What is wrong and what is allowed.
    reason: String,
}

/// Everything that is wrong, so that one start tells it all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.0.len())?;
        self.0.iter().try_for_each(|Problem { key, origin, reason }| write!(f, "\n  `{key}` ({origin}): {reason}"))
    }
}

#[cfg(test)]
mod tests;

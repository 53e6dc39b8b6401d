//! Where settings come from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::Problem;

/// What every variable starts with: `GATEWAY__SECTION__KEY`.
const PREFIX: &str = "GATEWAY";
const SEPARATOR: &str = "__";
/// What `config` calls the origin of every variable.
const ENVIRONMENT: &str = "the environment";
/// Looked into when no folder is named, if it is there.
const DEFAULT_DIR: &str = "config";

/// Which settings a process starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// One's own machine: works without any setting.
    Local,
    /// Real passengers: refuses what is only good for `Local`.
    Production,
    /// Any other; its file must exist.
    Other(String),
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match name {
            "local" => Ok(Self::Local),
            "production" => Ok(Self::Production),
            // It becomes a file's name.
            other if !other.is_empty() && other != "default" && other.chars().all(is_plain) => {
                Ok(Self::Other(other.to_owned()))
            }
            _ => Err("allowed is local, production, or a name of a-z, 0-9 and -".to_owned()),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Production => "production",
            Self::Other(name) => name,
        })
    }
}

/// Whether a variable of this name is a setting.
fn is_ours(name: &str) -> bool {
    let prefix = format!("{PREFIX}{SEPARATOR}");
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
}

/// The layers, lowest first: `default.toml`, `<profile>.toml`, the environment.
pub(crate) struct Sources {
    dir: Option<PathBuf>,
    profile: Profile,
    environment: BTreeMap<String, String>,
    /// Variables of ours that are not text.
    unreadable: Vec<String>,
}

impl Sources {
    /// The files of `dir` (without one: of `config`, if it exists) under this process's environment.
    pub(crate) fn of_process(dir: Option<PathBuf>, profile: Profile) -> Self {
        let dir = dir.or_else(|| Some(PathBuf::from(DEFAULT_DIR)).filter(|dir| dir.is_dir()));
        let (mut text, mut unreadable) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            match (name.to_str(), value.into_string()) {
                (Some(name), Ok(value)) => text.push((name.to_owned(), value)),
                _ => unreadable.push(name.to_string_lossy().into_owned()),
            }
        }
        unreadable.retain(|name| is_ours(name));
        Self { unreadable, ..Self::new(dir, profile, text) }
    }

    pub(super) fn new(
        dir: Option<PathBuf>,
        profile: Profile,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment = environment.into_iter().filter(|(name, _)| is_ours(name)).collect();
        Self { dir, profile, environment, unreadable: Vec::new() }
    }

    /// Every layer over the one below, by section, and what could not be read.
    pub(super) fn read(&self) -> (BTreeMap<String, Value>, Vec<Problem>) {
        let not_text = |name: &String| Problem {
            key: name[PREFIX.len() + SEPARATOR.len()..].to_lowercase().replace(SEPARATOR, "."),
            origin: format!("environment variable {name}"),
            reason: "its name and its value must be UTF-8".to_owned(),
        };
        let mut problems: Vec<_> = self.unreadable.iter().map(not_text).collect();
        let mut merged = config::Config::builder();
        for path in self.files(&mut problems) {
            let file = File::new(&path.to_string_lossy(), FileFormat::Toml);
            match file.collect() {
                Ok(_) => merged = merged.add_source(file),
                Err(error) => problems.push(Problem {
                    key: path.display().to_string(),
                    origin: "file".to_owned(),
                    reason: without_snippet(&error.to_string()),
                }),
            }
        }
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(Some(self.variables(&mut problems)));
        match merged.add_source(environment).build().and_then(|merged| merged.collect()) {
            Ok(sections) => (sections.into_iter().collect(), problems),
            Err(error) => {
                problems.push(Problem {
                    key: format!("{PREFIX}{SEPARATOR}…"),
                    origin: "environment".to_owned(),
                    reason: format!("a variable is named {PREFIX}__SECTION__KEY; {error}"),
                });
                (BTreeMap::new(), problems)
            }
        }
    }

    /// The variables, without those that set a value where another one sets a key or the same value: `config` would hear one
    /// of the two.
    fn variables(&self, problems: &mut Vec<Problem>) -> Map<String, String> {
        let mut variables = Map::new();
        for (name, value) in &self.environment {
            let table = format!("{name}{SEPARATOR}");
            let is_key =
                |other: &&String| other.get(..table.len()).is_some_and(|start| start.eq_ignore_ascii_case(&table));
            let is_same = |other: &&String| *other != name && other.eq_ignore_ascii_case(name);
            if let Some(same) = self.environment.keys().find(is_same) {
                problems.push(Problem {
                    key: name[PREFIX.len() + SEPARATOR.len()..].to_lowercase().replace(SEPARATOR, "."),
                    origin: format!("environment variable {name}"),
                    reason: format!("{same} sets it as well: one spelling is enough"),
                });
                continue;
            }
            match self.environment.keys().find(is_key) {
                Some(inner) => problems.push(Problem {
                    key: name[PREFIX.len() + SEPARATOR.len()..].to_lowercase().replace(SEPARATOR, "."),
                    origin: format!("environment variable {name}"),
                    reason: format!("{inner} sets a key of it"),
                }),
                None => drop(variables.insert(name.clone(), value.clone())),
            }
        }
        variables
    }

    /// The configuration folder, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    pub(super) fn origins(&self) -> Origins {
        Origins { variables: self.environment.keys().cloned().collect() }
    }

    /// The files that exist, lowest layer first. A folder or profile that somebody named must be there.
    fn files(&self, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut missing = |key: &str, path: &Path, reason: &str| {
            let (key, origin) = (key.to_owned(), path.display().to_string());
            problems.push(Problem { key, origin, reason: reason.to_owned() });
        };
        if let Some(dir) = &self.dir {
            if !dir.is_dir() {
                missing("--config-dir", dir, "there is no such folder");
            }
            files.extend([dir.join("default.toml")].into_iter().filter(|file| file.is_file()));
        }
        let dir = self.dir.as_deref().unwrap_or(Path::new(DEFAULT_DIR));
        let own = dir.join(format!("{}.toml", self.profile));
        if own.is_file() {
            files.push(own);
        } else if matches!(self.profile, Profile::Other(_)) {
            missing("--profile", &own, "a profile other than local and production needs its file");
        }
        files
    }
}

/// What a parser says on one line, without the lines of the file that it shows: one may hold a secret.
fn without_snippet(message: &str) -> String {
    let shows_the_file =
        |line: &&str| !line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    let said: Vec<&str> = message.lines().filter(shows_the_file).map(str::trim).collect();
    said.join("; ")
}

/// Tells where a value came from.
pub(super) struct Origins {
    variables: Vec<String>,
}

impl Origins {
    /// The origin of `key` (which may lead into nested tables and lists) in a section's table.
    pub(super) fn describe(&self, section: &str, key: &str, table: &Map<String, Value>) -> String {
        let mut keys = key.split(['.', '[']);
        let mut found = keys.next().and_then(|key| table.get(key));
        let mut origin = found.and_then(Value::origin);
        for key in keys {
            let Some(ValueKind::Table(inner)) = found.map(|value| &value.kind) else { break };
            found = inner.get(key);
            origin = found.and_then(Value::origin);
        }
        match origin {
            Some(file) if file != ENVIRONMENT => format!("file {file}"),
            None if found.is_none() => "built-in default".to_owned(),
            // A table that only variables fill has no origin of its own.
            _ => self.variable(&format!("{section}.{key}")),
        }
    }

    /// The origin of a whole section.
    pub(super) fn of_section(&self, section: &str, value: &Value) -> String {
        match &value.kind {
            ValueKind::Table(table) if !table.is_empty() => {
                let mut origins: Vec<_> = table.keys().map(|key| self.describe(section, key, table)).collect();
                origins.sort_unstable();
                origins.dedup();
                origins.join(", ")
            }
            _ => match value.origin() {
                Some(file) if file != ENVIRONMENT => format!("file {file}"),
                _ => self.variable(section),
            },
        }
    }

    /// The variable as it was written; a name of ours matches in any case.
    fn variable(&self, path: &str) -> String {
        let name = format!("{PREFIX}.{path}").replace('.', SEPARATOR);
        let written = self.variables.iter().find(|variable| variable.eq_ignore_ascii_case(&name));
        format!("environment variable {}", written.unwrap_or(&name.to_uppercase()))
    }
}

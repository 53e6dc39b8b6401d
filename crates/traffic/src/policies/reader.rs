//! Reads a TOML table key by key and notes every mistake with its line, instead of stopping at the first.

use std::{
    fmt::Display,
    ops::{Range, RangeInclusive},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Mistake, Mistakes};

/// A file, and what was found wrong with it so far.
pub(crate) struct Reader {
    /// Where each line starts, bytes.
    lines: Vec<usize>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// The whole file as a table.
    ///
    /// # Errors
    /// It is not TOML. A key that was written twice is a mistake like any other: the rest is read.
    pub(super) fn open(text: &str) -> Result<(Self, Fields<'_>), Mistakes> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut reader = Self { lines: std::iter::once(0).chain(ends).collect(), mistakes: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut is_readable = true;
        for error in &errors {
            let at = error.span().unwrap_or(0..0);
            let is_twice = error.message().starts_with("duplicate key");
            is_readable &= is_twice;
            let text = match text.get(at.clone()) {
                Some(key) if is_twice => format!("`{key}`: is here twice"),
                _ => format!("not TOML: {}", error.message()),
            };
            reader.wrong(&at, text);
        }
        if !is_readable {
            return Err(Mistakes::new(reader.mistakes));
        }
        let at = table.span();
        Ok((reader, Fields { path: String::new(), at, left: table.into_inner(), known: Vec::new() }))
    }

    /// Notes a mistake.
    pub(crate) fn wrong(&mut self, at: &Range<usize>, text: impl Into<String>) {
        let line = self.lines.partition_point(|start| *start <= at.start);
        self.mistakes.push(Mistake { line, text: text.into() });
    }

    /// How many were noted so far.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    /// `value` unless there was a mistake.
    pub(super) fn close<T>(self, value: T) -> Result<T, Mistakes> {
        if self.mistakes.is_empty() { Ok(value) } else { Err(Mistakes::new(self.mistakes)) }
    }
}

/// There was a mistake, and it is noted.
pub(crate) struct Noted;

/// A value and where it stands.
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) at: Range<usize>,
}

impl<T> Given<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        Given { value: change(self.value), at: self.at }
    }
}

/// The keys of a table that were not asked for yet.
pub(crate) struct Fields<'t> {
    /// What a mistake's text puts before a key.
    path: String,
    /// Where the table stands.
    pub(crate) at: Range<usize>,
    left: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    /// A value called `name` as a table of its own; `path` is what a mistake's text puts before its keys.
    pub(crate) fn of(reader: &mut Reader, name: &str, path: &str, value: Spanned<DeValue<'t>>) -> Option<Self> {
        let at = value.span();
        match value.into_inner() {
            DeValue::Table(left) => Some(Self { path: path.to_owned(), at, left, known: Vec::new() }),
            other => {
                reader.wrong(&at, format!("`{name}`: it is {}, allowed is a table", kind(&other)));
                None
            }
        }
    }

    /// The value of this key, and that there is such a key.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// A key's full name in a mistake's text.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// A whole number within these bounds; `unit` says what it counts.
    pub(crate) fn number(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        allowed: RangeInclusive<u32>,
        unit: &str,
    ) -> Result<Option<Given<u32>>, Noted> {
        let Some(given) = self.take(key) else { return Ok(None) };
        number(reader, &self.name(key), &given, allowed, unit).map(Some).ok_or(Noted)
    }

    /// A number with a fraction or without.
    pub(crate) fn float(&mut self, reader: &mut Reader, key: &'static str) -> Option<Given<f64>> {
        let given = self.take(key)?;
        float(reader, &self.name(key), &given)
    }

    /// A text.
    pub(crate) fn text(&mut self, reader: &mut Reader, key: &'static str) -> Result<Option<Given<String>>, Noted> {
        let Some(given) = self.take(key) else { return Ok(None) };
        text(reader, &self.name(key), given).map(Some).ok_or(Noted)
    }

    /// What was read of a key that must be there.
    pub(crate) fn required<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        allowed: &str,
        given: Result<Option<T>, Noted>,
    ) -> Option<T> {
        if let Ok(None) = given {
            reader.wrong(&self.at, format!("`{}`: is missing, allowed is {allowed}", self.name(key)));
        }
        given.ok().flatten()
    }

    /// A text that is one of these names.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        names: &[(&str, T)],
    ) -> Option<Given<T>> {
        let given = self.text(reader, key).ok().flatten()?;
        let found = names.iter().find(|(name, _)| *name == given.value);
        if found.is_none() {
            let known = listed(names.iter().map(|(name, _)| name));
            reader.wrong(&given.at, format!("`{}`: it is {:?}, allowed is {known}", self.name(key), given.value));
        }
        found.map(|(_, value)| Given { value: *value, at: given.at })
    }

    /// The items of a list, at most so many.
    pub(crate) fn list(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        most: usize,
    ) -> Result<Option<Given<Vec<Item<'t>>>>, Noted> {
        let Some(given) = self.take(key) else { return Ok(None) };
        let (at, name) = (given.span(), self.name(key));
        let why = match given.into_inner() {
            DeValue::Array(items) if items.len() <= most => {
                return Ok(Some(Given { value: items.iter().cloned().collect(), at }));
            }
            DeValue::Array(items) => format!("it has {} entries, allowed are at most {most}", items.len()),
            other => format!("it is {}, allowed is a list", kind(&other)),
        };
        reader.wrong(&at, format!("`{name}`: {why}"));
        Err(Noted)
    }

    /// Whatever else is there, with its name: for a table whose keys are names of something.
    pub(crate) fn rest(self) -> impl Iterator<Item = (Given<String>, Spanned<DeValue<'t>>)> {
        self.left.into_iter().map(|(key, value)| {
            let at = key.span();
            (Given { value: key.into_inner().into_owned(), at }, value)
        })
    }

    /// Whatever nobody asked for is a mistake.
    pub(crate) fn finish(self, reader: &mut Reader) {
        let known = listed(self.known.iter());
        for key in self.left.keys() {
            let name = format!("{}{}", self.path, key.get_ref());
            reader.wrong(&key.span(), format!("`{name}`: no such key; there are {known}"));
        }
    }
}

/// An entry of a list.
pub(crate) type Item<'t> = Spanned<DeValue<'t>>;

/// A whole number within these bounds.
pub(crate) fn number(
    reader: &mut Reader,
    name: &str,
    given: &Item<'_>,
    allowed: RangeInclusive<u32>,
    unit: &str,
) -> Option<Given<u32>> {
    let at = given.span();
    let (least, most) = (allowed.start(), allowed.end());
    let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let DeValue::Integer(digits) = given.get_ref() else {
        let is = kind(given.get_ref());
        reader.wrong(&at, format!("`{name}`: it is {is}, allowed is {least} to {most}{unit}"));
        return None;
    };
    let read = u32::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|n| allowed.contains(n));
    if read.is_none() {
        reader.wrong(&at, format!("`{name}`: it is {digits}, allowed is {least} to {most}{unit}"));
    }
    read.map(|value| Given { value, at })
}

/// A number with a fraction or without.
pub(crate) fn float(reader: &mut Reader, name: &str, given: &Item<'_>) -> Option<Given<f64>> {
    let digits = match given.get_ref() {
        DeValue::Integer(digits) if digits.radix() == 10 => Some(digits.as_str()),
        DeValue::Float(digits) => Some(digits.as_str()),
        _ => None,
    };
    let read = digits.and_then(|digits| digits.parse().ok());
    if read.is_none() {
        let is = kind(given.get_ref());
        reader.wrong(&given.span(), format!("`{name}`: it is {is}, allowed is a number"));
    }
    read.map(|value| Given { value, at: given.span() })
}

/// A text.
pub(crate) fn text(reader: &mut Reader, name: &str, given: Item<'_>) -> Option<Given<String>> {
    let at = given.span();
    match given.into_inner() {
        DeValue::String(text) => Some(Given { value: text.into_owned(), at }),
        other => {
            reader.wrong(&at, format!("`{name}`: it is {}, allowed is a text in quotes", kind(&other)));
            None
        }
    }
}

/// `a, b, c`.
pub(super) fn listed(names: impl Iterator<Item: Display>) -> String {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.join(", ")
}

/// What a value is, for whoever wrote it.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

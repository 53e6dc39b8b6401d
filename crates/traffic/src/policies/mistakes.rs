//! What is wrong with a policies file, each with its line.

use std::fmt;

use serde::Serialize;

/// More are counted, not told: whoever made so many has seen enough to begin.
const MOST_TOLD: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mistake {
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.text),
            line => write!(f, "line {line}: {}", self.text),
        }
    }
}

/// Everything that is wrong with a file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The same in the order of lines, not more than anybody reads.
    pub(crate) fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort();
        mistakes.dedup();
        if mistakes.len() > MOST_TOLD {
            let more = mistakes.split_off(MOST_TOLD);
            let line = more.first().map_or(1, |mistake| mistake.line);
            mistakes.push(Mistake { line, text: format!("and {} more mistakes from here on", more.len()) });
        }
        Self(mistakes)
    }

    /// One mistake that has no line of its own.
    pub(crate) fn whole(text: impl Into<String>) -> Self {
        Self(vec![Mistake { line: 0, text: text.into() }])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

/// One line each.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{mistake}")?;
        }
        Ok(())
    }
}

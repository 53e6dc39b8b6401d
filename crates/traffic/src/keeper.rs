//! Where the policies of a running process come from, and how they change: their file is looked at, an operator sends
//! others. What is refused changes nothing.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use runtime::Millis;
use serde::Serialize;

use crate::{
    Admission, Changed, Nanos,
    policies::{MAX_FILE, Mistakes, Policies},
};

/// The file of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a process may start without it, on what is built in.
    pub is_optional: bool,
}

/// The policies that a process starts with.
#[derive(Clone, Debug)]
pub struct Start {
    /// What holds at first.
    pub policies: Policies,
    file: Option<PolicyFile>,
    source: Source,
    judged: Option<Content>,
}

/// A process cannot start with its policies file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policies file {} is refused:{}", path.display(), indented(mistakes))]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// All that is wrong with it.
    pub mistakes: Mistakes,
}

/// Where policies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// They are in the program.
    BuiltIn,
    /// From the file.
    File,
    /// An operator sent them: until the file changes, or a restart.
    Operator,
}

/// How things are with the policies.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where those in effect come from.
    pub source: Source,
    /// The file that is looked at.
    pub file: Option<PathBuf>,
    /// Since when they hold.
    pub loaded_at: Millis,
    /// The file's last state, if it was refused.
    pub refused: Option<RefusedFile>,
}

/// A state of the file that was refused.
#[derive(Clone, Debug)]
pub struct RefusedFile {
    /// When.
    pub at: Millis,
    /// Why.
    pub mistakes: Mistakes,
}

/// Keeps the policies of a process. Its calls that look at the file wait for the disk.
pub struct Keeper {
    admission: Arc<Admission>,
    file: Option<PolicyFile>,
    /// One look at a time, so that an older state never comes after a newer one.
    looking: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    source: Source,
    loaded_at: Millis,
    refused: Option<RefusedFile>,
    /// What the file said when it was last taken or refused.
    judged: Option<Content>,
    /// What it said at the last look, if that was another thing: perhaps only half of it.
    seen: Option<Content>,
}

/// What a file says, or why nobody knows.
type Content = Result<String, String>;

impl Start {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// It is there (or has to be) and cannot be used.
    pub fn read(file: Option<PolicyFile>) -> Result<Self, Unusable> {
        let built_in = |file, judged| Self { policies: Policies::built_in(), file, source: Source::BuiltIn, judged };
        let Some(file) = file else { return Ok(built_in(None, None)) };
        let content = content(&file.path);
        if content.is_err() && file.is_optional && !file.path.exists() {
            return Ok(built_in(Some(file), Some(content)));
        }
        match judge(&content) {
            Ok(policies) => Ok(Self { policies, file: Some(file), source: Source::File, judged: Some(content) }),
            Err(mistakes) => Err(Unusable { path: file.path, mistakes }),
        }
    }
}

impl Keeper {
    /// Keeps the policies of `admission`, which was built with those of `start` at `at`.
    #[must_use]
    pub fn new(admission: Arc<Admission>, start: Start, at: Millis) -> Self {
        let Start { file, source, judged, .. } = start;
        let state = State { source, loaded_at: at, refused: None, judged, seen: None };
        Self { admission, file, looking: Mutex::default(), state: Mutex::new(state) }
    }

    /// Looks at the file, and takes or refuses it if it is another than before and the same as at the last look: a file that
    /// is being written is left alone. Waits for the disk.
    pub fn look(&self, now: Nanos, at: Millis) {
        let Some(file) = &self.file else { return };
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let content = content(&file.path);
        let mut state = self.state();
        if state.judged.as_ref() == Some(&content) {
            state.seen = None;
        } else if state.seen.as_ref() == Some(&content) {
            // The log and the metric have told what it is.
            let _ = self.take(&mut state, &file.path, content, now, at);
        } else {
            state.seen = Some(content);
        }
    }

    /// Reads the file now, whether it has changed or not; `None` when there is none to read. Waits for the disk.
    ///
    /// # Errors
    /// All that is wrong with it: what was in effect stays.
    pub fn reload(&self, now: Nanos, at: Millis) -> Option<Result<Changed, Mistakes>> {
        let file = self.file.as_ref()?;
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let content = content(&file.path);
        Some(self.take(&mut self.state(), &file.path, content, now, at))
    }

    /// Takes policies from an operator, until the file changes, or a restart.
    ///
    /// # Errors
    /// All that is wrong with the text: what was in effect stays.
    pub fn put(&self, text: &str, now: Nanos, at: Millis) -> Result<Changed, Mistakes> {
        let mut state = self.state();
        match Policies::parse(text) {
            Ok(policies) => Ok(self.apply(&mut state, policies, Source::Operator, now, at)),
            Err(mistakes) => {
                self.admission.metrics.count_reload("refused");
                tracing::warn!(mistakes = on_one_line(&mistakes), "an operator's policies are refused");
                Err(mistakes)
            }
        }
    }

    /// An operator sent what cannot even be looked at: it counts as refused.
    pub fn could_not_read(&self, why: &str) {
        self.admission.metrics.count_reload("refused");
        tracing::warn!(why, "an operator's policies cannot be read");
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> Status {
        let State { source, loaded_at, ref refused, .. } = *self.state();
        let file = self.file.as_ref().map(|file| file.path.clone());
        Status { source, file, loaded_at, refused: refused.clone() }
    }

    fn take(
        &self,
        state: &mut State,
        path: &Path,
        content: Content,
        now: Nanos,
        at: Millis,
    ) -> Result<Changed, Mistakes> {
        let judged = judge(&content);
        state.judged = Some(content);
        state.seen = None;
        match judged {
            Ok(policies) => {
                state.refused = None;
                Ok(self.apply(state, policies, Source::File, now, at))
            }
            Err(mistakes) => {
                self.admission.metrics.count_reload("refused");
                let (file, mistakes_told) = (path.display(), on_one_line(&mistakes));
                tracing::warn!(%file, mistakes = mistakes_told, "the policies file is refused: those in effect stay");
                state.refused = Some(RefusedFile { at, mistakes: mistakes.clone() });
                Err(mistakes)
            }
        }
    }

    fn apply(&self, state: &mut State, policies: Policies, source: Source, now: Nanos, at: Millis) -> Changed {
        let changed = self.admission.replace(policies, now);
        (state.source, state.loaded_at) = (source, at);
        self.admission.metrics.count_reload(if changed.is_different { "applied" } else { "unchanged" });
        let Changed { revision, added, changed: others, removed, .. } = &changed;
        tracing::info!(revision, ?source, ?added, changed = ?others, ?removed, "policies are in effect");
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(content: &Content) -> Result<Policies, Mistakes> {
    match content {
        Ok(text) => Policies::parse(text),
        Err(why) => Err(Mistakes::whole(format!("it cannot be read: {why}"))),
    }
}

/// The whole file, but not more than anybody would call one.
fn content(path: &Path) -> Content {
    let read = || {
        // Whoever opens a pipe waits until somebody writes.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let file = File::open(path)?;
        let (mut text, most) = (String::new(), u64::try_from(MAX_FILE).unwrap_or(u64::MAX));
        // One byte more tells that it is too long.
        file.take(most + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| error.to_string())
}

fn on_one_line(mistakes: &Mistakes) -> String {
    mistakes.to_string().replace('\n', "; ")
}

fn indented(mistakes: &Mistakes) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

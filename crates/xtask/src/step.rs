//! Steps that run one after the other, each announced before and timed after.

use std::{
    cell::Cell,
    pin::Pin,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use crate::program::Program;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It held.
    Ok,
    /// It did not hold; why, in words.
    Failed(String),
    /// Nothing is known, because something is missing that the step needs; what, in words.
    CouldNotRun(String),
    /// The same, and whoever called it said beforehand that this will do.
    Accepted(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Ok)
    }
}

/// Something to do, with a name for the reader.
pub(crate) struct Step {
    title: String,
    work: Pin<Box<dyn Future<Output = Outcome>>>,
}

impl Step {
    /// A step that does `work`.
    pub(crate) fn new(title: impl Into<String>, work: impl Future<Output = Outcome> + 'static) -> Self {
        Self { title: title.into(), work: Box::pin(work) }
    }

    /// The same step, which cannot run unless `condition` holds by then; `why` not, in words.
    pub(crate) fn only_if(self, condition: &Rc<Cell<bool>>, why: &'static str) -> Self {
        let condition = condition.clone();
        Self::new(self.title, async move {
            if condition.get() { self.work.await } else { Outcome::CouldNotRun(why.to_owned()) }
        })
    }

    /// A step that calls cargo with `arguments`.
    pub(crate) fn cargo(title: &str, arguments: &[&str]) -> Self {
        let cargo = Program::cargo().arguments(arguments);
        Self::new(format!("{title}: cargo {}", arguments.join(" ")), async move { cargo.run().await.into() })
    }
}

/// The debug build of every program. One build of the whole workspace: building a package alone would select other
/// features and compile the database stack a second time.
pub(crate) fn build() -> Step {
    Step::cargo("build the workspace", &["build", "--workspace"])
}

/// Runs the steps until one does not end well.
pub(crate) async fn until_failure(steps: Vec<Step>) -> ExitCode {
    let (start, count) = (now(), steps.len());
    for (i, step) in steps.into_iter().enumerate() {
        if one(i + 1, count, step).await.outcome != Outcome::Ok {
            return ExitCode::FAILURE;
        }
    }
    eprintln!("xtask: all steps ok in {:.1?}", since(start));
    ExitCode::SUCCESS
}

/// Runs every step and says at the end how each ended.
pub(crate) async fn every(steps: Vec<Step>) -> ExitCode {
    let well = each(steps).await.iter().all(|done| matches!(done.outcome, Outcome::Ok | Outcome::Accepted(_)));
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn each(steps: Vec<Step>) -> Vec<Done> {
    let (start, count) = (now(), steps.len());
    let mut all = Vec::new();
    for (i, step) in steps.into_iter().enumerate() {
        all.push(one(i + 1, count, step).await);
    }
    eprintln!("\nxtask: every step was tried, in {:.0?}", since(start));
    for done in &all {
        eprintln!("{}", done.line());
    }
    all
}

/// A step that was done.
struct Done {
    title: String,
    took: Duration,
    outcome: Outcome,
}

impl Done {
    fn line(&self) -> String {
        let (word, why) = match &self.outcome {
            Outcome::Ok => ("ok", ""),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
            Outcome::CouldNotRun(why) => ("could not run", why.as_str()),
            Outcome::Accepted(why) => ("not run", why.as_str()),
        };
        let took = format!("{:.0?}", self.took);
        // The first line says it; the rest was shown when it happened.
        let why = why.lines().next().map(|line| format!(" ({line})")).unwrap_or_default();
        format!("  {word:<13} {took:>6}  {}{why}", self.title)
    }
}

async fn one(number: usize, count: usize, step: Step) -> Done {
    let (title, start) = (step.title, now());
    eprintln!("\nxtask [{number}/{count}] {title}");
    let outcome = step.work.await;
    let took = since(start);
    match &outcome {
        Outcome::Ok => eprintln!("xtask [{number}/{count}] {title}: ok in {took:.1?}"),
        Outcome::Failed(why) => eprintln!("xtask [{number}/{count}] {title}: FAILED after {took:.1?}: {why}"),
        Outcome::CouldNotRun(why) | Outcome::Accepted(why) => {
            eprintln!("xtask [{number}/{count}] {title}: could not run: {why}");
        }
    }
    Done { title, took, outcome }
}

#[allow(clippy::disallowed_methods, reason = "a command line tool times its own steps")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn since(start: Instant) -> Duration {
    now().duration_since(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(runs: &Rc<Cell<usize>>, outcome: Outcome) -> Step {
        let runs = runs.clone();
        Step::new("a step", async move {
            runs.set(runs.get() + 1);
            outcome
        })
    }

    #[tokio::test]
    async fn after_a_failure_no_step_begins() {
        let runs = Rc::new(Cell::new(0));
        let steps = vec![
            counted(&runs, Outcome::Ok),
            counted(&runs, Outcome::Failed(String::new())),
            counted(&runs, Outcome::Ok),
        ];
        let _ = until_failure(steps).await;
        assert_eq!(runs.get(), 2);
    }

    #[tokio::test]
    async fn at_night_every_step_is_tried_and_told() {
        let runs = Rc::new(Cell::new(0));
        let missing = Outcome::CouldNotRun("no network\nmore".to_owned());
        let steps = vec![
            counted(&runs, Outcome::Failed("broken".to_owned())),
            counted(&runs, missing),
            counted(&runs, Outcome::Ok),
        ];
        let all = each(steps).await;
        assert_eq!(runs.get(), 3);
        let lines: Vec<_> = all.iter().map(Done::line).collect();
        assert!(lines[0].contains("FAILED") && lines[0].ends_with("(broken)"), "{lines:?}");
        assert!(lines[1].contains("could not run") && lines[1].ends_with("(no network)"), "{lines:?}");
        let never = counted(&runs, Outcome::Ok).only_if(&Rc::new(Cell::new(false)), "not built");
        assert_eq!(each(vec![never]).await[0].outcome, Outcome::CouldNotRun("not built".to_owned()));
        assert_eq!(runs.get(), 3);
        assert!(lines[2].trim().starts_with("ok") && lines[2].ends_with("a step"), "{lines:?}");
    }
}

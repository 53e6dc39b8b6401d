//! What a fuzz run answered: the tool's report and our own tally (`tests/fuzz/tally.py`) of each round, and their sum.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

/// One round.
pub(crate) struct Round {
    report: Report,
    tally: Tally,
}

/// The parts of the tool's JSON report that matter here.
#[derive(Deserialize)]
struct Report {
    complete: bool,
    operations: Operations,
    test_cases: Cases,
}

#[derive(Deserialize)]
struct Operations {
    total: u32,
    tested: u32,
    errored: u32,
}

#[derive(Deserialize)]
struct Cases {
    generated: u32,
    with_failures: u32,
    errored: u32,
}

type Statuses = BTreeMap<String, u32>;

#[derive(Deserialize)]
struct Tally {
    operations: BTreeMap<String, Statuses>,
    other_methods: Statuses,
    excused: BTreeMap<String, u32>,
    slowest: Slowest,
    without_success: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Slowest {
    seconds: f64,
    operation: String,
}

impl Round {
    /// From the two files that a round leaves.
    ///
    /// # Errors
    /// A file that is not there or of another form; the tool left something out or found something.
    pub(crate) fn read(report: &Path, tally: &Path) -> Result<Self, String> {
        Self { report: read(report)?, tally: read(tally)? }.checked()
    }

    /// Cases that it made.
    pub(crate) fn cases(&self) -> u32 {
        self.report.test_cases.generated
    }

    /// The exit code said the same; this is against a tool that would say so after it did nothing.
    fn checked(self) -> Result<Self, String> {
        let Report { complete, operations, test_cases } = &self.report;
        if !complete || operations.tested != operations.total || operations.errored != 0 {
            let Operations { total, tested, errored } = operations;
            return Err(format!("not every operation was tested: {tested} of {total}, {errored} with errors"));
        }
        if test_cases.with_failures != 0 || test_cases.errored != 0 {
            return Err(format!("{} cases failed, {} had errors", test_cases.with_failures, test_cases.errored));
        }
        Ok(self)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Every round together.
#[derive(Default)]
pub(crate) struct Summary {
    /// Cases made.
    pub(crate) cases: u32,
    total_operations: u32,
    operations: BTreeMap<String, Statuses>,
    other_methods: Statuses,
    excused: BTreeMap<String, u32>,
    slowest: Slowest,
    without_success: BTreeMap<String, String>,
}

impl Summary {
    /// One more round.
    pub(crate) fn add(&mut self, round: Round) {
        let Round { report, tally } = round;
        self.cases += report.test_cases.generated;
        self.total_operations = self.total_operations.max(report.operations.total);
        for (operation, statuses) in tally.operations {
            add(self.operations.entry(operation).or_default(), statuses);
        }
        add(&mut self.other_methods, tally.other_methods);
        add(&mut self.excused, tally.excused);
        if tally.slowest.seconds > self.slowest.seconds {
            self.slowest = tally.slowest;
        }
        self.without_success.extend(tally.without_success);
    }

    /// Holds when every operation was answered with a success at least once: otherwise its way was never gone to the
    /// end, and the other answers say little.
    ///
    /// # Errors
    /// The operations that never were.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let answered = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        if answered != self.total_operations {
            return Err(format!("{answered} of {} operations were answered", self.total_operations));
        }
        let succeeded = |statuses: &Statuses| statuses.keys().any(|status| status.starts_with('2'));
        let without = self
            .operations
            .iter()
            .filter(|(name, statuses)| !succeeded(statuses) && !self.without_success.contains_key(name.as_str()));
        let without: Vec<_> = without.map(|(name, _)| name.as_str()).collect();
        if !without.is_empty() {
            return Err(format!("never answered with success (tests/fuzz/excused.py): {}", without.join(", ")));
        }
        Ok(())
    }

    /// One line an operation: how often it was answered with which status; then what was excused.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (operation, statuses) in &self.operations {
            let _ = writeln!(text, "  {operation:<32} {}", counts(statuses));
        }
        let _ = writeln!(text, "  {:<32} {}", "(methods a path does not have)", counts(&self.other_methods));
        for (what, count) in &self.excused {
            let _ = writeln!(text, "  excused {count} times: {what}");
        }
        text
    }

    /// Cases, statuses and the slowest answer in one line.
    pub(crate) fn line(&self) -> String {
        let mut classes = Statuses::new();
        for (status, count) in self.operations.values().chain([&self.other_methods]).flatten() {
            *classes.entry(format!("{}xx", &status[..1])).or_default() += count;
        }
        let Slowest { seconds, operation } = &self.slowest;
        format!("{} cases, answers {}, slowest {seconds:.3} s ({operation})", self.cases, counts(&classes))
    }
}

fn add(sum: &mut Statuses, more: Statuses) {
    for (key, count) in more {
        *sum.entry(key).or_default() += count;
    }
}

fn counts(statuses: &Statuses) -> String {
    statuses.iter().map(|(status, count)| format!("{status}×{count}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(report: &str, tally: &str) -> Result<Round, String> {
        Round { report: serde_json::from_str(report).unwrap(), tally: serde_json::from_str(tally).unwrap() }.checked()
    }

    fn report(tested: u32, failures: u32) -> String {
        format!(
            r#"{{"complete":true,"seed":1,"operations":{{"total":2,"tested":{tested},"errored":0}},
                "test_cases":{{"generated":7,"with_failures":{failures},"errored":0}}}}"#
        )
    }

    fn tally(of_b: &str) -> String {
        format!(
            r#"{{"operations":{{"GET /a":{{"200":2,"401":1}},"GET /b":{of_b}}},"other_methods":{{"405":3}},
                "excused":{{"GET /a: because":1}},"slowest":{{"seconds":0.25,"operation":"GET /a"}},
                "without_success":{{}}}}"#
        )
    }

    fn summary(of_b: &str, rounds: usize) -> Summary {
        let mut summary = Summary::default();
        for _ in 0..rounds {
            summary.add(round(&report(2, 0), &tally(of_b)).unwrap());
        }
        summary
    }

    #[test]
    fn rounds_add_up() {
        let sum = summary(r#"{"201":1}"#, 2);
        assert_eq!(sum.judge(), Ok(()));
        assert_eq!(sum.line(), "14 cases, answers 2xx×6 4xx×8, slowest 0.250 s (GET /a)");
        assert!(sum.table().contains("GET /a                           200×4 401×2\n"), "{}", sum.table());
        assert!(sum.table().contains("excused 2 times: GET /a: because\n"), "{}", sum.table());
    }

    #[test]
    fn an_operation_that_never_succeeded_is_named() {
        assert!(summary(r#"{"404":9}"#, 1).judge().unwrap_err().ends_with("GET /b"));
        let mut excused = summary(r#"{"404":9}"#, 1);
        excused.without_success.insert("GET /b".to_owned(), "a reason".to_owned());
        assert_eq!(excused.judge(), Ok(()));
    }

    #[test]
    fn a_round_that_left_something_out_or_found_something_does_not_count() {
        let good = tally(r#"{"201":1}"#);
        assert!(round(&report(1, 0), &good).err().unwrap().contains("1 of 2"));
        assert!(round(&report(2, 3), &good).err().unwrap().contains("3 cases failed"));
        assert!(Round::read(Path::new("no such file"), Path::new("neither")).err().unwrap().contains("no such file"));
    }
}

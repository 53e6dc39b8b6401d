//! Checks over named figures: `success_p0>=0.995`.

use std::{fmt, str::FromStr};

use super::{
    figures,
    outcome::{CheckRow, Figure},
};

/// What the control experiment, in which nothing is shed, may not be able to show: what only refusals do, and how long it
/// takes until a server is as before that went down under the load, as is expected there, and did not come back. In every
/// other run the same is a failure.
const NOT_IN_CONTROL: [&str; 5] = ["bound", "goodput_of_bound", "cpu_refused_us", "recovery_s", "retry_peak_to_mean"];

/// A check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    figure: &'static str,
    compares: Compares,
    bar: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compares {
    AtMost,
    AtLeast,
    Below,
    Above,
}

/// The longer signs first: `<` begins `<=` too.
const SIGNS: [(&str, Compares); 4] =
    [("<=", Compares::AtMost), (">=", Compares::AtLeast), ("<", Compares::Below), (">", Compares::Above)];

impl Check {
    /// Reads `figure sign number`.
    ///
    /// # Errors
    /// What is wrong, with what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("check `{text}`: {what}");
        let found = SIGNS.into_iter().find_map(|(sign, compares)| Some((text.split_once(sign)?, compares)));
        let Some(((name, bar), compares)) = found else {
            return Err(wrong("a check is a figure, one of <= >= < >, and a number".into()));
        };
        let known = figures::ALL.iter().find(|known| known.name == name.trim());
        let figure = known.map(|known| known.name).ok_or_else(|| {
            let names: Vec<_> = figures::ALL.iter().map(|known| known.name).collect();
            wrong(format!("no figure `{}`; there are: {}", name.trim(), names.join(", ")))
        })?;
        let bar = bar.trim().parse::<f64>().ok().filter(|bar| bar.is_finite());
        let bar = bar.ok_or_else(|| wrong("what follows the sign must be a number".into()))?;
        Ok(Self { figure, compares, bar })
    }

    /// The figure's name.
    pub(crate) fn figure(&self) -> &'static str {
        self.figure
    }

    /// What the figure must reach, or must not.
    pub(crate) fn bar(&self) -> f64 {
        self.bar
    }

    /// The sign between them, as HTML.
    pub(crate) fn sign(&self) -> &'static str {
        match self.compares {
            Compares::AtMost => "≤",
            Compares::AtLeast => "≥",
            Compares::Below => "&lt;",
            Compares::Above => "&gt;",
        }
    }

    /// Whether it holds; not for a figure that was not measured, which only in the control experiment is excused, and only
    /// where it cannot be measured there.
    pub(crate) fn look(&self, figures: &[Figure], control: bool) -> CheckRow {
        let value = figures.iter().find(|figure| figure.name == self.figure).and_then(|figure| figure.value);
        let holds = value.is_some_and(|value| match self.compares {
            Compares::AtMost => value <= self.bar,
            Compares::AtLeast => value >= self.bar,
            Compares::Below => value < self.bar,
            Compares::Above => value > self.bar,
        });
        let excused = control && value.is_none() && NOT_IN_CONTROL.contains(&self.figure);
        CheckRow { check: self.to_string(), value, holds, excused }
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, compares)| *compares == self.compares).map(|(sign, _)| *sign);
        write!(f, "{}{}{}", self.figure, sign.unwrap_or_default(), self.bar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(value: Option<f64>) -> Vec<Figure> {
        vec![Figure { name: "jain".into(), value, ..Figure::default() }]
    }

    fn holds(check: &str, value: f64) -> bool {
        Check::parse(check).unwrap().look(&figures(Some(value)), false).holds
    }

    #[test]
    fn each_sign_means_what_it_says() {
        assert!(holds("jain<=0.5", 0.5) && !holds("jain<=0.5", 0.51));
        assert!(holds("jain >= 0.5", 0.5) && !holds("jain >= 0.5", 0.49));
        assert!(holds("jain<0.5", 0.49) && !holds("jain<0.5", 0.5));
        assert!(holds("jain>0.5", 0.51) && !holds("jain>0.5", 0.5));
    }

    #[test]
    fn a_figure_that_was_not_measured_fails_its_check() {
        for check in ["jain<=9", "jain>=0"] {
            let row = Check::parse(check).unwrap().look(&figures(None), false);
            assert!(row.failed() && row.value.is_none());
        }
    }

    #[test]
    fn only_the_control_experiment_is_excused_and_only_from_what_it_cannot_show() {
        let look = |check: &str, value, control| {
            let name = check.split(['<', '>']).next().unwrap_or_default().to_owned();
            Check::parse(check).unwrap().look(&[Figure { name, value, ..Figure::default() }], control)
        };
        for check in ["goodput_of_bound>0.8", "recovery_s<=3"] {
            let row = look(check, None, true);
            assert!(row.excused && !row.holds && !row.failed(), "{check}");
            assert!(look(check, None, false).failed(), "{check}");
        }
        assert!(look("goodput_of_bound>0.8", Some(0.1), true).failed(), "measured, and too little");
        assert!(look("recovery_s<=3", Some(9.0), true).failed(), "measured, and too long");
        assert!(look("success_p0>0.9", None, true).failed());
        assert!(NOT_IN_CONTROL.iter().all(|name| figures::ALL.iter().any(|known| known.name == *name)));
    }

    #[test]
    fn an_unknown_figure_is_named_with_the_known_ones() {
        let error = Check::parse("over_admision<=0").unwrap_err();
        assert!(error.contains("no figure `over_admision`") && error.contains("over_admission, "), "{error}");
    }

    #[test]
    fn what_is_no_check_says_what_one_is() {
        for text in ["jain", "jain=1", "jain<=", "jain<=one", "jain<=inf", ""] {
            assert!(Check::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_check_is_written_as_it_is_read() {
        assert_eq!(Check::parse(" jain >= 0.990 ").unwrap().to_string(), "jain>=0.99");
    }
}

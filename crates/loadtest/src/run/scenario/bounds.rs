//! What a scenario may say, beyond its shape.

use super::{Phase, Scenario};

/// Longest schedule, seconds: sign-ins of a server that is not this tool's own last ten minutes.
pub(super) const LONGEST_S: f64 = 480.0;

impl Scenario {
    /// What serde cannot check.
    ///
    /// # Errors
    /// The first value that is not accepted, with what is allowed.
    pub(crate) fn validate(&self) -> Result<(), String> {
        within("deadline_ms", self.deadline_ms as f64, 1.0, 60_000.0)?;
        within("max_in_flight", self.max_in_flight.into(), 1.0, 20_000.0)?;
        within("passengers", self.passengers.into(), 0.0, 100_000.0)?;
        within("sources", self.sources.into(), 1.0, 4000.0)?;
        within("drivers", self.drivers.into(), 0.0, 100_000.0)?;
        within("max_lag_ms", self.max_lag_ms, 0.0, 60_000.0)?;
        if self.phase.is_empty() == self.spray.is_none() {
            return Err("a scenario has either `[[phase]]` or `[spray]`".into());
        }
        for phase in &self.phase {
            phase.validate().map_err(|e| format!("phase `{}`: {e}", phase.name))?;
        }
        within("seconds, all phases", self.seconds(), 0.0, LONGEST_S)?;
        if self.mix()?.needs_passengers() && self.spray.is_none() && self.passengers == 0 {
            return Err("`passengers`: the mix needs some who are signed in".into());
        }
        if let Some(retry) = &self.retry {
            within("retry.obey", retry.obey, 0.0, 1.0)?;
            within("retry.else_after_ms", retry.else_after_ms as f64, 10.0, 60_000.0)?;
            within("retry.tries", retry.tries.into(), 1.0, 1000.0)?;
            within("retry.bin_s", retry.bin_s, 0.05, 60.0)?;
            within("retry.until_s", retry.until_s, 0.0, LONGEST_S)?;
        }
        if let Some(hot) = &self.hot {
            within("hot.times", hot.times, 1.0, 100_000.0)?;
            within("passengers, of a hot one among them", self.passengers.into(), 2.0, 100_000.0)?;
        }
        if let Some(spray) = &self.spray {
            within("spray.keys", spray.keys as f64, 1.0, 16_000_000.0)?;
            within("spray.within_s", spray.within_s, 1.0, 900.0)?;
            within("spray.connections", spray.connections.into(), 1.0, 1000.0)?;
            within("spray.pipeline", spray.pipeline.into(), 1.0, 1000.0)?;
        }
        self.checks()?;
        Ok(())
    }
}

impl Phase {
    fn validate(&self) -> Result<(), String> {
        within("seconds", self.seconds, 0.05, LONGEST_S)?;
        let from = match (self.rate, self.per_s) {
            (Some(rate), None) | (None, Some(rate)) => rate,
            _ => return Err("give either `rate` or `per_s`".into()),
        };
        within("rate", from, 0.0, 1_000_000.0)?;
        within("to", self.to.unwrap_or(from), 0.0, 1_000_000.0)?;
        within("priority_0_at_most", self.priority_0_at_most.unwrap_or_default(), 0.0, 1_000_000.0)?;
        if self.city_day && self.to.is_some() {
            return Err("`to` and `city_day` exclude each other".into());
        }
        Ok(())
    }
}

/// Whether a value is from `least` to `most`.
pub(super) fn within(what: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("`{what}` is {value}: allowed is {least} to {most}"))
    }
}

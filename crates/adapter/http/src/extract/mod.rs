//! What handlers take: parsed and checked once, refused with a problem that names the field.

mod body;
mod caller;
mod headers;
mod path;

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
pub use body::{JsonBody, object};
pub use caller::{Auth, Caller, CallerAnd};
pub use headers::{IdempotencyKey, if_match, if_none_match, last_event_id};
pub(crate) use headers::{Unclear, single};
pub use path::{PathDriver, PathId};

use crate::problem::{Code, Problem};

/// Checks a text: 1 to `max` characters, none of them a control character.
///
/// # Errors
/// Names `field`.
pub fn text(field: &str, value: &str, max: usize) -> Result<(), Problem> {
    let fits = (1..=max).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(Problem::invalid_field(field, format!("1 to {max} characters without control characters")))
    }
}

/// The query string, read by name.
pub struct Query(HashMap<String, String>);

impl Query {
    /// Reads the query string.
    ///
    /// # Errors
    /// Not URL-encoded.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let parsed = web::Query::<HashMap<String, String>>::from_query(request.query_string());
        parsed.map(|q| Self(q.into_inner())).map_err(|_| malformed("the query string"))
    }

    /// A text, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number, if it is there.
    ///
    /// # Errors
    /// Not a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.get(name).map(|text| text.parse().map_err(|_| malformed(&format!("`{name}`, a number")))).transpose()
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// Missing, or not a number.
    pub fn required<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.number(name)?.ok_or_else(|| Problem::invalid_field(name, "required: a number"))
    }

    /// `limit`, 1…100, by default 20.
    ///
    /// # Errors
    /// Not a number, or out of range.
    pub fn limit(&self) -> Result<u64, Problem> {
        match self.number::<i64>("limit")? {
            None => Ok(20),
            Some(limit @ 1..=100) => Ok(limit.unsigned_abs()),
            Some(_) => Err(Problem::invalid_field("limit", "1 to 100")),
        }
    }

    /// `cursor`, which is the id of the last entry of the page before.
    ///
    /// # Errors
    /// Not one of ours.
    pub fn cursor<T>(&self) -> Result<Option<entity::value::Id<T>>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Problem::new(Code::InvalidCursor, "Use `next_cursor` of the page before."))
        };
        self.get("cursor").map(parse).transpose()
    }
}

fn malformed(what: &str) -> Problem {
    Problem::new(Code::Malformed, format!("Cannot read {what}."))
}

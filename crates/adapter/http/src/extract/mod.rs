//! What handlers take: parsed and checked once, refused with a problem that names the field.

mod address;
pub(crate) mod body;
mod caller;
mod headers;
mod path;

use std::{collections::HashMap, num::IntErrorKind};

use actix_web::{HttpRequest, web};
pub use address::ClientAddress;
pub use body::{JsonBody, TomlBody, object};
pub use caller::{Auth, Caller, CallerAnd};
pub use headers::{IdempotencyKey, if_match, if_none_match, last_event_id};
pub(crate) use headers::{Unclear, single};
pub use path::{PathDriver, PathId};
use traffic::{Class, Whom};

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
    /// Reads a query string that has these parameters, each at most once.
    ///
    /// # Errors
    /// Not URL-encoded, or another parameter; names it.
    pub fn of(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        let mut query = HashMap::new();
        for (name, value) in pairs.map_err(|_| malformed("the query string"))?.into_inner() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::invalid_field(&name, format!("no such parameter; known: {known}")));
            }
            if query.contains_key(&name) {
                return Err(Problem::invalid_field(&name, "once"));
            }
            query.insert(name, value);
        }
        Ok(Self(query))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// Missing, or not a number.
    pub fn required(&self, name: &str) -> Result<f64, Problem> {
        let text = self.get(name).ok_or_else(|| Problem::invalid_field(name, "required: a number"))?;
        // The language reads `NaN` and `inf` as numbers; nobody else does.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number = text.parse().ok().filter(|_| is_number);
        number.ok_or_else(|| malformed(&format!("`{name}`, a number")))
    }

    /// `limit`, 1…100, by default 20.
    ///
    /// # Errors
    /// Not a whole number, or out of range.
    pub fn limit(&self) -> Result<u64, Problem> {
        let Some(text) = self.get("limit") else { return Ok(20) };
        match text.parse::<i64>() {
            Ok(limit @ 1..=100) => Ok(limit.unsigned_abs()),
            Err(error) if !matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
                Err(malformed("`limit`, a whole number"))
            }
            Ok(_) | Err(_) => Err(Problem::invalid_field("limit", "1 to 100")),
        }
    }

    /// `dry_run`, by default false.
    ///
    /// # Errors
    /// Neither `true` nor `false`.
    pub fn dry_run(&self) -> Result<bool, Problem> {
        match self.get("dry_run") {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid_field("dry_run", "true, false")),
        }
    }

    /// Whom the limits are asked about: `address`, `passenger_id`, `device_id`, `class`; each may be left out.
    ///
    /// # Errors
    /// Names what cannot be one.
    pub fn whom(&self) -> Result<Whom, Problem> {
        let address = self
            .get("address")
            .map(|text| text.parse().map_err(|_| Problem::invalid_field("address", "an IPv4 or IPv6 address")));
        let passenger = self.get("passenger_id").map(|text| {
            let id: Result<entity::value::Id<entity::Passenger>, _> = text.parse();
            id.map(entity::value::Id::value).map_err(|_| Problem::invalid_field("passenger_id", "a passenger's id"))
        });
        let device = self.get("device_id").map(|name| text("device_id", name, 128).map(|()| name.to_owned()));
        let class = self.get("class").map(|name| {
            let names = Class::ALL.map(Class::name);
            let found = Class::ALL.into_iter().find(|class| class.name() == name);
            found.ok_or_else(|| Problem::invalid_field("class", names.join(", ")))
        });
        Ok(Whom {
            address: address.transpose()?,
            passenger: passenger.transpose()?,
            device: device.transpose()?,
            class: class.transpose()?,
        })
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn page(query: &str) -> Result<u64, Problem> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        Query::of(&request, &["limit", "cursor"])?.limit()
    }

    #[test]
    fn a_query_has_only_what_is_documented_and_that_once() {
        for (query, limit) in [("", 20), ("limit=7", 7), ("limit=%37&cursor=", 7), ("&&", 20)] {
            assert_eq!(page(query).ok(), Some(limit), "{query}");
        }
        for (query, field) in [
            ("surprise=1", "surprise"),
            ("limit=1&x", "x"),
            ("Limit=1", "Limit"),
            ("=1", ""),
            ("limit=1&limit=1", "limit"),
        ] {
            let refused = page(query).expect_err(query).to_string();
            assert!(refused.starts_with(&format!("invalid-field: `{field}` is not")), "{query}: {refused}");
        }
    }

    #[test]
    fn a_number_is_written_in_digits() {
        let latitude = |text: &str| {
            let request = TestRequest::with_uri(&format!("/?lat={text}")).to_http_request();
            Query::of(&request, &["lat"])?.required("lat")
        };
        assert_eq!((latitude("-40.75").ok(), latitude("4.075e1").ok()), (Some(-40.75), Some(40.75)));
        for none in ["NaN", "inf", "-infinity", "x", "", "1_0", "0x1"] {
            assert_eq!(latitude(none).err().map(|p| p.code), Some(Code::Malformed), "{none}");
        }
    }

    #[test]
    fn a_limit_out_of_range_is_told_from_what_is_no_whole_number() {
        for beyond in ["0", "-1", "101", "99999999999999999999", "-99999999999999999999"] {
            assert_eq!(page(&format!("limit={beyond}")).err().map(|p| p.code), Some(Code::InvalidField), "{beyond}");
        }
        for none in ["", "x", "1.5", "1e1", "NaN", "1,2", "%201", "%FF"] {
            assert_eq!(page(&format!("limit={none}")).err().map(|p| p.code), Some(Code::Malformed), "{none}");
        }
    }
}

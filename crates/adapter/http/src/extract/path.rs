//! Ids in the path. One that cannot be an id names nothing: 404.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use entity::value::{DriverId, Id};

use crate::problem::Problem;

/// The `{id}` of the path.
pub struct PathId<T>(pub Id<T>);

impl<T: 'static> FromRequest for PathId<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|text| text.parse().ok());
        ready(id.map(Self).ok_or_else(Problem::not_found))
    }
}

/// The `{id}` of a driver.
pub struct PathDriver(pub DriverId);

impl FromRequest for PathDriver {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // The router leaves some escapes alone; a partner's id may hold any printable character.
        let text = web::Path::<String>::from_request(request, payload).into_inner();
        let id = text.ok().and_then(|text| DriverId::parse(&text).ok());
        ready(id.map(Self).ok_or_else(Problem::not_found))
    }
}

//! Where a request comes from.

use std::{
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};

use crate::{Config, edge::address, problem::Problem};

/// The client's address behind the proxies that are trusted: the same that admission control counts.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl FromRequest for ClientAddress {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let config = request.app_data::<web::Data<Config>>();
        let address = config.map(|config| Self(address::of(request, config)));
        ready(address.ok_or_else(|| Problem::internal(&"the application has no settings")))
    }
}

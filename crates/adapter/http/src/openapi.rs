//! OpenAPI 3.1 from the code, and the pages that work offline.

use std::future::ready;

use actix_web::{HttpResponse, http::Method, web};
use bytes::Bytes;
use serde::Serialize;
use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema,
    openapi::{
        RefOr, Response, ResponseBuilder,
        content::ContentBuilder,
        schema::Ref,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config as PageConfig, SwaggerUi};

use crate::{
    problem::Code,
    routes::{Paths, served},
};

/// The description of the public API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "Passenger gateway",
            description = "Passengers sign in, get an upfront quote, request a ride, follow it live, pay and rate.",
            license(name = "Apache-2.0", identifier = "Apache-2.0")
        ),
        components(schemas(Problem)),
        modifiers(&Bearer)
    )]
    struct Description;
    Description::openapi().merge_from(Paths::openapi())
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// RFC 9457. Further members depend on the case.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the schema of what problem.rs writes")]
pub(crate) struct Problem {
    /// A page about this kind of problem.
    r#type: String,
    /// A short title.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A sentence for the client's developer.
    detail: String,
    /// The path of the call.
    instance: String,
    /// The stable name of the kind.
    #[schema(example = "invalid-field")]
    code: String,
    /// Whether the same request may work later.
    retryable: bool,
}

/// Any route may answer with a problem.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        let problem = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            ResponseBuilder::new().description(description).content("application/problem+json", content).build()
        };
        [
            ("4XX".to_owned(), RefOr::T(problem("The request cannot be served; `code` says why."))),
            ("5XX".to_owned(), RefOr::T(problem("Something of ours failed; `retryable` says whether to try again."))),
        ]
        .into()
    }
}

/// `/openapi.json`, `/docs/` and `/docs/problems`.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    let json = Bytes::from(openapi().to_json().unwrap_or_default());
    let description = move || ready(HttpResponse::Ok().content_type("application/json").body(json.clone()));
    // The one under /docs/ takes every path: the other page of that name goes first.
    app.service(served("/docs", [(Method::GET, web::to(to_docs))]))
        .service(served("/docs/problems", [(Method::GET, web::to(problems))]))
        .service(SwaggerUi::new("/docs/{_:.*}").config(PageConfig::from("/openapi.json")))
        .service(served("/openapi.json", [(Method::GET, web::to(description))]));
}

async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header(("Location", "/docs/")).finish()
}

async fn problems() -> HttpResponse {
    let rows = Code::ALL.iter().map(|code| {
        format!(
            "<tr id=\"{0}\"><td><code>{0}</code></td><td>{1}</td><td>{2}</td><td>{3}</td></tr>",
            code.name(),
            code.status().as_u16(),
            code.title(),
            if code.is_retryable() { "yes" } else { "no" },
        )
    });
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems</title>\
         <style>body{{font-family:system-ui;margin:2rem}}td,th{{padding:.3rem 1rem;text-align:left}}\
         tr:target{{background:#ffe9a8}}</style><h1>Problems</h1><p>Every error is an RFC 9457 problem; \
         <code>code</code> is stable.</p><table><tr><th>code</th><th>status</th><th>title</th><th>retryable</th></tr>\
         {}</table></html>",
        rows.collect::<String>()
    );
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passengers_ride_is_described_with_every_field_and_name() {
        let description = serde_json::to_value(openapi()).unwrap();
        let ride = &description["components"]["schemas"]["Ride"];
        let (required, known) = (ride["required"].as_array().unwrap(), ride["properties"].as_object().unwrap());
        assert_eq!(required.len(), known.len(), "{required:?}");
        let names = |schema: &str| description["components"]["schemas"][schema]["enum"].clone();
        assert_eq!(names("RideStatus"), serde_json::json!(entity::RideStatus::ALL));
        assert_eq!(names("PaymentStatus"), serde_json::json!(entity::PaymentStatus::ALL));
    }
}

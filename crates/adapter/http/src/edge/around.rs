//! The outermost step of both listeners.

use std::{
    future::{Ready, ready},
    rc::Rc,
    time::Duration,
};

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::BoxBody,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::{
        ConnectionType, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
    web,
};
use futures_util::future::LocalBoxFuture;
use runtime::{Entropy, Origin, task::catch_panic};
use traffic::{Nanos, Permit};

use super::{
    Edge,
    quotas::Spoken,
    request_id::{self, REQUEST_ID},
};
use crate::{
    problem::{Code, Problem},
    routes::RouteRef,
};

/// What stands between the edge and the handlers of a listener.
pub(crate) trait Entry: 'static {
    /// The route of the request, if this listener knows it before the router does.
    fn route(&self, request: &ServiceRequest) -> Option<RouteRef>;

    /// Lets the request through to `service`, or answers it.
    async fn pass<S>(
        &self,
        request: ServiceRequest,
        service: &S,
        passage: &mut Passage,
    ) -> Result<ServiceResponse, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>;
}

/// One request on its way.
pub(crate) struct Passage {
    pub(super) route: Option<RouteRef>,
    /// When it came.
    pub(super) now: Nanos,
    /// What limits said about it; told in the answer, whatever that is.
    pub(super) spoken: Spoken,
    /// Its place among the work in progress, until the head of its answer is there.
    pub(super) permit: Option<Permit>,
}

/// A listener that lets everybody in.
pub(crate) struct Unlimited;

impl Entry for Unlimited {
    fn route(&self, _: &ServiceRequest) -> Option<RouteRef> {
        None
    }

    async fn pass<S>(&self, request: ServiceRequest, service: &S, _: &mut Passage) -> Result<ServiceResponse, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    {
        service.call(request).await
    }
}

/// The step as the framework takes it.
pub(crate) struct Around<E> {
    edge: web::Data<Edge>,
    entry: Rc<E>,
}

impl<E: Entry> Around<E> {
    pub(crate) fn new(edge: web::Data<Edge>, entry: E) -> Self {
        Self { edge, entry: Rc::new(entry) }
    }
}

impl<S, E> Transform<S, ServiceRequest> for Around<E>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
    E: Entry,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = AroundService<S, E>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let inner = Inner { service, edge: self.edge.clone(), entry: Rc::clone(&self.entry) };
        ready(Ok(AroundService(Rc::new(inner))))
    }
}

pub(crate) struct AroundService<S, E>(Rc<Inner<S, E>>);

struct Inner<S, E> {
    service: S,
    edge: web::Data<Edge>,
    entry: Rc<E>,
}

impl<S, E> Service<ServiceRequest> for AroundService<S, E>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
    E: Entry,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

    fn poll_ready(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        self.0.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let inner = Rc::clone(&self.0);
        Box::pin(async move { inner.serve(request).await })
    }
}

impl<S, E> Inner<S, E>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
    E: Entry,
{
    async fn serve(&self, request: ServiceRequest) -> Result<ServiceResponse, Error> {
        let edge = &**self.edge;
        let now = Nanos::since_start_of(&edge.started);
        let route = self.entry.route(&request);
        let mut passage = Passage { route, now, spoken: Spoken::default(), permit: None };
        let origin = request_id::origin(request.headers(), &edge.entropy);
        // What is left of the request should its handler panic.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let passing = catch_panic(self.entry.pass(request, &self.service, &mut passage));
        let outcome = origin.clone().run(passing).await;
        let answer = origin.clone().run_sync(|| match outcome {
            Ok(Ok(response)) => Ok(written_out(response, &origin, &edge.entropy, &mut passage.spoken)),
            Ok(Err(error)) => {
                Err(("unmatched", error.as_error::<Problem>().cloned().unwrap_or_else(|| Problem::internal(&error))))
            }
            Err(panic) => Err(("panicked", Problem::internal(&format!("a handler panicked: {panic}")))),
        });
        let end = Nanos::since_start_of(&edge.started);
        let elapsed = Duration::from_nanos(end.0.saturating_sub(now.0));
        match answer {
            Ok(mut response) => {
                let status = response.status();
                give_back(passage.permit.take(), passage.route.as_ref(), status, end);
                let told = Told { edge, origin: &origin, method: &method, status, elapsed };
                match &passage.route {
                    Some(route) => {
                        edge.metrics.observe_route(route, &method, status, elapsed);
                        told.log(route.pattern);
                    }
                    None => {
                        let pattern = response.request().match_pattern();
                        edge.metrics.observe(pattern.as_deref(), &method, status, elapsed);
                        told.log(pattern.as_deref());
                    }
                }
                finish(response.headers_mut(), &origin, &passage.spoken);
                if !edge.ready.get() {
                    // The listeners are about to close: whoever keeps this connection would find it cut.
                    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                }
                Ok(response)
            }
            // There is no request left to answer: the framework answers with this error, which is a full problem.
            Err((label, problem)) => {
                let status = problem.status_code();
                edge.metrics.observe(Some(label), &method, status, elapsed);
                Told { edge, origin: &origin, method: &method, status, elapsed }.log(Some(label));
                let mut headers = HeaderMap::new();
                finish(&mut headers, &origin, &passage.spoken);
                Err(Answered { problem, path: uri.path().to_owned(), id: origin.id().to_owned(), headers }.into())
            }
        }
    }
}

/// Ends the request's part in the work in progress. What a client did wrong took no time worth noting.
fn give_back(permit: Option<Permit>, route: Option<&RouteRef>, status: StatusCode, end: Nanos) {
    if let (Some(permit), Some(route)) = (permit, route)
        && !status.is_client_error()
    {
        permit.finish(route.index, end);
    }
}

/// What the access log says.
struct Told<'a> {
    edge: &'a Edge,
    origin: &'a Origin,
    method: &'a Method,
    status: StatusCode,
    elapsed: Duration,
}

impl Told<'_> {
    fn log(&self, route: Option<&str>) {
        if !self.edge.access_log {
            return;
        }
        // The route, never the path: a path may hold a phone.
        let (method, route, status) = (self.method, route.unwrap_or("unmatched"), self.status.as_u16());
        let ms = self.elapsed.as_secs_f64() * 1000.0;
        let write = || tracing::info!(target: "access", %method, route, status, ms, "answered");
        self.origin.clone().run_sync(write);
    }
}

/// A problem with its request: what is left when there is no response to change.
#[derive(Debug)]
struct Answered {
    problem: Problem,
    path: String,
    id: String,
    headers: HeaderMap,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Answered {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.problem.response(&self.path, &self.id);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

/// Replaces an error by its problem in full; the headers it had stay.
fn written_out(
    response: ServiceResponse<BoxBody>,
    origin: &Origin,
    entropy: &Entropy,
    spoken: &mut Spoken,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let problem = match response.response().error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => problem.clone().spread(entropy),
        // The framework's own errors have no body; an answer that a handler wrote stays as it is.
        None if (status.is_client_error() || status.is_server_error())
            && !response.headers().contains_key(CONTENT_TYPE) =>
        {
            foreign(status)
        }
        None => return response,
    };
    spoken.of_handler = problem.over();
    let mut full = problem.response(response.request().path(), origin.id());
    for (name, value) in response.headers() {
        full.headers_mut().append(name.clone(), value.clone());
    }
    response.into_response(full)
}

/// An error that the framework answered itself.
fn foreign(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(Code::MethodNotAllowed, "See the Allow header."),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "The body is too large."),
        status if status.is_client_error() => Problem::new(Code::Malformed, "The request cannot be read."),
        status => Problem::internal(&format!("the framework answered {status}")),
    }
}

/// What every answer carries.
fn finish(headers: &mut HeaderMap, origin: &Origin, spoken: &Spoken) {
    if let Some(id) = request_id::header(origin) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    spoken.describe(headers);
}

//! The outermost step of both listeners.

use std::{
    future::{Ready, ready},
    rc::Rc,
    time::Duration,
};

use actix_web::{
    Error, ResponseError,
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::{ConnectionType, Method, StatusCode, header::HeaderMap},
    web,
};
use futures_util::future::LocalBoxFuture;
use runtime::{Origin, task::catch_panic};
use traffic::{Nanos, Permit};

use super::{
    Edge,
    answer::{Answered, finish, is_written, written_out},
    discard::lend,
    metrics::LEFT,
    quotas::{OfHandler, Spoken},
    request_id,
};
use crate::{problem::Problem, routes::RouteRef};

/// The route of a request whose router was not asked yet.
const INTERNAL: &str = "internal";

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
    async fn serve(&self, mut request: ServiceRequest) -> Result<ServiceResponse, Error> {
        let edge = &**self.edge;
        let now = Nanos::since_start_of(&edge.started);
        let route = self.entry.route(&request);
        // In a place of its own: with it, the future of the request would be too large for the allocator's quick way.
        let mut passage = Box::new(Passage { route, now, spoken: Spoken::default(), permit: None });
        let origin = request_id::origin(request.headers(), &edge.entropy);
        let body = lend(&mut request);
        // What is left of the request should its handler panic, or its client leave.
        let (method, path) = (request.method().clone(), request.uri().path_and_query().cloned());
        let route = route.map_or(Some(INTERNAL), |route| route.pattern);
        let unanswered = Unanswered { edge, origin: &origin, method: &method, route, now };
        let passing = catch_panic(self.entry.pass(request, &self.service, &mut passage));
        let outcome = origin.clone().run(passing).await;
        unanswered.answered();
        let answer = match outcome {
            Ok(Ok(response)) if is_written(&response) => Ok(response),
            // What is said about an error belongs to its request.
            outcome => origin.clone().run_sync(|| match outcome {
                Ok(Ok(response)) => Ok(written_out(response, &origin, &edge.entropy, &mut passage.spoken)),
                Ok(Err(error)) => {
                    let problem = error.as_error::<Problem>().cloned();
                    Err(("unmatched", problem.unwrap_or_else(|| Problem::internal(&error))))
                }
                Err(panic) => Err(("panicked", Problem::internal(&format!("a handler panicked: {panic}")))),
            }),
        };
        let end = Nanos::since_start_of(&edge.started);
        let elapsed = Duration::from_nanos(end.0.saturating_sub(now.0));
        match answer {
            Ok(mut response) => {
                let status = response.status();
                give_back(passage.permit.take(), passage.route.as_ref(), status, end);
                let told = Told { edge, origin: &origin, method: &method, status: status.as_u16(), elapsed };
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
                if let Some(OfHandler(quotas)) = response.response_mut().extensions_mut().remove() {
                    passage.spoken.of_handler = quotas;
                }
                finish(response.headers_mut(), &origin, &passage.spoken);
                if !edge.ready.get() {
                    // The listeners are about to close: whoever keeps this connection would find it cut.
                    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                }
                match body {
                    Some(body) => Ok(body.end(response).await),
                    None => Ok(response),
                }
            }
            // There is no request left to answer: the framework answers with this error, which is a full problem.
            Err((label, problem)) => {
                let status = problem.status_code();
                edge.metrics.observe(Some(label), &method, status, elapsed);
                let told = Told { edge, origin: &origin, method: &method, status: status.as_u16(), elapsed };
                told.log(Some(label));
                let mut headers = HeaderMap::new();
                finish(&mut headers, &origin, &passage.spoken);
                let path = path.map_or_else(String::new, |path| path.path().to_owned());
                Err(Answered { problem, path, id: origin.id().to_owned(), headers }.into())
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

/// A request on its way. Dropped as such, its connection has ended before there was an answer: that is told as status 499,
/// which nobody is ever sent.
struct Unanswered<'a> {
    edge: &'a Edge,
    origin: &'a Origin,
    method: &'a Method,
    route: Option<&'static str>,
    now: Nanos,
}

impl Unanswered<'_> {
    fn answered(self) {
        // It owns nothing.
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Self { edge, origin, method, route, now } = *self;
        let end = Nanos::since_start_of(&edge.started);
        let elapsed = Duration::from_nanos(end.0.saturating_sub(now.0));
        edge.metrics.count_left(route, method);
        Told { edge, origin, method, status: LEFT, elapsed }.log(route);
    }
}

/// What the access log says.
struct Told<'a> {
    edge: &'a Edge,
    origin: &'a Origin,
    method: &'a Method,
    status: u16,
    elapsed: Duration,
}

impl Told<'_> {
    fn log(&self, route: Option<&str>) {
        if !self.edge.access_log {
            return;
        }
        // The route, never the path: a path may hold a phone.
        let (method, route, status) = (self.method, route.unwrap_or("unmatched"), self.status);
        let ms = self.elapsed.as_secs_f64() * 1000.0;
        let what = if status == LEFT { "left" } else { "answered" };
        let write = || tracing::info!(target: "access", %method, route, status, ms, "{what}");
        self.origin.clone().run_sync(write);
    }
}

//! What the HTTP layer measures.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_web::http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::routes::{self, RouteRef};

/// The name of the series of whatever is no route.
const UNMATCHED: &str = "unmatched";
/// The status of requests whose client left before the answer: for those who read the figures, never sent.
pub(super) const LEFT: u16 = 499;
const LEFT_LABEL: &str = "499";

/// The series of the HTTP layer. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// One entry a path of the public listener: a request finds its series by numbers, without a look at their labels.
    paths: Arc<[Path]>,
    /// Event streams that are open.
    pub streams: IntGauge,
}

/// The series of one path, each made when it is first used.
struct Path {
    seconds: OnceLock<Histogram>,
    requests: Box<[[OnceLock<IntCounter>; STATUSES.len()]; METHODS.len()]>,
}

/// Any other method is one series: a client must not be able to make series.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "other"];
/// What we answer. A status that is not here is counted all the same, only slower.
const STATUSES: [u16; 20] =
    [200, 201, 202, 204, 304, 308, 400, 401, 404, 405, 409, 410, 412, 413, 415, 422, 429, 500, 503, 504];

impl Metrics {
    /// Registers the series.
    ///
    /// # Errors
    /// They are registered already.
    pub fn build(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "gateway_http_requests_total",
                "Requests by the status of their answer; 499 is none: the client left before it.",
            ),
            &["route", "method", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("gateway_http_request_seconds", "Time until the answer's head, seconds.")
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            &["route"],
        )?;
        let streams = IntGauge::new("gateway_http_streams", "Event streams that are open.")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(streams.clone()))?;
        let path = || Path { seconds: OnceLock::new(), requests: Box::default() };
        let paths = std::iter::repeat_with(path).take(routes::COUNT).collect();
        Ok(Self { requests, seconds, paths, streams })
    }

    /// Counts an answer of the public listener.
    pub(super) fn observe_route(&self, route: &RouteRef, method: &Method, status: StatusCode, elapsed: Duration) {
        let label = route.pattern.unwrap_or(UNMATCHED);
        let (Some(path), Some(at)) =
            (self.paths.get(route.path_index), STATUSES.iter().position(|known| *known == status.as_u16()))
        else {
            return self.observe(Some(label), method, status, elapsed);
        };
        let method = index_of(method);
        let requests = || self.requests.with_label_values(&[label, METHODS[method], status.as_str()]);
        path.requests[method][at].get_or_init(requests).inc();
        path.seconds.get_or_init(|| self.seconds.with_label_values(&[label])).observe(elapsed.as_secs_f64());
    }

    /// Counts a request whose client left before the answer. How long it stayed is no time of ours.
    pub(super) fn count_left(&self, route: Option<&str>, method: &Method) {
        let route = route.unwrap_or(UNMATCHED);
        self.requests.with_label_values(&[route, METHODS[index_of(method)], LEFT_LABEL]).inc();
    }

    /// Counts an answer by the pattern of its path.
    pub(super) fn observe(&self, route: Option<&str>, method: &Method, status: StatusCode, elapsed: Duration) {
        let route = route.unwrap_or(UNMATCHED);
        self.requests.with_label_values(&[route, METHODS[index_of(method)], status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(elapsed.as_secs_f64());
    }
}

fn index_of(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::PUT => 2,
        Method::PATCH => 3,
        Method::DELETE => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_are_the_same_however_they_are_found() {
        let (fast, slow) = (Registry::new(), Registry::new());
        let metrics = [&fast, &slow].map(|registry| Metrics::build(registry).unwrap());
        let brew = Method::from_bytes(b"BREW").unwrap();
        for (path, method) in [("/v1/me", &Method::GET), ("/v1/me", &brew), ("/nowhere", &Method::GET)] {
            for status in [200, 429, 418] {
                let status = StatusCode::from_u16(status).unwrap();
                let route = routes::find(method, path);
                metrics[0].observe_route(&route, method, status, Duration::from_millis(3));
                metrics[1].observe(route.pattern, method, status, Duration::from_millis(3));
            }
        }
        let told = [fast, slow].map(|registry| prometheus::TextEncoder::new().encode_to_string(&registry.gather()));
        let [fast, slow] = told.map(Result::unwrap);
        assert!(fast.contains("{method=\"other\",route=\"/v1/me\",status=\"418\"} 1"), "{fast}");
        assert!(fast.contains("{method=\"GET\",route=\"unmatched\",status=\"429\"} 1"), "{fast}");
        assert_eq!(fast, slow);
    }
}

//! The peer of an accepted request: actix-web that sends the same bytes, counts and times the request and gives it an id. No
//! limits, no policies, no tokens, no log.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::{Next, from_fn},
    web,
};
use clap::Args;
use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use super::cores::Cores;
use crate::{clock, process::Process};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// As the gateway's.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the bench starts it with.
#[derive(Args)]
pub(crate) struct Options {
    /// [`Sent`] as JSON
    #[arg(long)]
    answer: PathBuf,
}

/// What it answers.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// The path.
    pub(crate) path: String,
    /// The headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

/// Its series. The handles are looked up once: nobody can do it cheaper.
#[derive(Clone)]
struct Metrics {
    requests: IntCounter,
    seconds: Histogram,
}

/// Serves on a free port, which it prints, until it is killed.
///
/// # Errors
/// In words.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let text = std::fs::read_to_string(&options.answer).map_err(|e| e.to_string())?;
    let sent: Sent = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let metrics = Metrics::build().map_err(|e| e.to_string())?;
    let answer = web::Data::new(Ready::of(&sent)?);
    let path = sent.path;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(metrics.clone()))
            .app_data(answer.clone())
            .wrap(from_fn(around))
            .route(&path, web::get().to(respond))
    });
    let server = server.workers(1).keep_alive(KEEP_ALIVE).bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
    let port = server.addrs().first().ok_or("no address")?.port();
    let mut out = std::io::stdout();
    writeln!(out, "{port}").and_then(|()| out.flush()).map_err(|e| e.to_string())?;
    server.run().await.map_err(|e| e.to_string())
}

async fn around<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let start = clock::now();
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let id = request.headers().get(REQUEST_ID).cloned();
    let id = id.map_or_else(|| new_id(NUMBER.fetch_add(1, Ordering::Relaxed)), Ok);
    let mut response = next.call(request).await?;
    if let Ok(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(metrics) = metrics {
        metrics.requests.inc();
        metrics.seconds.observe(start.elapsed().as_secs_f64());
    }
    Ok(response)
}

fn new_id(number: u64) -> Result<HeaderValue, actix_web::http::header::InvalidHeaderValue> {
    HeaderValue::from_maybe_shared(web::Bytes::from(format!("{number:032x}")))
}

/// The answer, ready to be sent.
struct Ready {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: web::Bytes,
}

impl Ready {
    fn of(sent: &Sent) -> Result<Self, String> {
        let headers = sent.headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).map_err(|e| e.to_string())?;
            Ok((name, HeaderValue::from_str(value).map_err(|e| e.to_string())?))
        });
        let headers = headers.collect::<Result<_, String>>()?;
        Ok(Self { headers, body: web::Bytes::from(sent.body.clone()) })
    }
}

async fn respond(ready: web::Data<Ready>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for (name, value) in &ready.headers {
        response.insert_header((name.clone(), value.clone()));
    }
    response.body(ready.body.clone())
}

impl Metrics {
    fn build() -> Result<Self, prometheus::Error> {
        let requests = IntCounter::new("requests_total", "Requests answered.")?;
        let seconds = Histogram::with_opts(HistogramOpts::new("request_seconds", "Time until the answer, seconds."))?;
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }
}

/// The peer's process; killed when dropped.
pub(crate) struct Bare {
    _child: Child,
    /// Its port on the loopback address.
    pub(crate) port: u16,
    /// As the operating system sees it.
    pub(crate) process: Process,
}

impl Bare {
    /// Starts it with this answer, which it reads from `file`.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start(cores: &Cores, file: &Path, sent: &Sent) -> Result<Self, String> {
        let text = serde_json::to_string(sent).map_err(|e| e.to_string())?;
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = cores.server(&own);
        command.arg("bare").arg("--answer").arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("the bare server: {e}"))?;
        let process = Process::new(child.id().ok_or("the bare server has ended")?)?;
        let out = child.stdout.take().ok_or("no pipe")?;
        let line = BufReader::new(out).lines().next_line().await.map_err(|e| e.to_string())?;
        let port = line.and_then(|line| line.parse().ok()).ok_or("the bare server did not say its port")?;
        Ok(Self { _child: child, port, process })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test;

    use super::*;

    #[actix_web::test]
    async fn the_peer_sends_what_it_was_given_with_an_id_and_counts_it() {
        let sent = Sent {
            path: "/v1/x".to_owned(),
            headers: vec![("cache-control".to_owned(), "no-store".to_owned())],
            body: "{}".to_owned(),
        };
        let metrics = Metrics::build().unwrap();
        let app = App::new()
            .app_data(web::Data::new(metrics.clone()))
            .app_data(web::Data::new(Ready::of(&sent).unwrap()))
            .wrap(from_fn(around))
            .route(&sent.path, web::get().to(respond));
        let app = test::init_service(app).await;
        let response = test::call_service(&app, test::TestRequest::get().uri("/v1/x").to_request()).await;
        assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
        assert_eq!(response.headers().get(REQUEST_ID).unwrap().len(), 32);
        assert_eq!(test::read_body(response).await, "{}");
        assert_eq!((metrics.requests.get(), metrics.seconds.get_sample_count()), (1, 1));
    }
}

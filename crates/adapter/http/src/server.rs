//! The two listeners.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse,
    dev::{Server, ServerHandle},
    middleware::from_fn,
    web,
};
use runtime::task::Restart;

use crate::{
    Api, Config,
    door::{self, Door, Rules},
    edge, internal, openapi,
    problem::Problem,
    public::sandbox,
    routes,
};

/// Connections of drivers' and operators' systems at the same time.
const INTERNAL_CONNECTIONS: u64 = 1_024;
/// Files that are open beside connections: databases, logs, sockets of our own.
const OTHER_FILES: u64 = 256;
/// How the sweep of the connections comes back after a failure.
const RESTART: Restart = Restart::OnFailure { first: Duration::from_millis(100), max: Duration::from_secs(10) };

/// Both listeners, bound and not yet serving.
pub struct Servers {
    public: Server,
    internal: Server,
    /// Where the public one listens.
    pub public_address: SocketAddr,
    /// Where the internal one listens.
    pub internal_address: SocketAddr,
}

/// Ends both listeners.
#[derive(Clone)]
pub struct Stop([ServerHandle; 2]);

impl Servers {
    /// What ends them.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop([self.public.handle(), self.internal.handle()])
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// A listener that failed.
    pub async fn run(self) -> io::Result<()> {
        let (public, internal) = futures_util::future::join(self.public, self.internal).await;
        public.and(internal)
    }
}

impl Stop {
    /// Stops accepting, lets requests that run end within the drain time, then closes what is left. The internal
    /// listener goes last: health and metrics are there while passengers are still served.
    pub async fn gracefully(&self) {
        for listener in &self.0 {
            listener.stop(true).await;
        }
    }
}

/// Binds both listeners.
///
/// # Errors
/// An address that cannot be bound; the text names it. Series that are registered already.
pub fn bind(config: Config, api: Arc<Api>, drain_s: u32) -> io::Result<Servers> {
    let edge = web::Data::new(edge::Edge {
        entropy: api.entropy.clone(),
        metrics: api.metrics.clone(),
        access_log: config.access_log,
        ready: api.ready.clone(),
        started: api.started,
    });
    let named =
        |address: SocketAddr| move |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}"));
    let (public_socket, internal_socket) = (
        door::bind(config.public_bind).map_err(named(config.public_bind))?,
        door::bind(config.internal_bind).map_err(named(config.internal_bind))?,
    );
    let (public_address, internal_address) = (public_socket.local_addr()?, internal_socket.local_addr()?);
    let [public_door, internal_door] = doors(&config, &api)?;
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    };
    let config = web::Data::new(config);
    let api = web::Data::from(api);
    let (public_state, internal_state) = ((config.clone(), api.clone(), edge.clone()), (config, api, edge));
    let has_sandbox = public_state.1.sandbox.is_some();

    let public = move || {
        let (config, api, edge) = public_state.clone();
        let cors = edge::cors::cors(&config.allowed_origins);
        App::new()
            .app_data(config.clone())
            .app_data(api.clone())
            .wrap(edge::Around::new(edge, edge::admission::Admitted { api, config }))
            .wrap(cors)
            .configure(routes::configure)
            .configure(|app| {
                if has_sandbox {
                    sandbox::configure(app)
                }
            })
            .configure(openapi::configure)
            .default_service(web::to(nothing_here))
    };
    let internal = move || {
        let (config, api, edge) = internal_state.clone();
        App::new()
            .app_data(config)
            .app_data(api)
            .wrap(from_fn(internal::authenticate))
            .wrap(edge::Around::new(edge, edge::Unlimited))
            .configure(internal::configure)
            .default_service(web::to(nothing_here))
    };
    Ok(Servers {
        public: door::serve(public_socket, &public_door, workers, drain_s, public)?,
        internal: door::serve(internal_socket, &internal_door, 1, drain_s, internal)?,
        public_address,
        internal_address,
    })
}

/// The doors of the public and of the internal listener, and what keeps their times.
fn doors(config: &Config, api: &Api) -> io::Result<[Arc<Door>; 2]> {
    let (public_limit, internal_limit) = places(config.max_connections, door::raise_open_files());
    if public_limit < config.max_connections {
        tracing::warn!(
            asked = config.max_connections,
            allowed = public_limit,
            "http.max_connections is more than the system's limit of open files (ulimit -n) allows"
        );
    }
    let rules = |max_connections, max_per_address| Rules {
        max_connections,
        max_per_address,
        trusted: config.trusted_proxies.clone(),
        head: seconds(config.head_timeout_s),
        keep_alive: seconds(config.keep_alive_s),
        write: seconds(config.write_timeout_s),
        body_limit: config.body_limit,
    };
    let metrics = door::Metrics::build(&api.registry).map_err(io::Error::other)?;
    let public = rules(public_limit, config.max_connections_per_address);
    // Few systems speak there, each with a token, and often all through one address.
    let internal = rules(internal_limit, usize::MAX);
    let public = Door::new("public", public, &metrics, api.clock.clone());
    let internal = Door::new("internal", internal, &metrics, api.clock.clone());
    let swept = vec![("public", public.clone()), ("internal", internal.clone())];
    api.supervisor.spawn("connection-sweep", RESTART, move |shutdown| {
        let swept = swept.clone();
        async move {
            door::sweep(swept, shutdown).await;
            Ok::<_, std::convert::Infallible>(())
        }
    });
    Ok([public, internal])
}

/// Connections of the public and of the internal listener, where the system allows so many open files.
fn places(asked: usize, files: Option<u64>) -> (usize, usize) {
    let Some(files) = files else { return (asked, number(INTERNAL_CONNECTIONS)) };
    let free = files.saturating_sub(OTHER_FILES).max(16);
    let internal = INTERNAL_CONNECTIONS.min(free / 8);
    // Those that make room are still open for a moment.
    let public = (free - internal) * 7 / 8;
    (asked.min(number(public)), number(internal))
}

fn number(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn seconds(s: u32) -> Duration {
    Duration::from_secs(s.into())
}

async fn nothing_here() -> HttpResponse {
    HttpResponse::from_error(Problem::not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_connections_than_open_files() {
        for (asked, files, public, internal) in [
            (10_000, None, 10_000, 1_024),
            (10_000, Some(1_048_576), 10_000, 1_024),
            (10_000, Some(20_000), 10_000, 1_024),
            (10_000, Some(1_024), 588, 96),
            (10_000, Some(0), 12, 2),
        ] {
            assert_eq!(places(asked, files), (public, internal), "{files:?}");
        }
    }
}

//! The two listeners.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    middleware::from_fn,
    web,
};

use crate::{Api, Config, edge, internal, openapi, problem::Problem, public::sandbox, routes};

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

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
/// An address that cannot be bound; the text names it.
pub fn bind(config: Config, api: Arc<Api>, drain_s: u32) -> io::Result<Servers> {
    let edge = web::Data::new(edge::Edge {
        entropy: api.entropy.clone(),
        metrics: api.metrics.clone(),
        access_log: config.access_log,
        ready: api.ready.clone(),
        started: api.started,
    });
    let config = web::Data::new(config);
    let api = web::Data::from(api);
    let (public_state, internal_state) = ((config.clone(), api.clone(), edge.clone()), (config.clone(), api, edge));
    let has_sandbox = public_state.1.sandbox.is_some();

    let public = HttpServer::new(move || {
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
    });
    let internal = HttpServer::new(move || {
        let (config, api, edge) = internal_state.clone();
        App::new()
            .app_data(config)
            .app_data(api)
            .wrap(from_fn(internal::authenticate))
            .wrap(edge::Around::new(edge, edge::Unlimited))
            .configure(internal::configure)
            .default_service(web::to(nothing_here))
    });
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    };
    let named =
        |address: SocketAddr| move |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}"));
    macro_rules! tuned {
        ($server:expr, $workers:expr, $address:expr) => {
            $server
                .workers($workers)
                .max_connections(config.max_connections)
                .client_request_timeout(HEAD_TIMEOUT)
                .keep_alive(KEEP_ALIVE)
                // A stream whose client left is noticed at its next heartbeat instead of living on.
                .h1_allow_half_closed(false)
                .shutdown_timeout(u64::from(drain_s))
                .disable_signals()
                .bind($address)
                .map_err(named($address))?
        };
    }
    let public = tuned!(public, workers, config.public_bind);
    let internal = tuned!(internal, 1, config.internal_bind);
    let public_address = public.addrs().first().copied().unwrap_or(config.public_bind);
    let internal_address = internal.addrs().first().copied().unwrap_or(config.internal_bind);
    Ok(Servers { public: public.run(), internal: internal.run(), public_address, internal_address })
}

async fn nothing_here() -> HttpResponse {
    HttpResponse::from_error(Problem::not_found())
}

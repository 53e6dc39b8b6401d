//! What actix-web's own `HttpServer` does, with the door in front: it cannot turn a connection away.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response, error::DispatchError};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service as _, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{AppConfig, ServiceResponse},
    rt::net::TcpStream,
};
use bytes::Bytes;
use socket2::{Domain, Protocol as Transport, Socket, Type};

use super::{
    Door,
    slot::Pace,
    stream::{Guarded, Line, UnderWay},
};

/// Connections that the kernel takes before we do, if its own limit (`net.core.somaxconn`) allows.
const BACKLOG: i32 = 4096;
/// How long the rest of a body that nobody wanted is waited for, so that its sender reads the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Between two requests of a client that sends many without waiting for an answer, where it is slowed down.
const LATER: Duration = Duration::from_millis(10);

/// A listening socket.
///
/// # Errors
/// The address cannot be bound.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves `app` behind `door`.
///
/// # Errors
/// The socket cannot be used.
pub(crate) fn serve<F, I, S, B>(
    listener: TcpListener,
    door: &Arc<Door>,
    workers: usize,
    drain_s: u32,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::InitError: fmt::Debug,
    B: MessageBody + 'static,
{
    let door = door.clone();
    let builder = Server::build()
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(drain_s.into())
        // Never reached: at this limit nobody would be let in, and the door counts for all workers.
        .max_concurrent_connections(usize::MAX / 2);
    let stopping = builder.graceful_shutdown_signal();
    let server = builder.listen("http", listener, move || {
        let app = map_config(app().into_factory(), |()| AppConfig::default());
        let app = apply_fn_factory(app, |request: Request, app: &S::Service| {
            let line = request.conn_data::<Line>().cloned();
            let pace = line.as_ref().map_or(Pace::Now, |line| line.asked(&request));
            let (begun, waiting) = match pace {
                Pace::Now => (line.map(Line::begin), None),
                Pace::AfterOthers | Pace::Later => (None, line),
            };
            let answer = app.call(request);
            async move {
                // Whoever sends many requests at once gets one at a time, as everybody does.
                match pace {
                    Pace::Now => {}
                    Pace::AfterOthers => tokio::task::yield_now().await,
                    Pace::Later => tokio::time::sleep(LATER).await,
                }
                let under_way = begun.or_else(|| waiting.map(Line::begin));
                let response: Response<BoxBody> = answer.await?.map_into_boxed_body().into();
                Ok::<_, Error>(response.map_body(|_, body| Answer { body, _under_way: under_way }))
            }
        });
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // The door keeps the times; the framework's own would only bound the first head of a connection.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            // A stream whose client left is noticed at its next heartbeat instead of living on.
            .h1_allow_half_closed(false)
            .on_connect_ext(|stream: &Guarded, data| {
                data.insert(stream.line());
            })
            .finish(app.map_err(|error| error.error_response()));
        let door = door.clone();
        fn_service(move |tcp: TcpStream| {
            let admitted = door.admit(tcp);
            async move {
                let turned_away = || DispatchError::Io(io::ErrorKind::ConnectionRefused.into());
                admitted.map(|(stream, peer)| (stream, Protocol::Http1, Some(peer))).ok_or_else(turned_away)
            }
        })
        .and_then(http)
    })?;
    Ok(server.run())
}

/// An answer's body; when it is dropped the request is over.
struct Answer {
    body: BoxBody,
    _under_way: Option<UnderWay>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

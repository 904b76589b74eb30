//! The connections: how many there are, how each is spoken on, and for how long one may be idle.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::{Door, Visit};
use super::listener::Listener;
use super::network::Network;
use super::{Stage, stopped};

/// Connections at once, where descriptors allow for them; more wait to be accepted.
const MOST: u64 = 1_000;

/// Descriptors that are asked for: for connections, and for the files and connections of uploads.
const DESCRIPTORS: u64 = 4_096;

/// How long a connection may be idle, or take to send the head of a request; and how long one over the network may take to bring a key.
const IDLE: Duration = Duration::from_secs(10);

/// Most bytes of the head of a request.
const HEAD: usize = 64 << 10;

/// How long clients may take to read their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What the service listens on.
pub(super) struct Doors {
    socket: Listener,
    network: Option<Network>,
    browsers: Browsers,
    /// Connections at once, over all.
    most: usize,
    /// Those over TCP.
    rooms: Arc<Semaphore>,
}

impl Doors {
    /// `browsers` brings the listener for browsers of this machine, once somebody has asked for the page.
    pub(super) fn new(
        socket: Listener,
        network: Option<Network>,
        browsers: mpsc::Receiver<TcpListener>,
    ) -> Self {
        let most = most();
        // Whoever is on the network cannot shut out the socket.
        let rooms = Arc::new(Semaphore::new(most - most.div_ceil(4)));
        Self {
            socket,
            network,
            browsers: Browsers {
                coming: browsers,
                listener: None,
            },
            most,
            rooms,
        }
    }

    /// Answers until the service has stopped, and the requests of that time have their answers.
    pub(super) async fn serve(self, router: Router, mut stage: watch::Receiver<Stage>) {
        let Self {
            socket,
            network,
            mut browsers,
            most,
            rooms,
        } = self;
        let mut connections = JoinSet::new();
        loop {
            let free = connections.len() < most;
            tokio::select! {
                accepted = socket.accept(), if free => match accepted {
                    Ok(stream) => {
                        connections.spawn(speak(stream, Door::Socket, router.clone(), stage.clone()));
                    }
                    Err(error) => not_accepted(&error).await,
                },
                accepted = visitor(network.as_ref(), &rooms), if free => match accepted {
                    Ok((stream, room, tls)) => {
                        let (router, stage) = (router.clone(), stage.clone());
                        connections.spawn(async move {
                            receive(stream, tls, Door::Network, router, stage).await;
                            drop(room);
                        });
                    }
                    Err(error) => not_accepted(&error).await,
                },
                accepted = browsers.accept(&rooms), if free => match accepted {
                    Ok((stream, room)) => {
                        let (router, stage) = (router.clone(), stage.clone());
                        connections.spawn(async move {
                            receive(stream, None, Door::Page, router, stage).await;
                            drop(room);
                        });
                    }
                    Err(error) => not_accepted(&error).await,
                },
                Some(_) = connections.join_next() => {}
                () = stopped(&mut stage) => break,
            }
        }
        let answered = async { while connections.join_next().await.is_some() {} };
        // A client that does not read loses its answer.
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
    }
}

/// The next connection over the network, once there is room for one.
async fn visitor(
    network: Option<&Network>,
    rooms: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit, Option<TlsAcceptor>)> {
    let Some(network) = network else {
        return pending().await;
    };
    let room = room(rooms).await?;
    Ok((network.accept().await?, room, network.tls.clone()))
}

async fn room(rooms: &Arc<Semaphore>) -> io::Result<OwnedSemaphorePermit> {
    let room = Arc::clone(rooms).acquire_owned().await;
    room.map_err(io::Error::other)
}

/// The listener for browsers of this machine, once there is one.
struct Browsers {
    coming: mpsc::Receiver<TcpListener>,
    listener: Option<TcpListener>,
}

impl Browsers {
    /// The next connection, once there is room for one. Safe to drop between polls.
    async fn accept(
        &mut self,
        rooms: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            none => match self.coming.recv().await {
                Some(listener) => none.insert(listener),
                // The service ends.
                None => return pending().await,
            },
        };
        let room = room(rooms).await?;
        let (stream, _) = listener.accept().await?;
        // Answers are small and urgent; if this fails they are only late.
        let _ = stream.set_nodelay(true);
        Ok((stream, room))
    }
}

async fn not_accepted(error: &io::Error) {
    // Usually no descriptor is free.
    tracing::warn!(%error, "a connection was not accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// How many connections there may be at once: half of the descriptors are left to uploads.
fn most() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // No limit is stated as none.
    let (current, maximum) = (limit.current.unwrap_or(u64::MAX), limit.maximum);
    let wanted = DESCRIPTORS.min(maximum.unwrap_or(u64::MAX)).max(current);
    let raised = Rlimit {
        current: limit.current.map(|_| wanted),
        maximum,
    };
    let has = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => current,
    };
    usize::try_from(MOST.min(has / 2))
        .unwrap_or_default()
        .max(1)
}

/// Speaks on a connection over TCP, which ends when no key or session has come in time: neither a handshake, nor a head, nor an answer
/// that nobody reads holds it for longer.
async fn receive(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    door: fn(Arc<Visit>) -> Door,
    router: Router,
    stage: watch::Receiver<Stage>,
) {
    // A connection that is gone already has no address.
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let visit = Arc::new(Visit::new(local));
    let door = door(Arc::clone(&visit));
    let spoken = async {
        match tls {
            None => speak(stream, door, router, stage).await,
            // A client that does not trust the certificate sends nothing more.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    speak(stream, door, router, stage).await;
                }
            }
        }
    };
    let waited = async {
        tokio::time::sleep(IDLE).await;
        if visit.is_admitted() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = spoken => {}
        () = waited => {}
    }
}

async fn speak<S>(stream: S, door: Door, router: Router, mut stage: watch::Receiver<Stage>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(door.clone());
        Box::pin(service.call(request))
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // An error means that the client has left or was too slow, here and below.
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(ended),
        () = stopped(&mut stage) => None,
    };
    let Some(ended) = ended else {
        Pin::new(&mut connection).graceful_shutdown();
        let _ = connection.await;
        return;
    };
    if ended.is_ok() {
        let stream = connection.into_parts().io.into_inner();
        // A client that does not end the connection is not waited for.
        let _ = tokio::time::timeout(LAST_ANSWERS, take_leave(stream)).await;
    }
}

/// Ends a connection, and then reads what the client is still sending: to close before that would reset the connection, and a client
/// that sends all before it reads would not learn why it was refused.
async fn take_leave(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

//! The server's thread: it accepts connections until it is stopped.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connection_limit::{BLOCKING_THREADS, Client, Connections};
use super::routes::router;
use super::shared::Shared;
use super::{connection, sink, webhook_delivery};

/// How long a connection may take to make room before the next check.
const ROOM: Duration = Duration::from_millis(10);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a bound listener, with a thread and a runtime of its own, so that a test which blocks its thread does
    /// not stop the server.
    pub(crate) fn start(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("emulator")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("emulator".to_owned())
            .spawn(move || run(runtime, listener, tls, shared, stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn stop(&mut self) {
        // Without a receiver the server has stopped already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    runtime: Runtime,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let guarded = Arc::clone(&shared);
    runtime.block_on(async {
        tokio::select! {
            _ = guarded.guard(accept(listener, tls, shared)) => {}
            _ = stopped => {}
        }
    });
    // Requests in progress end with their connections.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let router = router(Arc::clone(&shared));
    let mut connections = Connections::new(shared.sink, shared.sink || shared.storage.is_some());
    tokio::spawn(Arc::clone(&shared).guard(webhook_delivery::announce(Arc::clone(&shared))));
    loop {
        let full = connections.is_full();
        if full {
            connections.close_oldest_idle();
        }
        tokio::select! {
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, from)) => {
                    let client = Client::new(from.ip());
                    let (tls, shared, router) = (tls.clone(), Arc::clone(&shared), router.clone());
                    let served = serve(stream, Arc::clone(&client), tls, shared, router);
                    connections.add(client, served);
                }
                // Usually no descriptor is free; other code in this process may hold them, too.
                Err(_) => {
                    connections.close_oldest_idle();
                    tokio::time::sleep(ROOM).await;
                }
            },
            Some(()) = connections.ended() => {}
            // If all connections were in use, one may be idle by now.
            () = tokio::time::sleep(ROOM), if full => {}
        }
    }
}

async fn serve(
    stream: TcpStream,
    client: Arc<Client>,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    router: Router,
) {
    let guarded = Arc::clone(&shared);
    match shared.sink {
        true => {
            guarded
                .guard(sink::serve(stream, client, tls, shared, router))
                .await
        }
        false => {
            let tls = tls.map(TlsAcceptor::from);
            guarded
                .guard(connection::serve(stream, client, tls, shared, router))
                .await
        }
    };
}

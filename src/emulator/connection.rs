//! Connections: HTTP over a socket that can be broken on purpose.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::connection_limit::Client;
use super::settings::Http2;
use super::shared::Shared;

/// Most bytes that a connection buffers; a head must fit in it.
const READ_AHEAD: usize = 64 << 10;

/// Most bytes that a client may send after a refusal before its connection is dropped.
const LINGER_BYTES: u64 = 256 << 20;
const LINGER_TIME: Duration = Duration::from_secs(30);

/// A handler's control over the connection of its request; in the request's extensions.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) tls: bool,
    pub(crate) client: Arc<Client>,
    used: AtomicBool,
    broken: AtomicBool,
    reset: Notify,
}

impl Line {
    pub(crate) fn new(client: Arc<Client>, tls: bool) -> Self {
        Self {
            tls,
            client,
            used: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            reset: Notify::new(),
        }
    }

    /// Counts the connection, once, when a call or a chunk arrives on it.
    pub(crate) fn count(&self, shared: &Shared) {
        if !self.used.swap(true, Ordering::Relaxed) {
            shared.service().connections += 1;
        }
    }

    /// Resets the connection. The future never ends; it is dropped with the connection.
    pub(crate) async fn break_off<T>(&self) -> T {
        self.broken.store(true, Ordering::Relaxed);
        self.reset.notify_one();
        std::future::pending().await
    }
}

/// A socket that closes with a reset if a handler broke it off.
struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.broken.load(Ordering::Relaxed) {
            // This fails only if the connection is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Serves one connection until it ends or is broken off.
pub(crate) async fn serve(
    stream: TcpStream,
    client: Arc<Client>,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    router: Router,
) {
    // Answers are small and urgent; if this fails they are only late.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::new(client, tls.is_some()));
    let wire = Wire {
        stream,
        line: Arc::clone(&line),
    };
    let spoken = async {
        let two = shared.service().settings(None).http2 == Http2::On;
        match tls {
            None => {
                let two = two && wire.starts_http2().await;
                speak(wire, Arc::clone(&line), router, two).await;
            }
            // A client that does not trust the certificate sends nothing more.
            Some(tls) => {
                if let Ok(stream) = tls.accept(wire).await {
                    let two = two && stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    speak(stream, Arc::clone(&line), router, two).await;
                }
            }
        }
    };
    tokio::select! {
        () = spoken => {}
        () = line.client.leave.notified() => {}
        () = line.reset.notified() => {}
    }
}

impl Wire {
    /// Whether the client begins with HTTP/2 without negotiation (prior knowledge).
    async fn starts_http2(&self) -> bool {
        let mut first = [0; 3];
        // No request line of HTTP/1 starts like its preface, `PRI * HTTP/2.0`.
        self.stream.peek(&mut first).await.is_ok() && &first == b"PRI"
    }
}

async fn speak<S>(stream: S, line: Arc<Line>, router: Router, two: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let served = line.client.serve();
        request.extensions_mut().insert(Arc::clone(&line));
        let answered = service.call(request);
        async move {
            let response = answered.await?;
            // An open page is idle between two events; its browser reconnects by itself.
            let served = (!is_event_stream(&response)).then_some(served);
            // The connection is in use until the body was sent.
            let held = move |frame| {
                let _served = &served;
                frame
            };
            Ok::<_, Infallible>(response.map(|body| Body::new(body.map_frame(held))))
        }
    });
    if two {
        let http2 = http2::Builder::new(TokioExecutor::new());
        // An error means that the client has left, here and below.
        let _ = http2.serve_connection(TokioIo::new(stream), service).await;
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(120))
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(stream), service);
    // An error means that the client has left; the log shows the requests that the client did not finish.
    if let Ok(parts) = connection.without_shutdown().await {
        linger(parts.io.into_inner()).await;
    }
}

pub(crate) fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Closes a connection so that the last answer arrives: closing while the client still sends would reset it, and a reset
/// overtakes the answer.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut buffer = vec![0; 64 << 10];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read as u64);
            if left == 0 {
                break;
            }
        }
    };
    // A client that sends for longer than this has had its answer for as long.
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! Sink mode: a server that costs less than its clients, for measuring them.
//!
//! Heads are judged by the usual rules; a body is counted and discarded without being read, in most cases without being
//! copied. Each connection has a blocking thread of its own. Functions that need the bytes or their pace (hashes,
//! faults, rates, keeping) do not exist here. A TLS server also accepts plain HTTP on the same port, so that a benchmark
//! can read its log.

mod pipe;
mod usage;

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::service::Service;
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Handle;
use tokio_rustls::rustls::ServerConfig;

use super::answer::{empty_answer, text_answer};
use super::call::MOST_BYTES;
use super::connection::{Line, is_event_stream};
use super::connection_limit::Client;
use super::routes::UPLOADS;
use super::shared::Shared;
use super::{admission, receive};
use pipe::Pipe;
pub use usage::Usage;
pub(crate) use usage::usage;

/// Longest head in bytes, and most of its fields.
const LONGEST_HEAD: usize = 64 << 10;
const MOST_FIELDS: usize = 64;

/// Accepts a body of any length, for comparisons: `curl -T FILE URL/_emulator/sink`.
const SINK: &str = "/_emulator/sink";

/// How long a connection may be idle, or send none of the bytes it owes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Serves one connection until it ends or this future is dropped.
pub(crate) async fn serve(
    stream: tokio::net::TcpStream,
    client: Arc<Client>,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    router: Router,
) {
    let stream = stream.into_std();
    // Without a socket there is no client to answer.
    let Ok((stream, end)) = stream.and_then(|stream| Ok((stream.try_clone()?, HangUp(stream))))
    else {
        return;
    };
    let runtime = Handle::current();
    let known = Arc::clone(&client);
    let served = move || block(stream, known, tls, &shared, router, &runtime);
    let mut thread = tokio::task::spawn_blocking(served);
    let served = tokio::select! {
        served = &mut thread => served,
        () = client.leave.notified() => {
            drop(end);
            thread.await
        }
    };
    if let Err(error) = served
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Wakes the thread of this connection from any wait.
struct HangUp(TcpStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        // The connection may have ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Serves a connection on this thread.
fn block(
    stream: TcpStream,
    client: Arc<Client>,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    router: Router,
    runtime: &Handle,
) {
    let tls = tls.filter(|_| opens_tls(&stream));
    let line = Arc::new(Line::new(client, tls.is_some()));
    let served = Pipe::open(stream, tls, PATIENCE).and_then(|pipe| {
        let mut connection = Connection {
            pipe,
            shared,
            service: TowerToHyperService::new(router),
            runtime,
            line,
        };
        while connection.exchange()? {}
        connection.pipe.close()
    });
    // An error means that the client has left.
    drop(served);
}

/// Waits for the first byte; whether it begins a TLS handshake (RFC 8446, 5.1).
fn opens_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    let looked = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.peek(&mut first));
    looked.is_ok() && first == [22]
}

struct Connection<'a> {
    pipe: Pipe,
    shared: &'a Arc<Shared>,
    service: TowerToHyperService<Router>,
    runtime: &'a Handle,
    line: Arc<Line>,
}

impl Connection<'_> {
    /// Handles one request; returns whether another may follow.
    fn exchange(&mut self) -> io::Result<bool> {
        let Some(head) = self.pipe.head(LONGEST_HEAD)? else {
            return Ok(false);
        };
        let Some(parts) = parse(&head) else {
            self.answer(empty_answer(400), false)?;
            return Ok(false);
        };
        let served = self.line.client.serve();
        let mut unread = match content_length(&parts.headers) {
            Ok(length) => length,
            Err(why) => {
                self.answer(text_answer(400, "text/plain", why), false)?;
                return Ok(false);
            }
        };
        if let Some(refused) = admission::refuse(&parts, self.shared) {
            return self.answer(refused, false);
        }
        if parts.headers.contains_key(EXPECT) {
            self.pipe.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let last = closes(&parts.headers) || parts.version == Version::HTTP_10;
        let response = if parts.method == Method::PUT && parts.uri.path() == SINK {
            self.pipe.discard(unread)?;
            unread = 0;
            empty_answer(200)
        } else if parts.method == Method::PUT && UPLOADS.contains(&parts.uri.path()) {
            self.line.count(self.shared);
            let pipe = &mut self.pipe;
            receive::take_chunk(self.shared, &parts, |wanted| {
                unread = unread.saturating_sub(wanted);
                pipe.discard(wanted)
            })?
        } else {
            let body = self.pipe.take(unread.min(MOST_BYTES as u64 + 1))?;
            unread -= body.len() as u64;
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(Arc::clone(&self.line));
            let answered = self.service.call(request);
            self.runtime.block_on(answered).map_err(io::Error::other)?
        };
        let _served = (!is_event_stream(&response)).then_some(served);
        self.answer(response, unread == 0 && !last)
    }

    /// Writes an answer; returns whether the connection stays open.
    fn answer(&mut self, response: Response, keep: bool) -> io::Result<bool> {
        let (mut parts, mut body) = response.into_parts();
        parts.headers.remove(TRANSFER_ENCODING);
        let length = body.size_hint().exact();
        let keep = keep && length.is_some() && !closes(&parts.headers);
        if let Some(length) = length
            && parts.status != StatusCode::NO_CONTENT
        {
            parts.headers.insert(CONTENT_LENGTH, length.into());
        }
        if !keep {
            parts
                .headers
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, reason) = (parts.status.as_u16(), parts.status.canonical_reason());
        let mut text = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default()).into_bytes();
        for (name, value) in &parts.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        // A short answer leaves in one piece.
        while let Some(frame) = self.runtime.block_on(body.frame()) {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                text.extend_from_slice(&data);
            }
            if length.is_none() {
                self.pipe.write(&text)?;
                text.clear();
            }
        }
        self.pipe.write(&text)?;
        Ok(keep)
    }
}

fn closes(headers: &HeaderMap) -> bool {
    headers
        .get(CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// The length of the body, or why the head does not state one: an ambiguous length would let a client smuggle a request
/// between others.
fn content_length(headers: &HeaderMap) -> Result<u64, &'static str> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err("The sink takes no Transfer-Encoding; send a Content-Length.");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => return Ok(0),
        (Some(length), None) => length.as_bytes(),
        (Some(_), Some(_)) => return Err("There is more than one Content-Length."),
    };
    let digits = length.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(length).ok().filter(|_| digits);
    let length = length.and_then(|length| length.parse().ok());
    length.ok_or("The Content-Length is no number of bytes.")
}

/// Parses the head of an HTTP/1 request.
fn parse(head: &[u8]) -> Option<Parts> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(head).ok()?;
    let version = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let request = Request::builder().method(parsed.method?).uri(parsed.path?);
    let mut request = request.version(version);
    for field in parsed.headers.iter() {
        request = request.header(field.name, field.value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::admission::Hosts;
    use crate::settings::Settings;

    #[tokio::test]
    async fn a_panic_while_a_request_is_answered_is_remembered() {
        let settings = Settings::default();
        let shared = Arc::new(Shared::new(settings, None, Hosts::default(), None, true));
        async fn broken() {
            panic!("it broke")
        }
        let router = Router::new().route("/", axum::routing::get(broken));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        let served = serve(
            stream,
            Client::new(from.ip()),
            None,
            Arc::clone(&shared),
            router,
        );
        Arc::clone(&shared).guard(served).await;
        assert_eq!(shared.take_panic().as_deref(), Some("it broke"));
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "and nobody waits");
    }
}

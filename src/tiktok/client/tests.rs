//! Peers that die, at every stage of a call, and one that is merely slow. All windows are 20 times shorter than they are
//! outside, and so are the links.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use socket2::{Domain, Socket, Type};

use super::*;
use crate::answer::{Put, Said};
use crate::source::Piece;
use crate::tiktok::body::Body;
use crate::tiktok::throttle::Throttle;
use crate::upload::plan::{Limits, Plan};

const SCALE: u32 = 20;
const CHUNK: u64 = 3_200_000;

fn waits() -> Waits {
    let Waits {
        connect,
        call,
        stall,
        body_stall,
        answer,
        answer_rate,
        processing,
    } = Waits::DEFAULT;
    Waits {
        connect: connect / SCALE,
        call: call / SCALE,
        stall: stall / SCALE,
        body_stall: body_stall / SCALE,
        answer: answer / SCALE,
        answer_rate: answer_rate * u64::from(SCALE),
        processing,
    }
}

/// Nobody waits for a test that hangs.
const HANGS: Duration = Duration::from_secs(120);

fn client(base: &str) -> Client {
    patient(base, waits())
}

fn patient(base: &str, waits: Waits) -> Client {
    let hosts = HostPolicy::new(base, None, false).expect("a base");
    Client::new(hosts, waits, None, None).expect("a client")
}

/// A body of `len` bytes.
fn body(len: u64) -> Body<impl Stream<Item = std::io::Result<Piece>> + Send + Sync + Unpin> {
    let piece = Bytes::from(vec![7; 256 * 1024]);
    let mut left = len as usize;
    let pieces = std::iter::from_fn(move || {
        let len = piece.len().min(left);
        left -= len;
        let bytes = piece.slice(..len);
        let hashed = None;
        (len > 0).then_some(Ok(Piece { bytes, hashed }))
    });
    Body::new(futures::stream::iter(pieces), 0, len, Arc::default())
}

/// Sends a video of one chunk there.
async fn send<S>(client: &Client, base: &str, len: u64, body: Body<S>) -> Result<Put, Failure>
where
    S: Stream<Item = std::io::Result<Piece>> + Send + Sync + Unpin + 'static,
{
    let plan = Plan::new(len, &Limits::DOCUMENTED, 10_000_000).expect("legal");
    let url = Secret::new(&format!("{base}/video/?upload_token=1"));
    let put = client.put(&url, "video/mp4", plan.chunk(0), body);
    tokio::time::timeout(HANGS, put).await.expect("it hangs")
}

/// Sends one chunk there.
async fn put(base: &str) -> Result<Put, Failure> {
    send(&client(base), base, CHUNK, body(CHUNK)).await
}

async fn ask(base: &str) -> Failure {
    let client = client(base);
    let token = Secret::new("act.lena.1");
    let asked = tokio::time::timeout(HANGS, client.status(&token, "v~1")).await;
    asked.expect("it hangs").expect_err("nobody answers")
}

/// A server with a receive buffer of this many bytes, and a thread for its one connection.
fn server(buffer: Option<usize>, serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer).expect("a buffer");
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a port");
    socket.listen(8).expect("a listener");
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || serve(listener.accept().expect("a connection").0));
    format!("http://{address}")
}

/// Reads a request's head; what came of the body with it.
fn head(stream: &mut TcpStream) -> usize {
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).expect("a request");
        seen.extend_from_slice(&buffer[..read]);
        if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            return seen.len() - end - 4;
        }
        assert!(read > 0, "the request broke off");
    }
}

fn hold(stream: TcpStream) {
    thread::sleep(HANGS);
    drop(stream);
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_given_up_and_nothing_was_sent() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a port");
    socket.listen(0).expect("a listener that is full at once");
    let address = socket.local_addr().expect("an address");
    let address = address.as_socket().expect("an address");
    let patience = Duration::from_millis(300);
    let mut full = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, patience) {
        full.push(stream);
    }
    let error = put(&format!("http://{address}")).await.expect_err("full");
    assert!(matches!(error, Failure::NotSent(_)), "{error}");
    let error = ask(&format!("http://{address}")).await;
    assert!(matches!(error, Failure::NotSent(_)), "{error}");
}

#[tokio::test]
async fn a_host_that_never_speaks_tls_is_given_up_and_nothing_was_sent() {
    let base = server(None, hold).replace("http:", "https:");
    let error = put(&base).await.expect_err("no TLS");
    assert!(matches!(error, Failure::NotSent(_)), "{error}");
}

#[tokio::test]
async fn a_host_that_stops_reading_is_given_up() {
    let base = server(Some(16 * 1024), |mut stream| {
        head(&mut stream);
        hold(stream);
    });
    let error = put(&base).await.expect_err("stalled");
    assert!(matches!(error, Failure::Lost(_)), "{error}");
}

#[tokio::test]
async fn a_host_that_takes_everything_and_never_answers_is_given_up() {
    let base = server(None, |mut stream| {
        let mut seen = head(&mut stream);
        let mut buffer = vec![0; 1 << 16];
        while seen < CHUNK as usize {
            seen += stream.read(&mut buffer).expect("the body");
        }
        hold(stream);
    });
    let error = put(&base).await.expect_err("silent");
    assert!(
        matches!(&error, Failure::Lost(reason) if reason.contains("after the last byte")),
        "{error}"
    );
}

/// A server that stops reading for a while, and then refuses the partial body.
fn refuses_after(pause: Duration) -> String {
    server(Some(16 * 1024), move |mut stream| {
        head(&mut stream);
        thread::sleep(pause);
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).expect("taken");
        hold(stream);
    })
}

#[tokio::test]
async fn a_refusal_of_a_body_that_stood_still_is_the_lines_fault_and_no_end_of_the_upload() {
    let error = put(&refuses_after(waits().body_stall * 3)).await;
    let error = error.expect_err("the service gave the body up");
    assert!(
        matches!(&error, Failure::Lost(reason) if reason.contains("stood still")),
        "{error}"
    );
    let answer = put(&refuses_after(Duration::ZERO)).await;
    let error = answer.expect_err("at once");
    assert!(
        matches!(&error, Failure::Refused(refusal) if refusal.http_status == 400),
        "is about the request"
    );
}

#[tokio::test]
async fn an_api_call_that_is_never_answered_or_never_ends_is_given_up() {
    let silent = server(None, |mut stream| {
        head(&mut stream);
        hold(stream);
    });
    let error = ask(&silent).await;
    assert!(matches!(error, Failure::Lost(_)), "{error}");
    let endless = server(None, |mut stream| {
        head(&mut stream);
        let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{";
        stream.write_all(begin).expect("taken");
        hold(stream);
    });
    let error = ask(&endless).await;
    assert!(matches!(error, Failure::Lost(_)), "{error}");
}

#[tokio::test]
async fn an_honest_link_of_256_kilobits_is_never_cut() {
    // The transfer takes longer than every window, but never stalls.
    let rate = 32_000 * SCALE as usize;
    let base = server(Some(16 * 1024), move |mut stream| {
        let mut seen = head(&mut stream);
        let started = Instant::now();
        let mut buffer = [0; 4096];
        while seen < CHUNK as usize {
            // As much as the link has carried by now, however late this thread wakes.
            while seen < CHUNK as usize
                && seen as f64 <= started.elapsed().as_secs_f64() * rate as f64
            {
                seen += stream.read(&mut buffer).expect("the body");
            }
            thread::sleep(Duration::from_millis(5));
        }
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).expect("taken");
    });
    let answer = put(&base).await.expect("an honest link");
    assert_eq!(answer.said, Said::Accepted);
}

/// Each piece waits for its time, which at a very low rate is longer than a peer may stall.
#[tokio::test]
async fn waiting_for_a_very_low_rate_is_no_stall() {
    let len = 4096;
    let base = server(None, move |mut stream| {
        let mut seen = head(&mut stream);
        let mut buffer = [0; 4096];
        while seen < len as usize {
            seen += stream.read(&mut buffer).expect("the body");
        }
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).expect("taken");
    });
    let stall = Duration::from_secs(1);
    let client = patient(&base, Waits { stall, ..waits() });
    // 1,024 bytes leave together, every second and a half.
    let body = body(len).throttled(Some(Throttle::new(Some(680))));
    let answer = send(&client, &base, len, body).await;
    assert_eq!(answer.expect("it is our own doing").said, Said::Accepted);
}

#[tokio::test]
async fn a_request_without_a_connection_has_never_left_and_one_with_a_connection_may_have() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = listener.local_addr().expect("an address");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|nobody| nobody.local_addr());
    let closed = closed.expect("an address");
    // Says something that is no TLS, and takes what a caller sends.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"220 ready\r\n");
        }
    });
    // Takes connections, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute = listener.local_addr().expect("an address");
    for (base, never_left) in [
        (format!("http://{closed}"), true),
        (format!("https://{closed}"), true),
        ("https://nobody.invalid".to_owned(), true),
        (format!("https://{silent}"), true),
        (format!("https://{mute}"), true),
        (format!("http://{silent}"), false),
        (format!("http://{mute}"), false),
    ] {
        let asked = client(&base)
            .status(&Secret::new("act.lena.1"), "v~1")
            .await;
        let error = asked.expect_err("no answer");
        assert_eq!(error.never_left(), never_left, "{base}: {error}");
    }
}

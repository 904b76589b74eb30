//! Requests that this server makes: to the host of a pull and to the receiver of a webhook.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::{Position, Url};

use super::{reach, tls};

/// How long a host may take to answer, in real time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sends one request to a URL and returns the head of the answer; redirects are answers, too.
///
/// `ca_file` names certificates to trust besides the system's; `only` is the one address that may be called, if given.
/// Sets the request's target and Host.
pub(crate) async fn send(
    url: &Url,
    request: Request<Full<Bytes>>,
    ca_file: Option<&str>,
    only: Option<IpAddr>,
) -> io::Result<Response<Incoming>> {
    let sent = tokio::time::timeout(PATIENCE, attempt(url, request, ca_file, only));
    sent.await?
}

async fn attempt(
    url: &Url,
    request: Request<Full<Bytes>>,
    ca_file: Option<&str>,
    only: Option<IpAddr>,
) -> io::Result<Response<Incoming>> {
    let host = url.host_str().ok_or_else(|| io::Error::other("no host"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    let name = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((name, port)).await?;
    let callable = reach::callable(name, found, only)?;
    let stream = TcpStream::connect(&*callable).await?;
    match url.scheme() {
        "http" => exchange(stream, url, request).await,
        _ => exchange(tls::connect(stream, host, ca_file).await?, url, request).await,
    }
}

async fn exchange<S>(
    stream: S,
    url: &Url,
    mut request: Request<Full<Bytes>>,
) -> io::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
    // Ends with the exchange; the answer shows its errors.
    tokio::spawn(connection);
    let target = url[Position::BeforePath..Position::AfterQuery].parse();
    *request.uri_mut() = target.map_err(io::Error::other)?;
    let authority = url[Position::BeforeHost..Position::AfterPort].parse();
    request
        .headers_mut()
        .insert(HOST, authority.map_err(io::Error::other)?);
    sender.send_request(request).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_that_accepts_and_says_nothing_is_given_up() {
        let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = host.local_addr().unwrap().port();
        for scheme in ["http", "https"] {
            let url = Url::parse(&format!("{scheme}://127.0.0.1:{port}/")).unwrap();
            let request = Request::new(Full::new(Bytes::new()));
            let sent = tokio::time::timeout(2 * PATIENCE, send(&url, request, None, None)).await;
            let given_up = sent.expect("it still waits").unwrap_err();
            assert_eq!(given_up.kind(), io::ErrorKind::TimedOut, "{scheme}");
        }
    }
}

//! Requests of the server's own: to the host of a pull, to a webhook's receiver.

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

/// A host that is silent for so long is taken for gone, in real time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sends one request to a URL and returns the head of the answer; redirects are answers too.
///
/// `ca_file` names certificates to trust besides the system's; `only` is the one address that may be called, if there is
/// such a one. The request's target and Host are set here.
pub(crate) async fn send(
    url: &Url,
    request: Request<Full<Bytes>>,
    ca_file: Option<&str>,
    only: Option<IpAddr>,
) -> io::Result<Response<Incoming>> {
    let host = url.host_str().ok_or_else(|| io::Error::other("no host"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    let connected = async {
        let name = host.trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((name, port)).await?;
        let callable = reach::callable(name, found, only)?;
        TcpStream::connect(&*callable).await
    };
    let stream = tokio::time::timeout(PATIENCE, connected).await??;
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
    // Ends with the exchange; what goes wrong on it shows in the answer.
    tokio::spawn(connection);
    let target = url[Position::BeforePath..Position::AfterQuery].parse();
    *request.uri_mut() = target.map_err(io::Error::other)?;
    let authority = url[Position::BeforeHost..Position::AfterPort].parse();
    request
        .headers_mut()
        .insert(HOST, authority.map_err(io::Error::other)?);
    let asked = tokio::time::timeout(PATIENCE, sender.send_request(request)).await?;
    asked.map_err(io::Error::other)
}

//! A local server that stands in for the Content Posting API.
//!
//! It speaks the wire protocol and judges every request by its own reading of the documents. For each point that they
//! leave open [`Settings`] has a switch; the default is the documented reading or else the strictest. It never calls the
//! real service, and listens on loopback unless another address is given.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use chunkferry_emulator::Emulator;
//!
//! let emulator = Emulator::start().await?;
//! // … point a client at emulator.url() …
//! let log = emulator.log();
//! assert_eq!((log.inits, log.drafts), (0, 0));
//! # Ok(())
//! # }
//! ```
//!
//! An [`Emulator`] runs inside the test. A [`Process`] starts the one of an installed `chunkferry` beside it, and a [`Client`]
//! reads what an emulator in another process saw.

mod admission;
mod answer;
mod api;
mod bounded;
mod call;
mod canned;
mod caps;
mod client;
mod clock;
mod connection;
mod connection_limit;
mod consent;
mod control;
mod creator;
mod creator_info;
mod endpoint;
mod faults;
mod fields;
mod http_client;
mod inbox;
mod log;
mod media;
mod oauth;
mod page;
mod process;
mod publish;
mod pull;
mod reach;
mod receive;
mod reply;
mod retention;
mod review;
mod routes;
mod rules;
mod server;
mod service;
mod session;
pub mod settings;
mod shared;
mod sink;
mod storage;
mod tls;
mod tokens;
mod traffic;
mod videos;
mod webhook_delivery;
mod webhooks;

pub use client::Client;
pub use endpoint::Endpoint;
pub use faults::{Chaos, Fault, FaultError};
pub use log::{FaultLog, Log, NoteLog, PutLog, RequestLog, Requests, SessionLog, WebhookLog};
pub use process::Process;
pub use review::Finding;
pub use settings::{Setting, SettingError, Settings};
pub use sink::Usage;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use admission::Hosts;
use server::Server;
use shared::Shared;
use storage::Storage;

/// A server that runs on its own thread until it is dropped.
///
/// If a request made the server panic, dropping the emulator panics too, so that the test fails.
pub struct Emulator {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    server: Option<Server>,
}

/// The options of an [`Emulator`].
#[derive(Debug, Default)]
#[must_use]
pub struct EmulatorBuilder {
    listen: Option<SocketAddr>,
    settings: Settings,
    faults: Vec<Fault>,
    chaos: Option<Chaos>,
    dir: Option<PathBuf>,
    keep: u64,
    upload_origin: Option<String>,
    allow_hosts: Vec<String>,
    ca_file: Option<PathBuf>,
    sink: bool,
}

impl Emulator {
    /// Starts an emulator with default settings on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If no port or no thread is available.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Prepares an emulator with other settings, faults, or a directory.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::default()
    }

    /// The API base, like `http://127.0.0.1:40123`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The address that the emulator listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that happened so far.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.service().log(None)
    }

    /// The clients' mistakes that had no visible consequence. Unfinished uploads count, so ask when the clients are
    /// done.
    #[must_use]
    pub fn review(&self) -> Vec<Finding> {
        self.shared.service().findings(None, true)
    }

    /// Changes one setting for every token, from now on.
    ///
    /// # Errors
    ///
    /// If the key is unknown, or the value does not fit it.
    pub fn set(&self, key: &str, value: &str) -> Result<(), SettingError> {
        let mut service = self.shared.service();
        service.set(None, &[(key.to_owned(), value.to_owned())])
    }

    /// Arms one more fault.
    pub fn arm(&self, fault: Fault) {
        self.shared.service().faults.arm(fault, None);
    }

    /// Moves the server's clock forward, past a URL's hour or a window's minute. It stops at the end of the year 9999.
    pub fn advance(&self, by: Duration) {
        self.shared.service().clock.advance(by);
    }

    /// Forgets all uploads and tokens, and the faults and settings changed since the start.
    pub fn reset(&self) {
        let _gone = self.shared.service().reset(None);
    }
}

/// Shows only the URL: the state holds tokens.
impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Emulator");
        shown.field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server = None;
        if let Some(panic) = self.shared.take_panic()
            && !thread::panicking()
        {
            panic!("the emulator panicked: {panic}");
        }
    }
}

impl EmulatorBuilder {
    /// Listens here instead of on a free port of 127.0.0.1; port 0 takes a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Starts with these settings; a reset restores them.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Arms a fault.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds random faults.
    pub fn chaos(mut self, chaos: Chaos) -> Self {
        self.chaos = Some(chaos);
        self
    }

    /// Keeps the last so many bytes of received videos in a temporary directory, so that the page can show them. The
    /// directory is removed when the emulator is dropped.
    pub fn keep(mut self, bytes: u64) -> Self {
        self.keep = bytes;
        self
    }

    /// Keeps all received videos in this directory, one file for each upload. Without this and [`EmulatorBuilder::keep`]
    /// nothing is kept.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Gives upload URLs this origin (`https://upload.example:8443`) instead of the one that the client called.
    pub fn upload_origin(mut self, origin: impl Into<String>) -> Self {
        self.upload_origin = Some(origin.into());
        self
    }

    /// Serves requests to this host, too (`emulator.test`, without scheme and port).
    ///
    /// IP addresses, names without a dot, `*.localhost`, the service's own hosts and the host of the upload origin are
    /// always served. A request to any other host is answered 421, as it may come from a page whose name resolves to
    /// this machine.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.allow_hosts.push(name.into());
        self
    }

    /// Speaks TLS, with a certificate for the service's hosts, this machine, the listening address, and the allowed
    /// names. Writes the authority that clients must trust to this file in PEM, a new one at each start.
    pub fn tls(mut self, ca_file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(ca_file.into());
        self
    }

    /// Discards bodies at the least cost that this machine allows, to measure clients. Ranges are judged as usual.
    /// Nothing is hashed or kept, no page shows a chunk in transit, and faults and rates do not affect chunks.
    pub fn sink(mut self) -> Self {
        self.sink = true;
        self
    }

    /// Starts the server; it is ready when this returns.
    ///
    /// # Errors
    ///
    /// If the address is taken, an allowed host is not a host name, or no thread is available.
    pub async fn start(self) -> io::Result<Emulator> {
        self.start_blocking()
    }

    /// Starts the server outside of async code.
    ///
    /// # Errors
    ///
    /// As [`EmulatorBuilder::start`].
    pub fn start_blocking(self) -> io::Result<Emulator> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(self.listen.unwrap_or(loopback))?;
        let address = listener.local_addr()?;
        let http2 = self.settings.http2 == settings::Http2::On;
        let storage = match (self.dir, self.keep) {
            (Some(dir), _) => Some(Storage::UserDir(dir)),
            (None, 0) => None,
            (None, most) => Some(Storage::temporary(most)),
        };
        let hosts = Hosts::new(&self.allow_hosts, self.upload_origin.as_deref())?;
        let shared = Arc::new(Shared::new(
            self.settings,
            storage,
            hosts,
            self.upload_origin,
            self.sink,
        ));
        {
            let mut service = shared.service();
            for fault in self.faults {
                service.faults.arm(fault, None);
            }
            service.faults.set_chaos(self.chaos);
        }
        let more = shared.hosts.named().iter().cloned();
        let more = more.chain([address.ip().to_string()]);
        let config = self
            .ca_file
            .map(|file| tls::config(&file, http2, more))
            .transpose()?;
        let scheme = if config.is_some() { "https" } else { "http" };
        let server = Server::start(listener, config, Arc::clone(&shared))?;
        Ok(Emulator {
            address,
            scheme,
            shared,
            server: Some(server),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_server_fails_the_test_that_owns_it() {
        let emulator = Emulator::builder().start_blocking().unwrap();
        let broken = Arc::clone(&emulator.shared).guard(async { panic!("it broke") });
        assert_eq!(broken.await, None::<()>);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(emulator)));
        let said = dropped.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*said, "the emulator panicked: it broke");
    }
}

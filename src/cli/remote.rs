//! A service that does the work of commands, and how it is found.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::Escaped;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Method};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Failure, Globals, token};

mod calls;

pub(super) use calls::RemoteLines;

/// The file in a state directory that names its service. It stays when the service ends: a command that then worked alone would keep the
/// service from starting again.
const FILE: &str = "service.json";

/// Longest wait for the service to be reached, and for the next bytes of an answer. A service that lives writes at least every 15 s.
const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(90);

/// Where a state directory's service listens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) socket: PathBuf,
}

impl Place {
    /// Writes down that this directory is served.
    #[cfg(feature = "service")]
    pub(super) fn write(&self, state_dir: &Path) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(state_dir)?;
        serde_json::to_writer(&mut file, self)?;
        file.as_file().sync_all()?;
        file.persist(state_dir.join(FILE))?;
        Ok(())
    }

    /// The service of a directory; `None` if the directory was never served.
    fn read(state_dir: &Path) -> Result<Option<Self>, Failure> {
        let path = state_dir.join(FILE);
        let cannot = |error: &dyn std::fmt::Display| {
            format!(
                "{} cannot be read: {error}. Name the service with --service, or work without one: --service none.",
                path.display()
            )
        };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Failure::usage(cannot(&error))),
            // Without a directory that this user may look into, there is no journal to use either, which is said by whoever opens the journal.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Failure::temporary(cannot(&error))),
        }
    }
}

/// Makes clients that reach a service.
struct Make(Box<dyn Fn() -> ClientBuilder + Send + Sync>);

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Make").finish_non_exhaustive()
    }
}

/// A service, reached over its socket or by its URL.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    /// Makes a client like that one, which waits for an answer for as long as a video is sent.
    make: Make,
    base: String,
    /// The socket or the URL, for messages.
    pub(super) name: String,
    pub(super) process: u64,
    api_base: String,
}

impl Remote {
    /// The service that does this command's work: the named one, or that of the state directory. `None` if the command works alone.
    ///
    /// # Errors
    ///
    /// 75 if the service does not answer: a command whose service is away does not work alone.
    pub(super) async fn find(globals: &Globals) -> Result<Option<Self>, Failure> {
        let named = globals.service.as_deref().filter(|named| !named.is_empty());
        let remote = match named {
            Some("none") => return Ok(None),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Self::at_url(url, globals).await?
            }
            Some(socket) => Self::on_socket(Path::new(socket))?,
            None => return Self::of_state_dir(&globals.state_dir()?).await,
        };
        Ok(Some(remote.known().await?))
    }

    /// The service of a state directory; `None` if the directory was never served.
    ///
    /// # Errors
    ///
    /// 75 if the service does not answer.
    pub(super) async fn of_state_dir(state_dir: &Path) -> Result<Option<Self>, Failure> {
        match Place::read(state_dir)? {
            Some(place) => Ok(Some(Self::on_socket(&place.socket)?.known().await?)),
            None => Ok(None),
        }
    }

    /// Asks the service what it is.
    async fn known(mut self) -> Result<Self, Failure> {
        let about = self.call(Method::GET, "/v1/service", None).await?;
        self.process = about["process"].as_u64().unwrap_or_default();
        about["api_base"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.api_base);
        Ok(self)
    }

    /// Whether a service has the state directory, where this command names none: it may have begun after the command looked for it.
    pub(super) fn has_begun(globals: &Globals) -> bool {
        let place = globals.state_dir().and_then(|dir| Place::read(&dir));
        globals.service.is_none() && place.is_ok_and(|place| place.is_some())
    }

    fn on_socket(socket: &Path) -> Result<Self, Failure> {
        let name = socket.to_string_lossy().into_owned();
        let socket = socket.to_owned();
        let client = move || Client::builder().unix_socket(socket.as_path());
        Self::new(client, "http://localhost".to_owned(), name)
    }

    async fn at_url(text: &str, globals: &Globals) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::usage(format!("--service {what}."));
        let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong(
                "has a user name or a query, which the service does not want: the key is in the file of --service-key-file",
            ));
        }
        if url.scheme() == "http" && !is_here(&url) {
            return Err(wrong(
                "is http to another machine, where key and jobs would cross the network in the clear: use https",
            ));
        }
        let (mut headers, mut trusted) = (HeaderMap::new(), None);
        if let Some(path) = &globals.service_key_file {
            let cannot = |what: &dyn std::fmt::Display| {
                let path = path.display();
                Failure::usage(format!("The key in {path} cannot be used: {what}."))
            };
            let key = token::private_lines(path).await;
            let key = key.map_err(|error| cannot(&error))?;
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose().trim()));
            let mut value = value.map_err(|_| cannot(&"it is no line of text"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(file) = globals.certificates() {
            let read = tokio::task::spawn_blocking(move || file.pem()).await;
            let pem = read.map_err(|_| wrong("needs certificates that cannot be read"))??;
            let read = reqwest::Certificate::from_pem_bundle(&pem);
            trusted = Some(read.map_err(|error| Failure::usage(error.to_string()))?);
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        let client = move || {
            let client = Client::builder().default_headers(headers.clone());
            match &trusted {
                Some(trusted) => client.tls_certs_merge(trusted.clone()),
                None => client,
            }
        };
        Self::new(client, base.clone(), base)
    }

    fn new(
        make: impl Fn() -> ClientBuilder + Send + Sync + 'static,
        base: String,
        name: String,
    ) -> Result<Self, Failure> {
        let make = move || {
            let client = make().no_proxy().connect_timeout(CONNECT);
            client.redirect(reqwest::redirect::Policy::none())
        };
        let client = make().read_timeout(READ).build();
        let client = client
            .map_err(|error| Failure::usage(format!("No call to {name} can be made: {error}.")))?;
        Ok(Self {
            client,
            make: Make(Box::new(make)),
            base,
            name: Escaped::new(&name).to_string(),
            process: 0,
            api_base: String::new(),
        })
    }

    /// Whether an API base is that of the service.
    pub(super) fn sends_to(&self, api_base: &str) -> bool {
        spelled(api_base) == spelled(&self.api_base)
    }

    /// The API that the service sends to.
    pub(super) fn api_base(&self) -> &str {
        &self.api_base
    }

    /// Refuses settings of this command that the service would not follow.
    ///
    /// # Errors
    ///
    /// Usage, with what to do.
    pub(super) fn check(&self, globals: &Globals) -> Result<(), Failure> {
        /// Options of the process that sends.
        const ENGINE: [&str; 13] = [
            "accounts_dir",
            "allow_http",
            "api_base",
            "bwlimit",
            "jobs",
            "metrics_textfile",
            "read",
            "spool",
            "token_command",
            "token_file",
            "upload_host",
            "wire_log",
            "no_wait_lock",
        ];
        let alone = "or work without it: --service none";
        if let Some(given) = ENGINE.iter().find(|option| globals.is_given(option)) {
            let option = given.replace('_', "-");
            return Err(Failure::usage(format!(
                "--{option} is a matter of the process that sends, which is the service at {}. Set it there, {alone}.",
                self.name
            )));
        }
        if let Some(name) = globals.ad_hoc_tokens() {
            return Err(Failure::usage(format!(
                "{name} is not handed over: the service at {} has the tokens of its accounts by itself (logins, [accounts] and [token_provider] of its config file). Unset it, {alone}.",
                self.name
            )));
        }
        let differs = |ours: &&String| spelled(ours) != spelled(&self.api_base);
        if let Some(ours) = globals.api_base.as_ref().filter(differs) {
            return Err(Failure::usage(format!(
                "This command is set to the API at {}, and the service at {} to {}. Set one to the other, {alone}.",
                Escaped::new(ours),
                self.name,
                Escaped::new(&self.api_base)
            )));
        }
        Ok(())
    }
}

/// Whether a URL leads to this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// URLs that mean the same are spelled the same.
fn spelled(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
        Err(_) => url.to_owned(),
    }
}

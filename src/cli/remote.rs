//! A service that does the work of commands: how it is found, and calls to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::{ErrorKind, Escaped, Record};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::Exit;
use super::{Failure, Globals};

/// The file in a state directory that names its service. It stays when the service ends: a command that then worked alone would keep the
/// service from starting again.
const FILE: &str = "service.json";

/// Longest wait for the service to be reached, and for the next bytes of an answer. A service that lives writes at least every 15 s.
const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(90);

/// Most bytes of a line.
const LINE: usize = 1 << 20;

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
            Failure::usage(format!(
                "{} cannot be read: {error}. Name the service with --service, or work without one: --service none.",
                path.display()
            ))
        };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| cannot(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot(&error)),
        }
    }
}

/// A service, reached over its socket or by its URL.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
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
        let named = globals.service.as_deref();
        let mut remote = match named {
            Some("none") => return Ok(None),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Self::at_url(url, globals)?
            }
            Some(socket) => Self::on_socket(Path::new(socket))?,
            None => match Place::read(&globals.state_dir()?)? {
                Some(place) => Self::on_socket(&place.socket)?,
                None => return Ok(None),
            },
        };
        let about = remote.call(Method::GET, "/v1/service", None).await?;
        remote.process = about["process"].as_u64().unwrap_or_default();
        about["api_base"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut remote.api_base);
        Ok(Some(remote))
    }

    fn on_socket(socket: &Path) -> Result<Self, Failure> {
        let client = Client::builder().unix_socket(socket);
        let name = socket.to_string_lossy().into_owned();
        Self::new(client, "http://localhost".to_owned(), name)
    }

    fn at_url(url: &str, globals: &Globals) -> Result<Self, Failure> {
        let mut client = Client::builder();
        if let Some(path) = &globals.service_key_file {
            let cannot = |what: &dyn std::fmt::Display| {
                let path = path.display();
                Failure::usage(format!("The key in {path} cannot be used: {what}."))
            };
            let key = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
            let value = HeaderValue::try_from(format!("Bearer {}", key.trim()));
            let mut value = value.map_err(|_| cannot(&"it is no line of text"))?;
            value.set_sensitive(true);
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
        }
        if let Some(certificates) = globals.certificates() {
            let pem = certificates.pem().map_err(Failure::from)?;
            let trusted = reqwest::Certificate::from_pem_bundle(&pem);
            let trusted = trusted.map_err(|error| Failure::usage(error.to_string()))?;
            client = client.tls_certs_merge(trusted);
        }
        let base = url.trim_end_matches('/').to_owned();
        Self::new(client, base.clone(), base)
    }

    fn new(client: reqwest::ClientBuilder, base: String, name: String) -> Result<Self, Failure> {
        let client = client
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client = client
            .map_err(|error| Failure::usage(format!("No call to {name} can be made: {error}.")))?;
        Ok(Self {
            client,
            base,
            name: Escaped::new(&name).to_string(),
            process: 0,
            api_base: String::new(),
        })
    }

    /// Refuses settings of this command that the service would not follow.
    ///
    /// # Errors
    ///
    /// Usage, with what to do.
    pub(super) fn check(&self, globals: &Globals) -> Result<(), Failure> {
        /// Options of the process that sends.
        const ENGINE: [&str; 12] = [
            "accounts_dir",
            "allow_http",
            "api_base",
            "bwlimit",
            "jobs",
            "metrics_textfile",
            "read",
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

    /// Calls the service; the answer's JSON, or null.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self.accepted(self.send(method, path, body).await?).await?;
        let text = answer.bytes().await.map_err(|error| self.gone(&error))?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// The job of the service that has this id; `None` if there is none, or if the text is no id of a job.
    pub(super) async fn job(&self, id: &str) -> Result<Option<Value>, Failure> {
        if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let answer = self
            .send(Method::GET, &format!("/v1/jobs/{id}"), None)
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let text = self.accepted(answer).await?.bytes().await;
        let text = text.map_err(|error| self.gone(&error))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The uploads in the service's journal.
    pub(super) async fn records(&self) -> Result<Vec<Record>, Failure> {
        let mut lines = self.lines(Method::GET, "/v1/uploads", None).await?;
        let mut records = Vec::new();
        while let Some(line) = lines.next().await? {
            // A state that only a later version knows is left out.
            records.extend(serde_json::from_value::<Record>(line));
        }
        Ok(records)
    }

    /// The jobs of the service that have not ended, each state by itself.
    pub(super) async fn open_jobs(&self) -> Result<Vec<Value>, Failure> {
        let mut jobs = Vec::new();
        for state in ["running", "queued", "paused", "parked"] {
            let mut after = String::new();
            loop {
                let path = format!("/v1/jobs?state={state}&limit=1000&after={after}");
                let page = self.call(Method::GET, &path, None).await?;
                jobs.extend(page["jobs"].as_array().cloned().unwrap_or_default());
                match page["next"].as_str() {
                    Some(next) => next.clone_into(&mut after),
                    None => break,
                }
            }
        }
        Ok(jobs)
    }

    /// Calls the service for lines.
    pub(super) async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RemoteLines<'_>, Failure> {
        let answer = self.accepted(self.send(method, path, body).await?).await?;
        Ok(RemoteLines {
            remote: self,
            answer,
            read: Vec::new(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request
                .header(reqwest::header::CONTENT_TYPE, json)
                .body(body.to_string());
        }
        request.send().await.map_err(|error| self.gone(&error))
    }

    async fn accepted(&self, answer: Response) -> Result<Response, Failure> {
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(self.refused(answer).await),
        }
    }

    /// The service cannot be reached, or has broken off.
    fn gone(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::temporary(format!(
            "The service at {} does not answer: {}. Start it and run the same command again, or work without it: --service none.",
            self.name,
            Escaped::new(&cause.to_string())
        ))
    }

    async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status();
        let text = answer.bytes().await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
        let detail = problem["detail"].as_str();
        let detail = detail.map_or_else(|| format!("HTTP {status}"), str::to_owned);
        let kind = match (status, problem["code"].as_str().unwrap_or_default()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "needs_person") => {
                ErrorKind::NeedsPerson
            }
            (_, "refused") => ErrorKind::Refused,
            (_, "source" | "source_changed" | "other_file") => ErrorKind::Source,
            (_, "unknown") => ErrorKind::Unknown,
            (StatusCode::TOO_MANY_REQUESTS, _) => ErrorKind::Temporary,
            (status, _) if status.is_server_error() => ErrorKind::Temporary,
            _ => ErrorKind::Usage,
        };
        let text = format!("{} (the service at {})", Escaped::new(&detail), self.name);
        Failure::new(Exit::of(kind), text)
    }
}

/// URLs that mean the same are spelled the same.
fn spelled(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
        Err(_) => url.to_owned(),
    }
}

/// The lines of an answer, as they come.
#[derive(Debug)]
pub(super) struct RemoteLines<'a> {
    remote: &'a Remote,
    answer: Response,
    read: Vec<u8>,
}

impl RemoteLines<'_> {
    /// The next line; `None` at the end. Safe to drop between polls.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                // Empty lines only show that the service lives.
                if let Ok(line) = serde_json::from_slice(&line) {
                    return Ok(Some(line));
                }
            }
            if self.read.len() > LINE {
                return Err(Failure::temporary(format!(
                    "The service at {} answered with a line that does not end.",
                    self.remote.name
                )));
            }
            match self.answer.chunk().await {
                Ok(Some(bytes)) => self.read.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.remote.gone(&error)),
            }
        }
    }
}

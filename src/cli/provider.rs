//! `[token_provider]`: a table of tokens of the user's own, asked over HTTP or by a command.

use std::time::{Duration, SystemTime};

use chunkferry::{Account, AccountProvider, CaFile, Escaped, Provided, Secret, TokenError};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::{Failure, Globals, token};

/// How long a provider may take, as documented for `[token_provider]`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) enum Provider {
    /// Its query and password may be secret; errors show neither.
    Url(Box<Url>),
    Command(String),
}

#[derive(Serialize)]
struct Request<'a> {
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// In seconds since 1970.
    expires_at: Option<u64>,
    /// The creator, as the app knows it.
    open_id: Option<String>,
}

impl Provider {
    /// A provider at this address: https, or http on this machine.
    pub(super) fn at(url: &str) -> Result<Self, &'static str> {
        let url = Url::parse(url).map_err(|_| "is no URL")?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self::Url(Box::new(url))),
            "http" if is_local => Ok(Self::Url(Box::new(url))),
            _ => Err("has to be https, or http to this machine: tokens would be sent in the clear"),
        }
    }
}

impl Globals {
    /// The provider, to be asked.
    pub(super) fn table(&self, provider: &Provider) -> Table {
        Table {
            provider: provider.clone(),
            certificates: self.certificates(),
            client: OnceCell::new(),
        }
    }

    /// An account whose tokens come from the provider.
    pub(super) fn provided(&self, name: &str, provider: &Provider) -> Result<Account, Failure> {
        let options = self
            .options(self.state_dir()?)
            .accounts(self.table(provider));
        let account = options.account(name);
        account.ok_or_else(|| Failure::usage("There is no provider of tokens."))
    }
}

/// The provider, and how it is asked.
pub(super) struct Table {
    provider: Provider,
    certificates: Option<CaFile>,
    client: OnceCell<reqwest::Client>,
}

impl AccountProvider for Table {
    fn token<'a>(
        &'a self,
        account: &'a str,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>> {
        Box::pin(async move {
            let request = Request {
                account,
                refused_sha256: refused.map(|token| hex::encode(Sha256::digest(token.expose()))),
            };
            let request = serde_json::to_vec(&request)?;
            let answer = match &self.provider {
                Provider::Url(url) => self.post(url, account, request).await?,
                Provider::Command(command) => by_command(command, account, request).await?,
            };
            // What serde says may repeat the token.
            let answer: Answer = serde_json::from_slice(answer.expose().as_bytes())
                .map_err(|_| "token_provider gave no JSON with an access_token")?;
            let token = token::known(Secret::new(&answer.access_token));
            if token.is_empty() {
                return Err(format!("token_provider has an empty token for \"{account}\"").into());
            }
            let ends = answer.expires_at.map(Duration::from_secs);
            let mut provided = Provided::new(token);
            // A table may have an empty field where it does not know.
            if let Some(open_id) = answer.open_id.filter(|open_id| !open_id.is_empty()) {
                provided = provided.open_id(open_id);
            }
            Ok(
                match ends.and_then(|ends| SystemTime::UNIX_EPOCH.checked_add(ends)) {
                    Some(ends) => provided.until(ends),
                    None => provided,
                },
            )
        })
    }
}

impl Table {
    async fn post(&self, url: &Url, account: &str, body: Vec<u8>) -> Result<Secret, TokenError> {
        let is_here = url.scheme() == "http";
        let client = self.client.get_or_try_init(|| self.client(is_here));
        let client = client.await?;
        let exchange = async {
            let request = client.post(url.clone()).body(body);
            let request = request.header("content-type", "application/json");
            let mut answer = request.send().await.map_err(without_url)?;
            let (status, mut text) = (answer.status().as_u16(), Vec::new());
            while let Some(piece) = answer.chunk().await.map_err(without_url)? {
                if text.len() + piece.len() > LONGEST {
                    return Err(TokenError::from(
                        "token_provider answered with more than 64 KiB",
                    ));
                }
                text.extend_from_slice(&piece);
            }
            Ok((status, Secret::new(&String::from_utf8_lossy(&text))))
        };
        let Ok(answered) = tokio::time::timeout(PATIENCE, exchange).await else {
            return Err(TokenError::temporary(
                "token_provider did not answer within 10 s",
            ));
        };
        let (status, text) = answered?;
        match status {
            200..=299 => Ok(text),
            404 => Err(unknown(account)),
            403 | 410 => Err(person(account, &format!("HTTP {status}"))),
            408 | 429 | 500.. => Err(TokenError::temporary(format!(
                "token_provider answered with HTTP {status}"
            ))),
            _ => Err(format!("token_provider answered with HTTP {status}").into()),
        }
    }

    async fn client(&self, is_here: bool) -> Result<reqwest::Client, TokenError> {
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        if is_here {
            // A proxy would see the token in the clear.
            builder = builder.no_proxy();
        }
        if let Some(file) = self.certificates.clone() {
            let pem = tokio::task::spawn_blocking(move || file.pem()).await??;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(builder.build()?)
    }
}

/// An address may hold a password.
fn without_url(error: reqwest::Error) -> TokenError {
    let mut cause: &dyn std::error::Error = &error.without_url();
    while let Some(source) = cause.source() {
        cause = source;
    }
    TokenError::temporary(format!("token_provider was not reached: {cause}"))
}

async fn by_command(command: &str, account: &str, input: Vec<u8>) -> Result<Secret, TokenError> {
    let asked = token::asked("token_provider", command, Some(input));
    let Ok(asked) = tokio::time::timeout(PATIENCE, asked).await else {
        return Err(TokenError::temporary(
            "token_provider did not answer within 10 s",
        ));
    };
    let (printed, status, said) = asked?;
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    match status.code() {
        Some(0) => Ok(printed),
        Some(3) => Err(unknown(account)),
        Some(4) => Err(person(account, &format!("exit 4{said}"))),
        Some(75) => Err(TokenError::temporary(format!(
            "token_provider has no token now{said}"
        ))),
        _ => Err(format!("token_provider failed ({status}{said})").into()),
    }
}

fn unknown(account: &str) -> TokenError {
    let account = Escaped::new(account);
    TokenError::unknown_account(format!("token_provider has no account \"{account}\""))
}

fn person(account: &str, answer: &str) -> TokenError {
    let account = Escaped::new(account);
    format!("token_provider says that a person must act for the account \"{account}\" ({answer})")
        .into()
}

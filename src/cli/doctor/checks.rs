//! What uploads need, one check after another. None opens the journal, and only `--online` sends anything.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chunkferry::{AccountProvider, Error, ErrorKind, LogIn, Options, StateDir, TokenSource};

use super::place;
use crate::accounts::{is_taken_over, names, needs};
use crate::config::TokenFrom;
use crate::exit::Exit;
use crate::{Failure, Globals};

/// How long a drive may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// 2026-01-01, before which no copy of this version was built.
const BUILT: Duration = Duration::from_secs(1_767_225_600);

/// How far the clock may be off.
const DRIFT: Duration = Duration::from_secs(60);

/// How a check has ended, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Ok,
    Warning,
    /// It passes by itself.
    Temporary,
    Failed,
}

impl Verdict {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Ok | Self::Warning => Exit::DELIVERED,
            Self::Temporary => Exit::of(ErrorKind::Temporary),
            Self::Failed => Exit::of(ErrorKind::Usage),
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Temporary => "retry",
            Self::Failed => "failed",
        }
    }
}

/// What a check has found.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Whose tokens it is about.
    pub(super) account: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            name,
            account: None,
            verdict,
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    pub(super) fn warning(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warning, found)
    }

    pub(super) fn failed(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Failed, found)
    }

    pub(super) fn with(mut self, advice: &str) -> Self {
        self.advice = Some(advice.to_owned());
        self
    }

    fn of(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// A failure, whose text says what to do.
    fn failure(name: &'static str, failure: &Failure) -> Self {
        let temporary = failure.exit == Exit::of(ErrorKind::Temporary);
        let verdict = match temporary {
            true => Verdict::Temporary,
            false => Verdict::Failed,
        };
        Self::new(name, verdict, &failure.message)
    }

    fn error(name: &'static str, error: Error) -> Self {
        Self::failure(name, &error.into())
    }
}

/// Something to be checked.
pub(super) enum Subject {
    StateDir,
    Clock,
    Tls,
    Api,
    App,
    Seal,
    Accounts,
}

pub(super) fn all(online: bool) -> Vec<Subject> {
    use Subject::{Accounts, Api, App, Clock, Seal, StateDir, Tls};
    let online = online.then_some(Api);
    let all = [StateDir, Clock, Tls].into_iter().chain(online);
    all.chain([App, Seal, Accounts]).collect()
}

impl Subject {
    pub(super) async fn make(&self, globals: &Globals) -> Vec<Check> {
        match self {
            Self::StateDir => match globals.state_dir() {
                Ok(dir) => in_time("state directory", move || state_dir(dir)).await,
                Err(failure) => vec![Check::failure("state directory", &failure)],
            },
            Self::Clock => vec![clock(SystemTime::now())],
            Self::Tls => {
                let options = options(globals);
                in_time("TLS", move || tls(&options)).await
            }
            Self::Api => api(&options(globals)).await,
            Self::App => app(globals).await.into_iter().collect(),
            Self::Seal => seal(globals).await.into_iter().collect(),
            Self::Accounts => accounts(globals).await,
        }
    }
}

/// The settings of requests. They use no state directory.
fn options(globals: &Globals) -> Options {
    globals.options(globals.state_dir().unwrap_or_default())
}

/// A check that reads files. A drive that does not answer keeps nobody waiting.
async fn in_time(
    name: &'static str,
    check: impl FnOnce() -> Vec<Check> + Send + 'static,
) -> Vec<Check> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(check)).await {
        Ok(Ok(checks)) => checks,
        Ok(Err(error)) => vec![Check::failed(name, error.to_string())],
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            let found = format!("its drive did not answer within {seconds} s.");
            vec![Check::new(name, Verdict::Temporary, found)]
        }
    }
}

fn state_dir(dir: PathBuf) -> Vec<Check> {
    let mut checks = place::check(&dir);
    let dir = StateDir::new(dir);
    if checks.iter().any(|check| check.verdict == Verdict::Failed) || !dir.path().exists() {
        return checks;
    }
    checks.push(match dir.holder() {
        Ok(None) => Check::ok("lock", "it is free."),
        Ok(Some(holder)) => Check::warning("lock", format!("{holder} has it."))
            .with("Other uploads wait until that ends."),
        Err(error) => Check::error("lock", error),
    });
    checks.push(match dir.records() {
        Ok(records) => {
            const ENDED: [&str; 5] = ["delivered", "published", "failed", "given_up", "unknown"];
            let open = records.iter().filter(|of| !ENDED.contains(&&*of.state));
            let (all, open) = (records.len(), open.count());
            Check::ok(
                "journal",
                format!("uploads: {all}, of which {open} have not ended."),
            )
        }
        Err(error) => Check::error("journal", error),
    });
    checks
}

fn clock(now: SystemTime) -> Check {
    if now < SystemTime::UNIX_EPOCH + BUILT {
        return Check::failed(
            "clock",
            format!("it says {}, before this version was made.", at(now)),
        )
        .with("Set it: certificates and the hour of an upload go by it.");
    }
    Check::ok("clock", format!("it says {}.", at(now)))
}

fn at(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time);
    time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_else(|_| "a time out of all bounds".to_owned())
}

/// How many certificates the system trusts, and whether requests could be made with them and the settings.
fn tls(options: &Options) -> Vec<Check> {
    let found = rustls_native_certs::load_native_certs();
    let number = found.certs.len();
    // Making the client checks the API base, the CA file, proxies and TLS, and sends nothing.
    let made = options.open_accounts(None, None);
    let mut checks = vec![match number {
        0 => Check::warning("TLS", "this system trusts no certificate.").with(
            "Install its CA certificates (in Debian: ca-certificates), or name a file of them with --ca-file.",
        ),
        _ => Check::ok("TLS", format!("this system trusts {number} certificates.")),
    }];
    for error in found.errors {
        checks.push(Check::warning("TLS", format!("{error}.")));
    }
    if let Err(error) = made {
        checks.push(Check::error("requests", error));
    }
    checks
}

/// One request without a token.
async fn api(options: &Options) -> Vec<Check> {
    let reached = match options.reach().await {
        Ok(reached) => reached,
        Err(error) => return vec![Check::error("API", error)],
    };
    let found = format!("it answers (HTTP {}).", reached.http_status);
    let mut checks = vec![Check::ok("API", found)];
    let now = SystemTime::now();
    let off = reached.server_time.map(|theirs| {
        let later = theirs.duration_since(now);
        later.unwrap_or_else(|error| error.duration())
    });
    if let Some(off) = off.filter(|off| *off > DRIFT) {
        let found = format!("it is {} s off the server's.", off.as_secs());
        checks
            .push(Check::warning("clock", found).with("Set it, or let the system keep it (NTP)."));
    }
    checks
}

/// The app, if one is named.
async fn app(globals: &Globals) -> Option<Check> {
    if !globals.file.has_app() {
        return None;
    }
    let app = match globals.file.app() {
        Ok(app) => app,
        Err(failure) => return Some(Check::failure("app", &failure)),
    };
    Some(match app.secret.read().await {
        Ok(_) => Check::ok("app", format!("{} has its secret.", app.client_key)),
        Err(failure) => Check::failure("app", &failure),
    })
}

/// The keys that seal accounts, if any are named.
async fn seal(globals: &Globals) -> Option<Check> {
    Some(match globals.file.seal_key()?.read().await {
        Ok(keys) => {
            let ids = keys.ids();
            let others = match ids.len() {
                1 => String::new(),
                _ => format!(", {} only open", ids[1..].join(", ")),
            };
            Check::ok(
                "seal",
                format!("the key {} seals accounts{others}.", ids[0]),
            )
        }
        Err(failure) => Check::failure("seal", &failure),
    })
}

/// Whether there is a token for each account of the file, each that is logged in, and the one that is used without a name.
async fn accounts(globals: &Globals) -> Vec<Check> {
    let logged_in = match globals.accounts_of(None).await {
        Ok(accounts) => accounts.list().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let mut checks = Vec::new();
    let logged_in = logged_in.unwrap_or_else(|failure| {
        checks.push(Check::failure("accounts", &failure));
        Vec::new()
    });
    let mut names = names(globals, &logged_in);
    match globals.given_account() {
        Some(given) => names = BTreeSet::from([given]),
        None => drop(names.insert(globals.account_name())),
    }
    for name in names {
        let login = logged_in.iter().find(|(of, _)| of == name);
        let login = login.map(|(_, login)| login.as_ref());
        checks.push(token(globals, name, login).await.of(name));
    }
    checks
}

async fn token(globals: &Globals, name: &str, login: Option<Result<&LogIn, &Error>>) -> Check {
    let (from, said_as) = globals.tokens(name);
    let asked = match (globals.file.provider(), globals.token_source(name)) {
        (_, Some(tokens)) => tokens.token(None).await.map(drop),
        (Some(provider), None) if from == TokenFrom::Provider => {
            globals.table(provider).token(name, None).await.map(drop)
        }
        _ => return logged_in(name, login),
    };
    let Err(error) = asked else {
        return Check::ok("account", format!("{said_as} gives a token."));
    };
    let found = format!("there is no token: {error}.");
    let is_meant = globals.file.account(name).is_some() || globals.account.is_some();
    match from {
        _ if error.is_temporary() => Check::new("account", Verdict::Temporary, found),
        // No account and no token was named yet.
        TokenFrom::Variable(_) if !is_meant => Check::warning("account", found).with(
            "Log in (chunkferry login NAME), or name a source of tokens: docs/config.md. To try without an account: chunkferry demo",
        ),
        _ => Check::failed("account", found),
    }
}

/// An account that logs in. Its tokens are not renewed here.
fn logged_in(name: &str, login: Option<Result<&LogIn, &Error>>) -> Check {
    match (needs(login), login) {
        (Some(needs), _) if needs.login => Check::failed("account", format!("{}.", needs.why))
            .with(&format!("Log in: chunkferry login {name}")),
        (Some(needs), _) => Check::failed("account", needs.why),
        (None, Some(Ok(login))) if !is_taken_over(login) => Check::ok(
            "account",
            format!("it is logged in until {}.", at(login.refresh_ends)),
        ),
        (None, _) => Check::ok(
            "account",
            "its refresh token is exchanged when a token is first needed.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_this_version_was_built_is_wrong() {
        let built = SystemTime::UNIX_EPOCH + BUILT;
        assert_eq!(clock(built).verdict, Verdict::Ok);
        let early = clock(built - Duration::from_secs(1));
        assert_eq!(early.verdict, Verdict::Failed);
        assert!(early.found.contains("2025-12-31T23:59:59Z"), "{early:?}");
        assert_eq!(clock(SystemTime::UNIX_EPOCH).verdict, Verdict::Failed);
    }

    #[test]
    fn what_fails_for_good_decides_over_what_passes_by_itself() {
        let worst = |of: &[Verdict]| of.iter().max().map_or(Exit::DELIVERED, |of| of.exit());
        use Verdict::{Failed, Ok, Temporary, Warning};
        assert_eq!(worst(&[Ok, Warning]), Exit(0));
        assert_eq!(worst(&[Temporary, Ok, Warning]), Exit(75));
        assert_eq!(worst(&[Failed, Temporary, Ok]), Exit(2));
    }
}

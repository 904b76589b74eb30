//! `login` and `logout`: a creator lets the app in, and takes that back.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use chunkferry::{
    Account, Accounts, App, Escaped, LoggedIn, Login, Options, Pkce, Secret, TokenError,
    TokenSource,
};
use clap::{Args, ValueEnum};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::callback::Callback;
use super::config::SealKey;
use super::exit::Exit;
use super::globals::account_name;
use super::{Failure, Globals, config, json};

/// Port of the redirect address where nothing listens: the browser shows an error, and its address line holds the code.
const UNHEARD: u16 = 8485;

/// Log a creator in: once for each account
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry login lena")]
pub(super) struct LoginArgs {
    /// Your name for the creator's account
    #[arg(value_parser = account_name)]
    name: String,
    /// What to ask the creator for
    #[arg(
        long,
        value_name = "LIST",
        default_value = "user.info.basic,video.upload"
    )]
    scopes: String,
    /// Open no browser, and take the address it ends at from standard input
    #[arg(long, conflicts_with_all = ["link", "finish"])]
    no_browser: bool,
    /// Print an address to send to a creator elsewhere; valid for a day
    #[arg(long, conflicts_with = "finish")]
    link: bool,
    /// End a login by --link with the address that the creator's browser ended at; - reads it from standard input
    #[arg(long, value_name = "ADDRESS")]
    finish: Option<String>,
    /// Port of this machine that the browser comes back to [default: a free one]
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// An address registered for the app, for the browser to end at
    #[arg(long, value_name = "URL", conflicts_with = "redirect_port")]
    redirect_uri: Option<String>,
    /// Let the name be another creator's from now on
    #[arg(long)]
    replace: bool,
    /// Form of the PKCE challenge
    #[arg(long, value_enum, default_value = "hex")]
    pkce: PkceForm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PkceForm {
    /// As the service documents it for desktop apps
    Hex,
    /// As RFC 7636 has it
    Base64url,
}

impl LoginArgs {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let pkce = match self.pkce {
            PkceForm::Hex => Pkce::Hex,
            PkceForm::Base64url => Pkce::Base64Url,
        };
        let app = keys(globals.app()?.as_ref()).await?;
        let accounts = globals.accounts_of(app.map(|app| app.pkce(pkce))).await?;
        let (login, address) = match &self.finish {
            Some(address) => {
                let login = accounts.kept_login(&self.name).await?;
                let address = match address.as_str() {
                    "-" => pasted()?,
                    address => address.to_owned(),
                };
                (login, address)
            }
            None if self.link => return self.print_link(globals, &accounts).await,
            None if self.no_browser || self.redirect_uri.is_some() => self.paste(&accounts)?,
            None => self.browse(&accounts).await?,
        };
        let logged_in = accounts
            .finish_login(&login, &address, self.replace)
            .await?;
        self.report(globals, &logged_in);
        Ok(Exit::DELIVERED)
    }

    fn begin(&self, accounts: &Accounts, redirect_uri: &str) -> Result<Login, Failure> {
        let scopes: Vec<&str> = self.scopes.split(',').map(str::trim).collect();
        Ok(accounts.begin_login(&self.name, redirect_uri, &scopes)?)
    }

    /// The redirect address where nothing listens.
    fn unheard(&self) -> String {
        let port = self.redirect_port.unwrap_or(UNHEARD);
        self.redirect_uri
            .clone()
            .unwrap_or_else(|| format!("http://127.0.0.1:{port}/callback"))
    }

    /// Opens a browser that comes back to this process.
    async fn browse(&self, accounts: &Accounts) -> Result<(Login, String), Failure> {
        let callback = Callback::listen(self.redirect_port.unwrap_or(0)).await?;
        let login = self.begin(accounts, &callback.address())?;
        eprintln!("Open this address as the creator, and allow the app:");
        eprintln!("{}", Escaped::new(login.url()));
        eprintln!(
            "From another machine, this first: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE",
            port = callback.port()
        );
        super::callback::open_browser(login.url());
        let address = callback.wait().await?;
        Ok((login, address))
    }

    /// Takes the address from a person.
    fn paste(&self, accounts: &Accounts) -> Result<(Login, String), Failure> {
        let login = self.begin(accounts, &self.unheard())?;
        eprintln!("Open this address as the creator, and allow the app:");
        eprintln!("{}", Escaped::new(login.url()));
        eprintln!(
            "Then the browser shows a page that it cannot reach. Paste the whole address of that page here:"
        );
        Ok((login, pasted()?))
    }

    async fn print_link(&self, globals: &Globals, accounts: &Accounts) -> Result<Exit, Failure> {
        let login = self.begin(accounts, &self.unheard())?;
        accounts.keep_login(&login).await?;
        let account = Some(&*self.name);
        if globals.json {
            let fields = serde_json::json!({ "url": login.url() });
            println!("{}", json::line("login_link", account, fields));
        } else {
            println!("{}", Escaped::new(login.url()));
            let text = format!(
                "The creator opens it, and sends back the whole address of the page that the browser cannot reach. Then, within a day: chunkferry login {} --finish ADDRESS",
                self.name
            );
            eprintln!("{}", Escaped::new(&text));
        }
        Ok(Exit::DELIVERED)
    }

    fn report(&self, globals: &Globals, logged_in: &LoggedIn) {
        if globals.json {
            let fields = serde_json::json!({
                "open_id": logged_in.open_id,
                "scopes": logged_in.scopes,
                "missing": logged_in.missing,
                "aliases": logged_in.aliases,
            });
            println!("{}", json::line("logged_in", Some(&self.name), fields));
            return;
        }
        let text = format!("{} is logged in.", self.name);
        println!("{}", Escaped::new(&text));
        if !logged_in.missing.is_empty() {
            let missing: Vec<&str> = logged_in.missing.iter().map(String::as_str).collect();
            let text = format!("The creator did not grant: {}.", missing.join(", "));
            eprintln!("{}", Escaped::new(&text));
        }
        if !logged_in.aliases.is_empty() {
            let text = format!(
                "The same creator is logged in as {}, too: one name for each creator keeps a video from being sent twice.",
                logged_in.aliases.join(", ")
            );
            eprintln!("{}", Escaped::new(&text));
        }
    }
}

/// A line of standard input.
fn pasted() -> Result<String, Failure> {
    let mut address = String::new();
    BufReader::new(std::io::stdin())
        .read_line(&mut address)
        .map_err(|error| Failure::usage(format!("No address was read: {error}.")))?;
    Ok(address.trim().to_owned())
}

/// Take the app's access to a creator back, and forget the account
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry logout lena")]
pub(super) struct Logout {
    /// Your name for the creator's account
    #[arg(value_parser = account_name)]
    name: String,
}

impl Logout {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let accounts = globals.accounts().await?;
        let is_revoked = accounts.log_out(&self.name).await?;
        if globals.json {
            let fields = serde_json::json!({ "revoked": is_revoked });
            println!("{}", json::line("logged_out", Some(&self.name), fields));
        } else {
            let text = format!("{} is logged out.", self.name);
            println!("{}", Escaped::new(&text));
        }
        if !is_revoked {
            eprintln!(
                "TikTok has not confirmed that the app's access is taken back: the creator can do that in TikTok's own settings."
            );
        }
        Ok(Exit::DELIVERED)
    }
}

/// The tokens of an account that is logged in. The keys of the app and of the seal are read when a token is first asked for.
struct Tokens {
    options: Options,
    dir: Option<PathBuf>,
    name: String,
    app: Option<config::App>,
    seal_key: Option<SealKey>,
    accounts: OnceCell<Accounts>,
}

impl Tokens {
    async fn accounts(&self) -> Result<&Accounts, TokenError> {
        let open = || async {
            let app = keys(self.app.as_ref()).await;
            let app = app.map_err(|failure| failure.message)?;
            let options = SealKey::given_to(self.seal_key.as_ref(), self.options.clone());
            let options = options.await.map_err(|failure| failure.message)?;
            Ok::<_, TokenError>(options.open_accounts(self.dir.clone(), app)?)
        };
        self.accounts.get_or_try_init(open).await
    }
}

impl TokenSource for Tokens {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async move {
            let accounts = self.accounts().await?;
            accounts.tokens(&self.name).token(refused).await
        })
    }

    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async {
            let accounts = self.accounts().await.ok()?;
            accounts.tokens(&self.name).open_id().await
        })
    }
}

/// Reads the secret of an app.
async fn keys(app: Option<&config::App>) -> Result<Option<App>, Failure> {
    let Some(app) = app else { return Ok(None) };
    Ok(Some(App::new(&app.client_key, app.secret.read().await?)))
}

impl Globals {
    /// The app of the environment or the config file, if either names one.
    fn app(&self) -> Result<Option<config::App>, Failure> {
        match self.file.has_app() {
            true => self.file.app().map(Some),
            false => Ok(None),
        }
    }

    /// The accounts that log in, and the app that renews their tokens.
    pub(super) async fn accounts(&self) -> Result<Accounts, Failure> {
        self.accounts_of(keys(self.app()?.as_ref()).await?).await
    }

    pub(super) async fn accounts_of(&self, app: Option<App>) -> Result<Accounts, Failure> {
        let (key, options) = (self.file.seal_key(), self.options(self.state_dir()?));
        let options = SealKey::given_to(key.as_ref(), options).await?;
        Ok(options.open_accounts(self.accounts_dir.clone(), app)?)
    }

    /// Whether the creator of this account has logged in.
    pub(super) fn is_logged_in(&self, name: &str) -> bool {
        let options = self.state_dir().map(|dir| self.options(dir));
        options.is_ok_and(|options| options.has_account(self.accounts_dir.clone(), name))
    }

    /// Renews the tokens of accounts that nobody has used for long: the names of those that were due, and whether they were renewed.
    pub(super) fn renew_idle(
        &self,
    ) -> impl Future<Output = Vec<(String, Result<(), chunkferry::Error>)>> + Send + use<> {
        let (state_dir, app) = (self.state_dir(), self.app());
        let (dir, seal_key) = (self.accounts_dir.clone(), self.file.seal_key());
        let options = state_dir.map(|state_dir| self.options(state_dir));
        async move {
            let accounts = async {
                let (options, app) = (options?, app?);
                if app.is_none() || !options.has_accounts(dir.clone()) {
                    return Ok(Vec::new());
                }
                let app = keys(app.as_ref()).await?;
                let options = SealKey::given_to(seal_key.as_ref(), options).await?;
                let renewed = options.open_accounts(dir, app)?.renew_idle().await?;
                Ok::<_, Failure>(renewed)
            };
            // Jobs of these accounts say what is wrong.
            let renewed = accounts.await.unwrap_or_default();
            for (account, renewed) in &renewed {
                if let Err(error) = renewed {
                    tracing::warn!(%error, account, "the account was not renewed");
                }
            }
            renewed
        }
    }

    /// The account of this name, whose creator logs in.
    pub(super) fn logged_in(&self, name: &str) -> Result<Account, Failure> {
        Ok(Account::new(name, self.tokens_of_login(name)?).replacing_creator())
    }

    /// The tokens of the account of this name, whose creator logs in.
    pub(super) fn tokens_of_login(&self, name: &str) -> Result<impl TokenSource + use<>, Failure> {
        Ok(Tokens {
            options: self.options(self.state_dir()?),
            dir: self.accounts_dir.clone(),
            name: name.to_owned(),
            app: self.app()?,
            seal_key: self.file.seal_key(),
            accounts: OnceCell::new(),
        })
    }
}

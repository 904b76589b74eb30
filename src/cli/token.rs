//! Where the command gets access tokens from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chunkferry::{Secret, TokenError, TokenSource};
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

type Token = Result<Secret, TokenError>;

/// Most bytes that are read of a file, or of what a command prints.
const MOST: u64 = 64 * 1024;

/// How long a file may take to be read, or a command to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asked anew at each call: a file may be rewritten, a command may fetch a fresh token. The first line is the token.
#[derive(Debug)]
pub(super) enum Tokens {
    Command(String),
    File(PathBuf),
    /// A pipe or a device, such as `/dev/stdin` or what a shell makes of `<(…)`.
    Pipe(Pipe),
    Environment,
}

impl Tokens {
    pub(super) fn new(command: Option<String>, file: Option<PathBuf>) -> Self {
        match (command, file) {
            (Some(command), _) => Self::Command(command),
            (None, Some(path)) => match std::fs::metadata(&path) {
                Ok(found) if !found.is_file() && !found.is_dir() => Self::Pipe(Pipe {
                    path,
                    token: Arc::default(),
                }),
                _ => Self::File(path),
            },
            (None, None) => Self::Environment,
        }
    }

    /// What a person should know of this source at the start.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Self::Pipe(Pipe { path, .. }) => Some(format!(
                "{} can be read only once, so its access token is kept for this run and cannot be renewed. An upload that outlives the token needs --token-command, or a regular file that is rewritten.",
                path.display()
            )),
            _ => None,
        }
    }

    async fn ask(&self) -> Token {
        let token = match self {
            Self::Command(command) => run(command).await?,
            Self::File(path) => {
                let of = path.clone();
                read(path, move || first_line(&of)).await?
            }
            Self::Pipe(pipe) => {
                let pipe = pipe.clone();
                read(&pipe.path.clone(), move || pipe.token()).await?
            }
            Self::Environment => token_of(
                std::env::var("TIKTOK_ACCESS_TOKEN")
                    .unwrap_or_default()
                    .as_bytes(),
            ),
        };
        if token.is_empty() {
            return Err(match self {
                Self::Command(_) => "No access token: --token-command printed none on its first line.".into(),
                Self::File(path) | Self::Pipe(Pipe { path, .. }) => {
                    format!("No access token: there is none on the first line of {}.", path.display()).into()
                }
                Self::Environment => {
                    "No access token. Set TIKTOK_ACCESS_TOKEN or --token-file. To try without an account: chunkferry demo".into()
                }
            });
        }
        Ok(token)
    }
}

impl TokenSource for Tokens {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Token> {
        Box::pin(self.ask())
    }
}

/// The token in a text: its first line. Editors on Windows begin a file with a byte order mark.
fn token_of(text: &[u8]) -> Secret {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}');
    Secret::new(text.lines().next().unwrap_or_default())
}

/// Reads a token where blocking does no harm: a pipe waits for its writer, a network drive for its server.
async fn read(path: &Path, read: impl FnOnce() -> io::Result<Secret> + Send + 'static) -> Token {
    let name = path.display();
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(read)).await {
        Ok(read) => {
            Ok(read?
                .map_err(|error| format!("No access token: {name} cannot be read ({error})."))?)
        }
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            Err(format!("No access token: nothing came from {name} within {seconds} s.").into())
        }
    }
}

fn first_line(path: &Path) -> io::Result<Secret> {
    let mut line = Vec::new();
    let mut file = BufReader::new(File::open(path)?).take(MOST + 1);
    file.read_until(b'\n', &mut line)?;
    if line.len() as u64 > MOST {
        return Err(io::Error::other("its first line has more than 64 KiB"));
    }
    Ok(token_of(&line))
}

/// A file that can be read once. Its token is kept, even when whoever asked has gone away meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    path: PathBuf,
    token: Arc<Mutex<Option<Secret>>>,
}

impl Pipe {
    fn token(&self) -> io::Result<Secret> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        match &*token {
            Some(token) => Ok(token.clone()),
            None => Ok(token.insert(first_line(&self.path)?).clone()),
        }
    }
}

/// Runs the command by the shell, in a process group of its own, and takes the first line it prints.
async fn run(command: &str) -> Token {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn()?;
    let leader = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let group = leader.map(Group::new);
    let stdout = child.stdout.take();
    let ended = async {
        let mut printed = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST + 1).read_to_end(&mut printed).await?;
        }
        // One that prints without end would not end either.
        let status = match printed.len() as u64 > MOST {
            true => None,
            false => Some(child.wait().await?),
        };
        io::Result::Ok((printed, status))
    };
    let (printed, status) = match tokio::time::timeout(PATIENCE, ended).await {
        Ok(ended) => ended?,
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            let text = format!("--token-command did not end within {seconds} s");
            return Err(TokenError::temporary(text));
        }
    };
    let Some(status) = status else {
        return Err("No access token: --token-command printed more than 64 KiB.".into());
    };
    if let Some(group) = group {
        group.has_ended();
    }
    if !status.success() {
        return Err(format!("No access token: --token-command failed ({status}).").into());
    }
    Ok(token_of(&printed))
}

/// The process groups of the commands that are running.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The processes that a command has started; killed when this is dropped before the command has ended.
struct Group(Pid);

impl Group {
    fn new(leader: Pid) -> Self {
        running().push(leader);
        Self(leader)
    }

    fn has_ended(self) {
        running().retain(|group| *group != self.0);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut running = running();
        if let Some(at) = running.iter().position(|group| *group == self.0) {
            kill(running.swap_remove(at));
        }
    }
}

/// Ends the commands that are still running. The last thing a process does: it waits for no task.
pub(super) fn end_commands() {
    running().drain(..).for_each(kill);
}

fn kill(group: Pid) {
    // It may have ended just now.
    let _ = kill_process_group(group, Signal::KILL);
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The command's sources of access tokens.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chunkferry::{Escaped, Secret, TokenError, TokenSource};
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr};

type Token = Result<Secret, TokenError>;

/// Most bytes of a file, or of a command's output.
const MOST: u64 = 64 * 1024;

/// Longest time to read a file or to run a command.
const PATIENCE: Duration = Duration::from_secs(60);

/// Read again for each call: a file may be rewritten, and a command may fetch a fresh token. The first line is the
/// token.
#[derive(Debug)]
pub(super) enum Tokens {
    Command(Command),
    File(PathBuf),
    /// A pipe or a device, such as `/dev/stdin` or a shell's `<(…)`.
    Pipe(Pipe),
    /// A variable of the environment.
    Variable(String),
}

/// A command line for the shell.
#[derive(Debug)]
pub(super) struct Command {
    /// The option or the key that names it, for messages.
    pub(super) name: String,
    pub(super) line: String,
}

impl Tokens {
    pub(super) fn file(path: PathBuf) -> Self {
        match std::fs::metadata(&path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Self::Pipe(Pipe {
                path,
                token: Arc::default(),
            }),
            _ => Self::File(path),
        }
    }

    /// A hint about this source for the start of a run.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Self::Pipe(Pipe { path, .. }) => Some(format!(
                "{} can be read only once, so its access token is kept for this run and cannot be renewed. An upload that outlives the token needs --token-command, or a regular file that is rewritten.",
                path.display()
            )),
            _ => None,
        }
    }

    pub(super) async fn ask(&self) -> Token {
        let token = match self {
            Self::Command(Command { name, line }) => run(name, line).await?,
            Self::File(path) => in_file(path).await?,
            Self::Pipe(pipe) => {
                let pipe = pipe.clone();
                read(&pipe.path.clone(), move || pipe.token()).await?
            }
            Self::Variable(name) => token_of(std::env::var(name).unwrap_or_default().as_bytes()),
        };
        if token.is_empty() {
            return Err(match self {
                Self::Command(Command { name, .. }) => {
                    format!("{name} printed none on its first line").into()
                }
                Self::File(path) | Self::Pipe(Pipe { path, .. }) => {
                    format!("there is none on the first line of {}", path.display()).into()
                }
                Self::Variable(name) => format!("{name} is not set").into(),
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

/// Reads a token on a thread that may block: a pipe waits for its writer, a network drive for its server.
async fn read(path: &Path, read: impl FnOnce() -> io::Result<Secret> + Send + 'static) -> Token {
    let name = path.display();
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(read)).await {
        Ok(read) => Ok(read?.map_err(|error| format!("{name} cannot be read ({error})"))?),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            Err(format!("nothing came from {name} within {seconds} s").into())
        }
    }
}

/// The first line of a file.
pub(super) async fn in_file(path: &Path) -> Token {
    let of = path.to_owned();
    read(path, move || first_line(&of)).await
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

/// All lines of a file that only its owner can read. A pipe has nobody else to read it.
pub(super) async fn private_lines(path: &Path) -> Token {
    let of = path.to_owned();
    read(path, move || {
        let file = File::open(of)?;
        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o7777;
        if metadata.is_file() && mode & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "others can read it, as its mode is {mode:04o}: chmod 600"
            )));
        }
        let mut lines = String::new();
        file.take(MOST + 1).read_to_string(&mut lines)?;
        match lines.len() as u64 > MOST {
            true => Err(io::Error::other("it has more than 64 KiB")),
            false => Ok(Secret::new(&lines)),
        }
    })
    .await
}

/// A file that can be read only once. Its token is kept, even if the first caller stops waiting.
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

/// Runs the command by the shell, in a process group of its own, and takes the first line of its output. Its standard
/// error is shown. The group ends with the command.
pub(super) async fn run(name: &str, command: &str) -> Token {
    succeeded(name, asked(name, command, None).await?)
}

/// As [`run`], with all lines of the output.
pub(super) async fn run_for_lines(name: &str, command: &str) -> Token {
    let (printed, status, said) = output(name, command, None).await?;
    let printed = Secret::new(&String::from_utf8_lossy(&printed));
    succeeded(name, (printed, status, said))
}

pub(super) fn succeeded(name: &str, ended: (Secret, ExitStatus, Option<String>)) -> Token {
    match ended {
        (printed, status, _) if status.success() => Ok(printed),
        (_, status, said) => {
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            Err(format!("{name} failed ({status}{said})").into())
        }
    }
}

/// Runs a command with this standard input; the first line of its output, its end, and the last line of its standard error.
pub(super) async fn asked(
    name: &str,
    command: &str,
    input: Option<Vec<u8>>,
) -> Result<(Secret, ExitStatus, Option<String>), TokenError> {
    let (printed, status, said) = output(name, command, input).await?;
    Ok((known(token_of(&printed)), status, said))
}

/// As [`asked`], with the whole output.
pub(super) async fn output(
    name: &str,
    command: &str,
    input: Option<Vec<u8>>,
) -> Result<(Vec<u8>, ExitStatus, Option<String>), TokenError> {
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(match input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        tokio::spawn(async move {
            // A command may end without reading its input; that is no error.
            let _ = stdin.write_all(&input).await;
        });
    }
    let leader = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let group = leader.map(Group);
    running().extend(leader);
    let heard = child
        .stderr
        .take()
        .map(|stderr| tokio::spawn(hear(name.to_owned(), stderr)));
    let ended = tokio::time::timeout(PATIENCE, printed(&mut child, group)).await;
    // A process that has left the group may keep the pipe open.
    let said = async { heard?.await.ok()? };
    let said = tokio::time::timeout(GRACE, said).await.ok().flatten();
    let Ok(ended) = ended else {
        let seconds = PATIENCE.as_secs();
        let text = format!("{name} did not end within {seconds} s");
        return Err(TokenError::temporary(text));
    };
    match ended? {
        Some((printed, status)) => Ok((printed, status, said)),
        None => Err(format!("{name} printed more than 64 KiB").into()),
    }
}

/// How long to wait for the last output of an ended command.
const GRACE: Duration = Duration::from_secs(1);

/// The command's output and exit status; `None` if the output is too long.
async fn printed(
    child: &mut Child,
    group: Option<Group>,
) -> io::Result<Option<(Vec<u8>, ExitStatus)>> {
    let (mut printed, mut stdout) = (Vec::new(), child.stdout.take());
    let mut group = Some(group);
    let mut ended = None;
    loop {
        let more = async {
            match &mut stdout {
                Some(stdout) => stdout.read_buf(&mut printed).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = more => match read? {
                0 => stdout = None,
                _ if printed.len() as u64 > MOST => return Ok(None),
                _ => {}
            },
            status = child.wait(), if ended.is_none() => {
                ended = Some(status?);
                // Processes that the command started would keep the pipe open.
                drop(group.take());
            }
            () = tokio::time::sleep(GRACE), if ended.is_some() => stdout = None,
        }
        if let (None, Some(status)) = (&stdout, ended) {
            return Ok(Some((printed, status)));
        }
    }
}

/// Shows the command's standard error line by line; returns the last line, for the message about a failure.
async fn hear(name: String, stderr: ChildStderr) -> Option<String> {
    let mut lines = tokio::io::BufReader::new(stderr).split(b'\n');
    let (mut last, mut shown) = (None, 0);
    while let Ok(Some(line)) = lines.next_segment().await {
        shown += line.len() as u64;
        let line = without_secrets(String::from_utf8_lossy(&line).trim());
        // A command with endless output is read on, so that it can end.
        if shown <= MOST && !line.is_empty() {
            eprintln!("{}: {}", Escaped::new(&name), Escaped::new(&line));
            last = Some(line);
        }
    }
    last
}

/// The last tokens that commands have printed.
static TOKENS: Mutex<VecDeque<Secret>> = Mutex::new(VecDeque::new());

pub(super) fn known(token: Secret) -> Secret {
    let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
    if !token.is_empty() && !tokens.contains(&token) {
        tokens.push_back(token.clone());
    }
    while tokens.len() > 16 {
        tokens.pop_front();
    }
    token
}

/// Removes secrets from a command's output, as when its shell prints each line it runs: tokens that commands printed,
/// texts that look like the service's tokens or like seal keys, and fields of its OAuth requests.
fn without_secrets(text: &str) -> String {
    const MARKS: [&str; 8] = [
        "act.",
        "rft.",
        "clt.",
        "client_secret",
        "access_token",
        "refresh_token",
        "Bearer",
        "bearer",
    ];
    let mut text = text.to_owned();
    for token in TOKENS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        text = text.replace(token.expose(), "REDACTED");
    }
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 64)
        .map(str::to_owned)
        .collect();
    for word in words {
        text = text.replace(&word, "REDACTED");
    }
    let of_secret = |c: char| c.is_ascii_alphanumeric() || "._-!*~%+/".contains(c);
    for mark in MARKS {
        let mut from = 0;
        while let Some(found) = text[from..].find(mark) {
            let at = from + found;
            let inside = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            // The separator between the name of a field and its value.
            let rest = &text[at + mark.len()..];
            let value =
                rest.trim_start_matches(|c: char| !mark.ends_with('.') && " \"'=:\\".contains(c));
            let start = if mark.ends_with('.') {
                at
            } else {
                text.len() - value.len()
            };
            let end = text.len() - value.trim_start_matches(of_secret).len();
            from = at + mark.len();
            if !inside && end > from.max(start) {
                text.replace_range(start..end, "REDACTED");
                from = start + "REDACTED".len();
            }
        }
    }
    text
}

/// The process groups of running commands.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A command with the processes that it started; dropping it kills them.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        let mut running = running();
        if let Some(at) = running.iter().position(|group| *group == self.0) {
            kill(running.swap_remove(at));
        }
    }
}

/// Kills the running commands. Called last, as the process waits for no task after it.
pub(super) fn end_commands() {
    running().drain(..).for_each(kill);
}

fn kill(group: Pid) {
    // The command may have ended meanwhile.
    let _ = kill_process_group(group, Signal::KILL);
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_holds_no_secret() {
        known(Secret::new("odd-token"));
        let rows = [
            ("+ echo act.lena!4518.va", "+ echo REDACTED"),
            ("it gave odd-token.", "it gave REDACTED."),
            (
                "curl -d client_secret=s3cr3t&refresh_token=rft.1!x -H 'Authorization: Bearer abc'",
                "curl -d client_secret=REDACTED&refresh_token=REDACTED -H 'Authorization: Bearer REDACTED'",
            ),
            (
                r#"{"access_token": "abc", "expires_in": 3600}"#,
                r#"{"access_token": "REDACTED", "expires_in": 3600}"#,
            ),
            (
                "the contract. is signed; compact.",
                "the contract. is signed; compact.",
            ),
            (
                "curl: (6) Could not resolve host",
                "curl: (6) Could not resolve host",
            ),
            ("access_token", "access_token"),
            (
                "+ echo 'ab3456789012345678901234567890123456789012345678901234567890123F'",
                "+ echo 'REDACTED'",
            ),
        ];
        for (said, shown) in rows {
            assert_eq!(without_secrets(said), shown);
        }
    }
}

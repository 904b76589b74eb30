//! An emulator in a child process.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;

/// How long a child may take to print its address: a loaded machine needs some seconds, and so does the removal of the
/// videos that a killed emulator has left.
const START: Duration = Duration::from_secs(60);

/// How long a stopped child may take to end.
const STOP: Duration = Duration::from_secs(10);

/// Longest first line that is read, in bytes.
const LONGEST_LINE: u64 = 4096;

/// The emulator of an installed `chunkferry` in a child process, on a free port.
///
/// Dropping it kills the process by SIGKILL. Videos in the child's temporary directory then stay there until the
/// next emulator starts; [`Process::stop`] leaves none.
///
/// Its functions block. [`start`](Self::start) and [`spawn`](Self::spawn) usually take some tens of milliseconds, so async
/// code may call them where that does not matter.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// use chunkferry_emulator::Process;
///
/// let emulator = Process::start("chunkferry", ["--set", "processing_time=0s"])?;
/// // … point a client at emulator.url() …
/// assert_eq!(emulator.client().log()?.drafts, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Process {
    child: Child,
    url: String,
    client: Client,
}

impl Process {
    /// Runs `PROGRAM emulator --listen 127.0.0.1:0 ARGS…` and waits until it listens.
    ///
    /// # Errors
    ///
    /// As [`Process::spawn`].
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["emulator", "--listen", "127.0.0.1:0"]);
        Self::spawn(command.args(args))
    }

    /// Runs a whole command, which may set the environment, the directory or the standard error, and waits until it
    /// listens. The command must print `listening on URL` as its first line, as `chunkferry emulator` does; it gets no
    /// standard input.
    ///
    /// # Errors
    ///
    /// When the command cannot be run, ends or prints something else before it listens, or has printed nothing after 60
    /// seconds. The process is killed then. The reason is on the command's standard error, which is the caller's own unless
    /// the command redirects it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Self::spawn_within(command, START)
    }

    fn spawn_within(command: &mut Command, limit: Duration) -> io::Result<Self> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| {
            let program = command.get_program().display();
            io::Error::new(error.kind(), format!("{program} cannot be run: {error}"))
        })?;
        match listening_at(&mut child, limit) {
            Ok(url) => Ok(Self {
                client: Client::new(&url),
                child,
                url,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The base of its API, like `http://127.0.0.1:40123`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of the emulator's own pages.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The process id of the child.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process by SIGTERM, upon which it removes its temporary files, or by SIGKILL if it still runs after 10 seconds.
    /// Returns its exit status, which is a success if it ended by itself.
    ///
    /// # Errors
    ///
    /// When the system refuses to end the process or to wait for it.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        // A process that has ended keeps its id until it is waited for, so the signal reaches no other process.
        let running = self.child.try_wait()?.is_none();
        if running && let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
            let began = Instant::now();
            while self.child.try_wait()?.is_none() && began.elapsed() < STOP {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the child's first line and takes the URL from it.
fn listening_at(child: &mut Child, limit: Duration) -> io::Result<String> {
    let stdout = child.stdout.take();
    let stdout = stdout.ok_or_else(|| io::Error::other("the emulator has no standard output"))?;
    let line = first_line(stdout, limit)?;
    match line.trim_end().strip_prefix("listening on ") {
        Some(url) => Ok(url.to_owned()),
        None if line.is_empty() => {
            // A child that is ending keeps its own status; one that only closed its output is killed.
            let _ = child.kill();
            let status = child.wait()?;
            let text = format!("the emulator ended before it listened ({status})");
            Err(io::Error::other(text))
        }
        None => {
            let text = format!("the emulator printed {line:?} instead of its address");
            Err(io::Error::other(text))
        }
    }
}

/// The first line of an output, empty if the output ends before. A thread reads it, since a pipe has no timeout.
fn first_line(stdout: ChildStdout, limit: Duration) -> io::Result<String> {
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().name("emulator-start".to_owned());
    reader.spawn(move || {
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout).take(LONGEST_LINE);
        let read = stdout.read_line(&mut line).map(|_| line);
        // The caller has left if the limit has passed.
        let _ = sender.send(read);
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        let text = format!("the emulator did not listen within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(process: u32) -> bool {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        test_kill_process(pid.unwrap()).is_ok()
    }

    const LISTENS: &str = "echo listening on http://127.0.0.1:9; exec sleep 300";

    #[test]
    fn the_child_lives_until_it_is_dropped() {
        let process = Process::spawn(&mut shell(LISTENS)).unwrap();
        assert_eq!(process.url(), "http://127.0.0.1:9");
        assert_eq!(process.client().address(), "127.0.0.1:9");
        let pid = process.id();
        assert!(is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
    }

    #[test]
    fn a_stopped_child_ends_by_itself_and_keeps_its_exit_status() {
        let script = "trap 'exit 7' TERM; echo listening on http://127.0.0.1:9; while :; do sleep 0.01; done";
        let process = Process::spawn(&mut shell(script)).unwrap();
        assert_eq!(process.stop().unwrap().code(), Some(7));
        let mut ended = Process::spawn(&mut shell("echo listening on http://x:9; exit 5")).unwrap();
        while ended.child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(ended.stop().unwrap().code(), Some(5));
    }

    #[test]
    fn a_child_that_does_not_listen_is_an_error_that_says_what_it_did() {
        let limit = Duration::from_secs(20);
        for (script, part) in [
            ("exit 3", "exit status: 3"),
            ("echo 'usage: sh'", "\"usage: sh\\n\""),
            ("printf '\\033[31m'", "\\u{1b}[31m"),
            ("exec >&-; exec sleep 300", "ended before it listened"),
        ] {
            let refused = Process::spawn_within(&mut shell(script), limit).unwrap_err();
            assert!(refused.to_string().contains(part), "{script}: {refused}");
        }
        let missing = Process::start("/nonexistent/program", ["--sink"]).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(
            missing.to_string().contains("/nonexistent/program"),
            "{missing}"
        );
    }

    #[test]
    fn a_child_that_prints_nothing_is_killed_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ > '{}'; exec sleep 300", file.display());
        let limit = Duration::from_secs(2);
        let refused = Process::spawn_within(&mut shell(&script), limit).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        let pid = std::fs::read_to_string(file).unwrap();
        assert!(!is_alive(pid.trim().parse().unwrap()));
    }
}

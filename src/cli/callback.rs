//! The address of this machine to which a browser comes back from the consent page.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Failure;

/// How long a person may take to consent.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// How long a browser may take to send its request.
const REQUEST: Duration = Duration::from_secs(10);

/// Longest request that is read, in bytes.
const LONGEST: usize = 16 * 1024;

pub(super) struct Callback {
    listener: TcpListener,
    port: u16,
}

impl Callback {
    /// Listens on a port of this machine; on a free one for 0.
    pub(super) async fn listen(port: u16) -> Result<Self, Failure> {
        let cannot = |error: io::Error| {
            Failure::usage(format!(
                "Port {port} of 127.0.0.1 cannot be listened on: {error}. Choose another with --redirect-port, or leave it to chunkferry."
            ))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.await.map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        Ok(Self { listener, port })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The address to which the consent page sends the browser.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// Waits for the browser, and returns the address that it was sent to.
    pub(super) async fn wait(self) -> Result<String, Failure> {
        let came = tokio::time::timeout(PATIENCE / clock_scale(), async {
            let (sender, mut came) = tokio::sync::mpsc::channel(1);
            loop {
                tokio::select! {
                    address = came.recv() => return address,
                    // Browsers open connections that they do not use, so none may hold up another.
                    Ok((stream, _)) = self.listener.accept() => {
                        let sender = sender.clone();
                        tokio::spawn(async move {
                            let answered = tokio::time::timeout(REQUEST, answer(stream)).await;
                            if let Ok(Ok(Some(target))) = answered {
                                // One address is enough.
                                let _ = sender.try_send(target);
                            }
                        });
                    }
                }
            }
        });
        match came.await {
            Ok(Some(target)) => Ok(format!("http://127.0.0.1:{}{target}", self.port)),
            _ => Err(Failure::temporary(format!(
                "Nobody came back from the consent page within {} minutes. Run the same command again.",
                PATIENCE.as_secs() / 60
            ))),
        }
    }
}

/// How many times faster the wait for a person is, as the library's clocks are: for tests, in builds with debug assertions.
pub(super) fn clock_scale() -> u32 {
    let set = std::env::var("CHUNKFERRY_CLOCK_SCALE").ok();
    let set = set.filter(|_| cfg!(debug_assertions));
    set.and_then(|times| times.parse().ok()).unwrap_or(1).max(1)
}

const CAME: &str = "You can close this page: chunkferry has the answer, and says how it ended.";

/// Answers a request; its target, if that is the end of a login.
async fn answer(mut stream: TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let ends = target.strip_prefix("/callback?").is_some_and(|query| {
        let mut keys = query.split('&').filter_map(|pair| pair.split('=').next());
        keys.any(|key| matches!(key, "code" | "error"))
    });
    let came = (method == Some("GET") && ends).then(|| target.to_owned());
    let (status, text) = match came {
        Some(_) => ("200 OK", CAME),
        None => ("404 Not Found", "Nothing is here."),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>chunkferry</title><body style=\"font:1.2em sans-serif;margin:15vh auto;max-width:30em\"><p>{text}</p></body></html>"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(came)
}

/// Opens an address in the person's browser, where there is one. The address is printed in any case.
pub(super) fn open_browser(url: &str) {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let program = match std::env::var_os("BROWSER").filter(|value| !value.is_empty()) {
        Some(browser) => browser,
        None if cfg!(target_os = "macos") => "open".into(),
        None if set("DISPLAY") || set("WAYLAND_DISPLAY") => "xdg-open".into(),
        None => return,
    };
    let opened = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match opened {
        // A browser that is opened by this may live on; nobody waits for it.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(error) => tracing::debug!(%error, "no browser was opened"),
    }
}

//! The costs of a command, as the kernel counts them.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use wait4::Wait4;

/// The costs of one ended process with all its threads.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Cost {
    /// Seconds from start to end.
    pub(super) wall: f64,
    /// Seconds of CPU time, of the process and of the kernel for it.
    pub(super) cpu: f64,
    /// Most memory at any time, in bytes.
    pub(super) peak_rss: u64,
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> io::Result<(Output, Cost)> {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let pipes = (child.stdout.take(), child.stderr.take());
    let (Some(mut out), Some(mut err)) = pipes else {
        return Err(io::Error::other("the command has no output"));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| err.read_to_end(&mut stderr));
        out.read_to_end(&mut stdout)
    })?;
    let used = child.wait4()?;
    let cost = Cost {
        wall: started.elapsed().as_secs_f64(),
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_rss: used.rusage.maxrss,
    };
    let status = used.status;
    Ok((
        Output {
            status,
            stdout,
            stderr,
        },
        cost,
    ))
}

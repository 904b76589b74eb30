//! What a command costs, in the kernel's own account of it.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4;

/// The account of one process that has ended, its threads included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of CPU time, in and out of the kernel.
    pub(crate) cpu: f64,
    /// Most memory at any time, in bytes.
    pub(crate) peak_rss: u64,
}

/// Runs a command to its end; one that fails is an error with its standard error in it.
pub(crate) fn run(command: &mut Command) -> io::Result<Cost> {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_end(&mut said)?;
    }
    let used = child.wait4()?;
    if !used.status.success() {
        let said = String::from_utf8_lossy(&said);
        return Err(io::Error::other(format!("{command:?}: {said}")));
    }
    Ok(Cost {
        wall: started.elapsed().as_secs_f64(),
        cpu: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_rss: used.rusage.maxrss,
    })
}

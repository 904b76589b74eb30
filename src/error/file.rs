//! Errors about a file or other media.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Error, ErrorKind, Remedy, Who, name};
use crate::account::TokenError;
use crate::answer::Refusal;
use crate::secret::escaped::Escaped;
use crate::upload::plan::PlanError;

impl Error {
    pub(crate) fn unreadable(file: &Path, source: io::Error) -> Self {
        if may_pass(&source) {
            return Self::not_now(&name(file), source);
        }
        Self::new(
            ErrorKind::Source,
            Who::You,
            format!("{} cannot be read", name(file)),
        )
        .with_source(source)
    }

    /// Media that the caller had brought, and of which the journal keeps the address only.
    pub(crate) fn needs_its_media(id: &str, name: &str) -> Self {
        Self::usage(format!(
            "The upload {id} has not reached TikTok, and {name} is no file: only the program that opened it can carry the upload on."
        ))
    }

    /// A video that lies elsewhere, and of whose URL the journal keeps what is no secret.
    pub(crate) fn needs_its_remote(id: &str, address: &str) -> Self {
        let address = Escaped::new(address);
        Self::usage(format!(
            "The upload {id} has not reached TikTok: only a job with the whole URL of {address} can carry the upload on."
        ))
        .helped_by([Remedy::GiveWholeUrl])
    }

    /// The URL of a video is none that is fetched.
    pub(crate) fn no_source(name: &str, rule: impl fmt::Display) -> Self {
        Self::usage(format!("{name} is not fetched: {rule}."))
    }

    /// A job names a source of URLs that nobody has.
    pub(crate) fn no_url_source(name: &str) -> Self {
        Self::usage(format!(
            "There is no source of URLs \"{}\".",
            Escaped::new(name)
        ))
    }

    /// The host of a video does not give it in a way that it can be sent from.
    pub(crate) fn not_fetched(name: &str, what: impl fmt::Display) -> Self {
        let text = format!("{name} cannot be fetched: {what}");
        Self::new(ErrorKind::Source, Who::You, text)
    }

    /// The host of a video gives it as a whole only, and a copy was not asked for.
    pub(crate) fn needs_spool(name: &str, why: impl fmt::Display) -> Self {
        let text = format!("{name} cannot be read by ranges: {why}. A copy of it could be sent");
        Self::new(ErrorKind::Source, Who::You, text).helped_by([Remedy::Spool])
    }

    /// The host of a video gives nothing of it now.
    pub(crate) fn not_fetched_now(name: &str, source: io::Error) -> Self {
        let text = format!("{name} cannot be fetched now");
        Self::new(ErrorKind::Temporary, Who::You, text)
            .with_source(source)
            .helped_by([Remedy::CarryOn])
    }

    /// The host of a video refuses its URL, and there is no other one.
    pub(crate) fn url_refused(name: &str, http_status: u16) -> Self {
        let text = format!(
            "The host of {name} refuses its URL ({http_status}): a signature may be over, or headers are missing."
        );
        Self::new(ErrorKind::NeedsPerson, Who::You, text).helped_by([Remedy::GiveWholeUrl])
    }

    /// There is no new URL for a video whose host refuses the one at hand.
    pub(crate) fn url_not_renewed(name: &str, source: TokenError) -> Self {
        let text = format!("The host of {name} refuses its URL, and there is no new one");
        Self::new(ErrorKind::NeedsPerson, Who::You, text)
            .with_source(source.into_cause())
            .helped_by([Remedy::RepeatAfterFix])
    }

    /// The certificate of a video's host is not trusted.
    pub(crate) fn untrusted_source(name: &str, reason: &str) -> Self {
        let text = format!(
            "{name} is not fetched: the certificate of its host is not trusted ({reason})."
        );
        Self::new(ErrorKind::NeedsPerson, Who::You, text).helped_by([Remedy::NameCaFile])
    }

    pub(crate) fn unfit(file: &Path, reason: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Source,
            Who::You,
            format!("{}: {reason}", name(file)),
        )
    }

    /// The file lies outside of the directory that its job's files have to lie in.
    pub(crate) fn outside(file: &Path) -> Self {
        Self::unfit(
            file,
            "it lies outside of the folder that it has to lie in, or a link on the way to it leads out of that. Nothing was sent",
        )
    }

    pub(crate) fn plan(name: &str, error: PlanError) -> Self {
        let kind = match error {
            PlanError::ChunkSize { .. } => ErrorKind::Usage,
            _ => ErrorKind::Source,
        };
        Self::new(kind, Who::You, format!("{name} cannot be sent")).with_source(error)
    }

    pub(crate) fn changed(name: &str, what: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::SourceChanged,
            Who::You,
            format!("{name} changed while it was being sent ({what}). Nothing was posted."),
        )
        .helped_by([Remedy::StartOver])
    }

    /// At the allowed rate an upload of the file takes longer than its URL lives.
    pub(crate) fn too_slow(name: &str, size: u64, rate: u64, needed: u64) -> Self {
        let raise = Remedy::RaiseBandwidth {
            bytes_per_second: needed,
        };
        Self::usage(format!(
            "{name} cannot arrive in time: at {rate} bytes a second its {size} bytes take {} min, and an upload has one hour. TikTok got no request. It needs {needed} bytes a second.",
            size / rate.max(1) / 60
        ))
        .helped_by([raise, Remedy::IgnoreForecast])
    }

    /// The service refused the init of a file above the size that its documents allow for sure.
    pub(crate) fn too_large(name: &str, size: u64, service: Refusal) -> Self {
        let mut error = Self::new(
            ErrorKind::Refused,
            Who::You,
            format!(
                "{name} is too large: it has {size} bytes, and TikTok takes up to 4 GB (4,000,000,000){}. Nothing was sent. Make it smaller (ffmpeg -i IN -fs 3900M -c copy OUT.mp4 cuts it, a lower bit rate keeps its length).",
                service.support()
            ),
        );
        error.0.service = Some(service);
        error
    }

    /// Whether no file has that name.
    pub(crate) fn is_missing_file(&self) -> bool {
        let source = self.0.source.as_deref();
        let cause = source.and_then(|source| source.downcast_ref::<io::Error>());
        self.kind() == ErrorKind::Source
            && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
    }

    /// A program still writes to the file, or may.
    pub(crate) fn still_written(name: &str, why: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Temporary,
            Who::You,
            format!("{name} is still being written: {why}. Nothing was posted."),
        )
        .helped_by([Remedy::FinishFile, Remedy::AllowWriter])
    }

    /// A file without a recorded end has changed recently, and nothing shows whether a program still writes to it.
    pub(crate) fn unsettled(name: &str, why: impl fmt::Display) -> Self {
        Self::still_written(name, why).helped_by([
            Remedy::FinishFile,
            Remedy::Settle,
            Remedy::AllowWriter,
        ])
    }

    /// The file cannot be read for a reason that passes: no thread or descriptor is left, memory is short, or the file
    /// system does not answer.
    pub(crate) fn not_now(name: &str, source: io::Error) -> Self {
        Self::new(
            ErrorKind::Temporary,
            Who::You,
            format!("{name} cannot be read now"),
        )
        .with_source(source)
        .helped_by([Remedy::RepeatLater])
    }
}

/// Whether the file may be readable later without any change to it.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{
        HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, NotConnected, OutOfMemory,
        StaleNetworkFileHandle, TimedOut, WouldBlock,
    };
    // No descriptor is left, or another machine is away that the file is on.
    let passing = [libc::EMFILE, libc::ENFILE, libc::EHOSTDOWN].map(Some);
    passing.contains(&error.raw_os_error())
        || matches!(
            error.kind(),
            HostUnreachable
                | Interrupted
                | NetworkDown
                | NetworkUnreachable
                | NotConnected
                | OutOfMemory
                | StaleNetworkFileHandle
                | TimedOut
                | WouldBlock
        )
}

//! Uploads big videos to TikTok as drafts, and survives what kills other uploaders.
//!
//! A file goes in, a draft in the creator's inbox comes out, whatever dies on the way: each acknowledged chunk is
//! recorded before the next one is complete, and the same call after a crash carries on there.
//!
//! ```no_run
//! use chunkferry::{Engine, Job};
//!
//! # async fn example(state_dir: &str, token: String) -> Result<(), chunkferry::Error> {
//! let engine = Engine::open(state_dir)?;
//! let draft = engine.upload(Job::file("clip.mp4").account("lena", token)).await?;
//! println!("{}", draft.publish_id);
//! # Ok(())
//! # }
//! ```
//!
//! The same against an emulator, as a test would do it; called twice, it makes one draft:
//!
//! ```
//! # #[cfg(feature = "emulator")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use chunkferry::{Job, Options, Outcome, emulator::Emulator};
//!
//! # let dir = tempfile::tempdir()?;
//! # let clip = dir.path().join("clip.mp4");
//! # std::fs::write(&clip, b"\0\0\0\x08ftyp\0\0\0\x08moov\0\0\0\x09mdat.")?;
//! let emulator = Emulator::start().await?;
//! let engine = Options::new(dir.path()).api_base(&emulator.url()).open()?;
//! let job = Job::file(&clip).account("lena", "act.lena.1").content_type("video/mp4");
//!
//! assert_eq!(engine.upload(job.clone()).await?.outcome, Outcome::Delivered);
//! assert_eq!(engine.upload(job).await?.outcome, Outcome::AlreadyDelivered);
//! assert_eq!(emulator.log().drafts, 1);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "emulator"))]
//! # fn main() {}
//! ```
//!
//! - [`Engine`] owns a state directory and carries any number of [`Job`]s; [`Options`] has its settings.
//!   [`Engine::upload`] gives a [`Uploading`] with [`Event`]s and [`Progress`].
//! - An [`Account`] is a name of your own and a [`TokenSource`], asked before each call of the API: tokens live for hours,
//!   and uploads can take longer.
//! - A [`Draft`] says how it got there: delivered now, delivered before, or handed over. An [`Error`] says by its
//!   [`ErrorKind`] what it means, who must act, and by its [`Remedy`]s what helps.
//! - [`Engine::metrics`] has what was done in numbers, and spans of `tracing` say what a line of the log is about.
//! - [`Plan`] is the arithmetic alone: how a file is cut so that the service takes it under both readings of "MB".
//!
//! Uploads are futures: dropping one stops it at once and loses at most the chunk in flight. They need a tokio runtime
//! with I/O and time enabled.
//!
//! Features: `cli` (the command), `service` (its subcommand `serve`), `object-store` (videos in buckets) and `emulator` (a local
//! server that stands in for the API, for tests) are on by default; a library that only uploads wants `default-features = false`.

mod account;
mod answer;
mod clock;
mod engine;
mod error;
mod failpoint;
mod journal;
mod secret;
mod source;
mod tiktok;
mod upload;

#[cfg(measuring)]
#[doc(hidden)]
pub mod bench_internals;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;

pub use account::provider::{AccountProvider, Provided};
pub use account::store::{Accounts, App, LogIn, LoggedIn, Login, SealKeys};
pub use account::{Account, TokenError, TokenSource};
pub use engine::draft::{Draft, Outcome};
pub use engine::job::{Job, Ledger};
pub use engine::metrics::{Counters, Histogram, Jobs, Metrics, Spent};
pub use engine::{
    Engine, Handle, Intake, JobEnd, JobEvent, JobEvents, JobFilter, JobNotice, JobRecord,
    JobsChanged, Options, QueueState, Reached, Status, Uploading, Watcher,
};
pub use error::{Error, ErrorKind, NotAccepted, Remedy, Who};
pub use journal::{FileIdentity, Record, StateDir, Story};
pub use secret::Secret;
pub use secret::escaped::Escaped;
#[cfg(feature = "object-store")]
pub use source::bucket::{Bucket, BucketSettings};
pub use source::https::{UrlSource, UrlSources};
pub use source::media::{self, Media, MediaVersion};
pub use source::{Completeness, ReadMode, completeness};
pub use tiktok::ca_file::CaFile;
pub use tiktok::oauth::Pkce;
pub use upload::event::{
    Behind, Event, LossCause, Notice, Progress, RetryCause, Shortfall, WaitCause,
};
pub use upload::plan::{Chunk, Limits, Plan, PlanError};

#[cfg(feature = "emulator")]
#[doc(inline)]
pub use chunkferry_emulator as emulator;

/// The page's Rust example must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct Library;

/// The guide's Rust example must compile and hold.
#[cfg(all(doctest, feature = "emulator"))]
#[doc = include_str!("../docs/emulator.md")]
struct Guide;

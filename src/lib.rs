//! Uploads big videos to TikTok as drafts, and survives what kills other uploaders.
//!
//! A file goes in, a draft in the creator's inbox comes out, whatever dies on the way: each acknowledged chunk is
//! recorded before the next one leaves, and the same call after a crash carries on there.
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

mod account;
mod body;
mod client;
mod clock;
mod draft;
mod engine;
mod error;
mod event;
mod governor;
mod host;
mod job;
mod journal;
mod ledger;
mod plan;
mod reconcile;
mod retry;
mod secret;
mod source;
mod upload;
mod wire;
mod wirelog;

pub use account::{Account, TokenSource};
pub use draft::{Draft, Outcome};
pub use engine::{Engine, Handle, Options, Status};
pub use error::{Error, ErrorKind, Who};
pub use event::{Event, Progress};
pub use job::{Job, Ledger};
pub use journal::{Record, default_state_dir, fragile_state_dir, records};
pub use plan::{Chunk, Limits, Plan, PlanError};
pub use secret::Secret;

#[cfg(feature = "emulator")]
pub mod emulator;

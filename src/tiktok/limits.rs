//! The service's limits: sizes, counts and times, each with its source. Values only.
//!
//! The service never defines "MB" and "GB", so each value that depends on them is legal whether they mean powers of 10
//! or of 2.

use std::time::Duration;

/// Smallest chunk of a split file in bytes: 5 MB (Media Transfer Guide), read as 5 · 2²⁰.
pub(crate) const MIN_CHUNK: u64 = 5_242_880;

/// Largest `chunk_size` that is used, in bytes: half of the 64 MB of the Media Transfer Guide, so that even the last
/// chunk, which carries the tail, stays below 64,000,000.
pub(crate) const MAX_CHUNK: u64 = 32_000_000;

/// Largest file in bytes: 4 GB (Media Transfer Guide), read as 4 · 2³⁰. The service decides from [`SURE_FILE`] on.
pub(crate) const MAX_FILE: u64 = 4_294_967_296;

/// Largest file in bytes under both readings of 4 GB.
pub(crate) const SURE_FILE: u64 = 4_000_000_000;

/// Most chunks of one upload. Source: Media Transfer Guide.
pub(crate) const MAX_CHUNKS: u32 = 1000;

/// How long an upload URL lives, and so how long a whole upload may take; also how long the service tries to fetch a
/// URL. Sources: Upload Video, Media Transfer Guide.
pub(crate) const URL_LIFETIME: Duration = Duration::from_secs(3600);

/// The sliding window of the rate limits. Source: API v2 Rate Limit.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Most inits of one account within [`MINUTE`]. Source: Upload Video.
pub(crate) const INITS_A_MINUTE: usize = 6;

/// Most status calls of one account within [`MINUTE`]. Source: Get Video Status.
pub(crate) const STATUS_A_MINUTE: usize = 30;

/// How long a draft counts as pending. Source: Upload Video.
pub(crate) const PENDING: Duration = Duration::from_secs(24 * 3600);

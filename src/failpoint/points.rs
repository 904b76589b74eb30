// Every failpoint there is, as (step, what). The crash matrix includes this file too, and fails if one is never reached.

pub(crate) const POINTS: &[(&str, &str)] = &[
    // The state directory.
    ("open", "locked"),
    ("open", "ready"),
    // The journal's steps: before anything is written, written but not synced, durable.
    ("submit", "before"),
    ("submit", "after"),
    ("claim", "before"),
    ("claim", "after"),
    ("begin", "before"),
    ("begin", "after"),
    ("saving", "queued"),
    ("saving", "init_intent"),
    ("saving", "uploading"),
    ("saving", "sealed"),
    ("saving", "processing"),
    ("saving", "delivered"),
    ("saving", "published"),
    ("saving", "failed"),
    ("saving", "given_up"),
    ("saving", "unknown"),
    ("applied", "queued"),
    ("applied", "init_intent"),
    ("applied", "uploading"),
    ("applied", "sealed"),
    ("applied", "processing"),
    ("applied", "delivered"),
    ("applied", "published"),
    ("applied", "failed"),
    ("applied", "given_up"),
    ("applied", "unknown"),
    ("saved", "queued"),
    ("saved", "init_intent"),
    ("saved", "uploading"),
    ("saved", "sealed"),
    ("saved", "processing"),
    ("saved", "delivered"),
    ("saved", "published"),
    ("saved", "failed"),
    ("saved", "given_up"),
    ("saved", "unknown"),
    ("history", "created"),
    ("history", "appended"),
    ("file", "written"),
    ("file", "replaced"),
    ("rate", "kept"),
    // A request, its bytes, its answer.
    ("init", "before"),
    ("init", "answered"),
    ("put", "before"),
    ("body", "piece"),
    ("body", "last"),
    ("answer", "awaited"),
    ("put", "answered"),
    ("ask", "before"),
    ("ask", "answered"),
    // The proof before the last bytes leave, and chunks counted without an answer.
    ("rehash", "started"),
    ("gate", "reached"),
    ("gate", "proved"),
    ("gate", "open"),
    ("adopt", "before"),
    ("adopt", "read"),
];

/// Those of a token's renewal, which only an account that logs in comes to.
pub(crate) const OF_A_RENEWAL: &[(&str, &str)] = &[
    ("renew", "noted"),
    ("renew", "answered"),
    ("renew", "kept"),
    ("renew", "stored"),
];

/// Those of the queue's jobs: accepted, taken up, ended.
pub(crate) const OF_A_QUEUE: &[(&str, &str)] = &[
    ("job", "applied"),
    ("job", "accepted"),
    ("job", "claimed"),
    ("job", "ended"),
    ("job", "end_applied"),
    ("job", "end_recorded"),
];

/// That of a video which came with its job: it is durable, and the job is not recorded yet.
pub(crate) const OF_A_SPOOL: &[(&str, &str)] = &[("spool", "synced")];

/// Those that only a pull comes to; it has a matrix of its own.
pub(crate) const OF_A_PULL: &[(&str, &str)] = &[
    ("saving", "pulling"),
    ("applied", "pulling"),
    ("saved", "pulling"),
];

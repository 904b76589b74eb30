//! The settings, in one table: the open points of the service, and the dials of this server.
//!
//! A row defines a setting completely: its key, its values (the first is the default), its meaning, and the mark of its
//! source: `D` documented, `F` reported from the field, `O-n` the open point that it answers, `dial` for a setting that
//! exists only here.

pub(crate) mod choices;
pub(crate) mod value;

use std::time::Duration;

pub use choices::*;
use value::{
    Choice, Codec, Count, Few, Flag, Forever, NoneOr, Scale, Size, SizeOrOff, Time, TimeOrNone,
};

/// One setting as `--list-settings` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The name used in `KEY=VALUE`.
    pub key: &'static str,
    /// The possible values.
    pub values: String,
    /// The value unless it is set.
    pub default: String,
    /// What it does.
    pub meaning: &'static str,
    /// The source: `D`, `F`, `O-n` or `dial`.
    pub mark: &'static str,
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No setting has this key.
    #[error("no setting is called `{0}`; see --list-settings")]
    UnknownKey(String),
    /// The value does not fit the key.
    #[error("{key}: {why}")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// What is wrong with the value.
        why: String,
    },
    /// Too many tokens have settings of their own.
    #[error(
        "1,000 tokens have settings of their own; POST /_emulator/reset with one of them frees its place"
    )]
    TooManyTokens,
    /// Not of the form `KEY=VALUE`.
    #[error("`{0}` is not KEY=VALUE")]
    NoPair(String),
}

struct Row {
    key: &'static str,
    meaning: &'static str,
    mark: &'static str,
    values: fn() -> String,
    read: fn(&mut Settings, &str) -> Result<(), String>,
    write: fn(&Settings) -> String,
}

macro_rules! settings {
    ($($key:ident: $kind:ty as $codec:ident($shown:literal) = $default:expr, $mark:literal, $meaning:literal;)+) => {
        /// The server's behaviour where the documents leave a choice.
        ///
        /// Fields are read and set as plain values; [`Settings::set`] takes them as text. Sizes are bytes, rates bytes a
        /// second.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct Settings { $(#[doc = $meaning] #[doc = concat!("\n\nSource: ", $mark, ".")] pub $key: $kind,)+ }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        const ROWS: &[Row] = &[$(Row {
            key: stringify!($key),
            meaning: $meaning,
            mark: $mark,
            values: || <$codec as Codec<$kind>>::shown($shown),
            read: |settings, text| {
                settings.$key = <$codec as Codec<$kind>>::read(text)?;
                Ok(())
            },
            write: |settings| <$codec as Codec<$kind>>::write(&settings.$key),
        },)+];
    };
}

settings! {
    progress_unit: ProgressUnit as Choice("") = ProgressUnit::Count, "O-1",
        "UPLOADED_BYTES in the Content-Range of a PUT's answer: a count of bytes, or the index of the last one.";
    progress_header: ProgressHeader as Choice("") = ProgressHeader::Always, "O-2",
        "Which PUT answers about a known upload carry that header.";
    replay: Replay as Choice("") = Replay::Refuse, "O-3",
        "The answer to a chunk that was accepted before.";
    replay_last: ReplayLast as Choice("") = ReplayLast::Refuse, "O-3",
        "The answer to the last chunk once the upload is complete.";
    cut_chunk: CutChunk as Choice("") = CutChunk::Discard, "O-4",
        "Whether the bytes of a chunk whose connection broke are kept.";
    mid_chunk_put: MidChunkPut as Choice("") = MidChunkPut::Refuse, "O-4",
        "Whether a PUT may start inside a chunk and carry its rest.";
    status_bytes: StatusBytes as Choice("") = StatusBytes::Exact, "O-5",
        "Whether uploaded_bytes follows at once, two seconds late, or is missing.";
    min_chunk: u64 as Size("5242880, 5000000, or a size from 0 to 1000GB") = 5_242_880, "O-6",
        "Smallest chunk_size of a split file.";
    max_chunk: u64 as Size("64000000, 67108864, or a size from 0 to 1000GB") = 64_000_000, "O-7",
        "Largest chunk_size, and the largest file that may be sent whole.";
    max_last_chunk: u64 as Size("128000000, 134217728, 64000000, or a size from 0 to 1000GB") = 128_000_000, "O-8",
        "Largest last chunk.";
    max_file: u64 as Size("4000000000, 4294967296, or a size from 0 to 1000GB") = 4_000_000_000, "O-9",
        "Largest file.";
    short_single: ShortSingle as Choice("") = ShortSingle::ChunkSizeInvalid, "O-10",
        "The answer to one chunk with a chunk_size below the video_size.";
    publish_id_ttl: Option<Duration> as Forever("forever, 24h, or a duration from 0s to 3650d") = None, "O-11",
        "How long a publish_id can be queried, from its init.";
    draft_ttl: Option<Duration> as Forever("forever, 24h, or a duration from 0s to 3650d") = None, "O-11",
        "How long a delivered draft stays in the inbox.";
    orphan_counts: OrphanCounts as Choice("") = OrphanCounts::Yes, "O-12",
        "Whether an init without a delivered draft takes a pending place.";
    lost_init: LostInit as Choice("") = LostInit::Task, "O-12",
        "Whether an init whose answer a fault lost created a task.";
    refused_init: RefusedInit as Choice("") = RefusedInit::NoTask, "O-12",
        "Whether an init refused for its parameters or with a 5xx created a task.";
    middle_status: MiddleStatus as Choice("") = MiddleStatus::Partial, "O-13",
        "Success code of a middle chunk.";
    last_status: LastStatus as Choice("") = LastStatus::Created, "O-13",
        "Success code of the last chunk.";
    dead_url_status: DeadUrlStatus as Choice("") = DeadUrlStatus::Documented, "O-14",
        "The answer to an upload URL that expired (403) or is unknown (404).";
    bad_body_status: BadBodyStatus as Choice("") = BadBodyStatus::BadRequest, "O-15",
        "The answer to a body longer than the declared range.";
    put_body: PutBody as Choice("") = PutBody::Null, "O-16",
        "The body of a PUT's answer.";
    retry_after: RetryAfter as Choice("") = RetryAfter::Absent, "O-17",
        "Whether a 429 carries Retry-After, and in which form.";
    chunked_encoding: ChunkedEncoding as Choice("") = ChunkedEncoding::Refuse, "O-17",
        "Whether a PUT may come without Content-Length, in chunked encoding.";
    expect: Expect as Choice("") = Expect::Continue, "O-17",
        "The answer to Expect: 100-continue once the headers are found good.";
    http2: Http2 as Choice("") = Http2::Off, "O-17",
        "Whether connections may speak HTTP/2. Whole server.";
    token_lifetimes: TokenLifetimes as Choice("") = TokenLifetimes::Short, "O-18",
        "How long issued access and refresh tokens live.";
    access_lifetime: Option<Duration> as TimeOrNone("none, or a duration from 0s to 3650d") = None, "dial",
        "How long issued access tokens live, in place of what token_lifetimes says.";
    pkce: Pkce as Choice("") = Pkce::Hex, "D LKD",
        "Which form of the SHA-256 of the verifier a code_challenge must have.";
    refresh_rotation: RefreshRotation as Choice("") = RefreshRotation::Always, "O-19",
        "Whether each refresh replaces the refresh token, or every second one.";
    refresh_grace: Option<Duration> as TimeOrNone("none, or a duration from 0s to 3650d") = None, "O-19",
        "How long a replaced refresh token still works.";
    oauth_error_status: OauthErrorStatus as Choice("") = OauthErrorStatus::Fails, "O-19",
        "HTTP status of an OAuth failure.";
    param_code: ParamCode as Choice("") = ParamCode::Plural, "O-20",
        "Spelling of the parameter error.";
    log_id_key: LogIdKey as Choice("") = LogIdKey::Underscore, "O-20",
        "Key of the log id in error objects.";
    extra_status: Option<String> as NoneOr("none, or any text up to 1000 bytes") = None, "O-21",
        "An undocumented status, reported while an upload is processed.";
    extra_fail_reason: Option<String> as NoneOr("none, or any text up to 1000 bytes") = None, "O-21",
        "An undocumented fail_reason; every upload then ends FAILED with it.";
    daily_posts: u64 as Count("15, 25, or a number from 0 to 1,000,000") = 15, "O-22",
        "Direct posts a creator may make in 24 hours.";
    inbox_post_info: InboxPostInfo as Choice("") = InboxPostInfo::Ignore, "O-23",
        "What post_info does on an inbox video.";
    photo_is_aigc: PhotoIsAigc as Choice("") = PhotoIsAigc::Refuse, "O-23",
        "What a top-level is_aigc does on a photo post.";
    cors: Cors as Choice("") = Cors::None, "O-24",
        "Whether the upload host lets pages of other sites send chunks (CORS).";
    put_content_type: PutContentType as Choice("") = PutContentType::BadRequest, "O-25",
        "The answer to a PUT whose Content-Type is missing or none of the documented three.";
    lenient_numbers: LenientNumbers as Choice("") = LenientNumbers::Refuse, "O-26",
        "Whether an init may write its numbers as text (\"1000\") or with a fraction of zero (1000.0).";
    no_slash: NoSlash as Choice("") = NoSlash::Accept, "O-27",
        "Whether paths of the API and of OAuth are known without their final slash.";
    put_refusal: PutRefusal as Choice("") = PutRefusal::Early, "O-28",
        "Whether a PUT that is refused, by a fault's status= too, is answered before its body is read or after all of it.";
    brand_content_toggle: BrandContentToggle as Choice("") = BrandContentToggle::Optional, "D",
        "Whether a direct post must carry brand_content_toggle, which the field table marks required.";
    missing_content_type: MissingContentType as Choice("") = MissingContentType::Accept, "D",
        "Whether a JSON body may come without the documented Content-Type.";
    limits: Limits as Choice("") = Limits::Documented, "dial",
        "Rate windows and caps; off lifts all of them.";
    init_per_minute: u64 as Count("6, or a number from 0 to 1,000,000") = 6, "D",
        "Calls of one init endpoint a token may make in a minute.";
    status_per_minute: u64 as Count("30, or a number from 0 to 1,000,000") = 30, "D",
        "Status calls a token may make in a minute.";
    creator_info_per_minute: u64 as Count("20, or a number from 0 to 1,000,000") = 20, "D",
        "Creator info calls a token may make in a minute.";
    user_info_per_minute: u64 as Count("600, or a number from 0 to 1,000,000") = 600, "D",
        "User info calls a token may make in a minute.";
    video_list_per_minute: u64 as Count("600, or a number from 0 to 1,000,000") = 600, "D",
        "video/list calls a token may make in a minute.";
    video_query_per_minute: u64 as Count("600, or a number from 0 to 1,000,000") = 600, "D",
        "video/query calls a token may make in a minute.";
    pending_cap: u64 as Count("5, or a number from 0 to 1,000,000") = 5, "D",
        "Shares of one creator that may wait un-posted within 24 hours.";
    url_lifetime: Duration as Time("1h, or a duration from 0s to 3650d") = Duration::from_secs(3600), "D",
        "How long an upload_url lives; the upload must end inside it.";
    processing_time: Duration as Time("1s, or a duration from 0s to 3650d") = Duration::from_secs(1), "dial",
        "How long a complete upload is processed.";
    body_timeout: Duration as Time("10s, or a duration from 0s to 3650d") = Duration::from_secs(10), "dial",
        "How long a request body may pause, in real time.";
    receive_rate: Option<u64> as SizeOrOff("off, or a size from 1 to 1000GB a second") = None, "dial",
        "How fast the whole server takes in PUT bodies.";
    consent: Consent as Choice("") = Consent::Ask, "dial",
        "The answer at the authorize page: that of a person (programs, which show no pages, are granted at once), or always the same.";
    auth: Auth as Choice("") = Auth::Any, "dial",
        "Which bearer tokens are taken: any (act.NAME.x is creator NAME's, others are their own creator), or issued ones.";
    final_status: FinalStatus as Choice("") = FinalStatus::ByEndpoint, "dial",
        "The end every upload comes to.";
    fail_reason: Option<String> as NoneOr("none, or a reason up to 1000 bytes") = None, "dial",
        "If set, every upload ends FAILED with it.";
    pull_allow_http: bool as Flag("false, true") = false, "dial",
        "Whether a pull may use http and an IP address.";
    pull_ca_file: Option<String> as NoneOr("none, or a file of up to 1 MiB") = None, "dial",
        "PEM certificates a pull trusts besides the system's.";
    verified_prefix: Option<String> as NoneOr("none (any URL), or a URL prefix up to 1000 bytes") = None, "dial",
        "Only pull URLs below it are verified.";
    webhook_delay: Duration as Time("0s, or a duration from 0s to 3650d") = Duration::ZERO, "dial",
        "How long a webhook is held back.";
    webhook_repeat: u64 as Few("1, or a number from 0 to 100") = 1, "dial",
        "How often each webhook is delivered.";
    webhook_order: WebhookOrder as Choice("") = WebhookOrder::InOrder, "dial",
        "The order of webhooks that are due together.";
    clock: f64 as Scale("real, or a factor like 60x, from 0.001x to 1000000x") = 1.0, "dial",
        "How fast the server's clock runs: windows, lifetimes, processing. Whole server.";
}

/// Settings that belong to the whole server and cannot differ by bearer token.
const WHOLE_SERVER: [&str; 3] = ["clock", "http2", "receive_rate"];

impl Settings {
    /// Sets one setting from text, as `--set KEY=VALUE` does.
    ///
    /// # Errors
    ///
    /// If the key is unknown, or the value does not fit; the settings are then unchanged.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let row = row(key)?;
        (row.read)(self, value).map_err(|why| SettingError::BadValue { key: row.key, why })
    }

    /// Sets one setting from `KEY=VALUE`.
    ///
    /// # Errors
    ///
    /// As [`Settings::set`], and if there is no `=`.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), SettingError> {
        let (key, value) = split(pair)?;
        self.set(key, value)
    }

    /// Reads a file of `KEY=VALUE` lines; empty lines and those that start with `#` are skipped.
    ///
    /// # Errors
    ///
    /// The first line that is refused.
    pub fn set_lines(&mut self, text: &str) -> Result<(), SettingError> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .try_for_each(|line| self.set_pair(line))
    }

    /// The value of one setting as text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        row(key).ok().map(|row| (row.write)(self))
    }

    /// All settings, in the order of the table.
    #[must_use]
    pub fn list() -> Vec<Setting> {
        let default = Self::default();
        let setting = |row: &Row| Setting {
            key: row.key,
            values: (row.values)(),
            default: (row.write)(&default),
            meaning: row.meaning,
            mark: row.mark,
        };
        ROWS.iter().map(setting).collect()
    }

    /// Whether windows and caps are in force.
    pub(crate) fn limited(&self) -> bool {
        self.limits == Limits::Documented
    }
}

fn row(key: &str) -> Result<&'static Row, SettingError> {
    let found = ROWS.iter().find(|row| row.key == key);
    found.ok_or_else(|| SettingError::UnknownKey(key.to_owned()))
}

fn split(pair: &str) -> Result<(&str, &str), SettingError> {
    pair.split_once('=')
        .ok_or_else(|| SettingError::NoPair(pair.to_owned()))
}

/// Settings that name files or extend what this server fetches.
const REACH: [&str; 3] = ["pull_allow_http", "pull_ca_file", "verified_prefix"];

/// Refuses such a setting for requests from other machines.
pub(crate) fn check_reach(key: &str) -> Result<(), SettingError> {
    let row = row(key)?;
    match REACH.contains(&row.key) {
        true => Err(SettingError::BadValue {
            key: row.key,
            why: "can only be set at the start of the server, or from loopback".to_owned(),
        }),
        false => Ok(()),
    }
}

/// Refuses a setting of the whole server for one bearer token.
pub(crate) fn check_scope(key: &str) -> Result<(), SettingError> {
    let row = row(key)?;
    match WHOLE_SERVER.contains(&row.key) {
        true => Err(SettingError::BadValue {
            key: row.key,
            why: "belongs to the whole server, not to one token".to_owned(),
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_default_is_a_value_the_table_does_not_show() {
        for setting in Settings::list() {
            let first = setting.values.split([',', ' ']).next();
            assert_eq!(first, Some(&*setting.default), "{}", setting.key);
        }
    }

    #[test]
    fn every_value_that_is_shown_can_be_set_and_reads_back() {
        for setting in Settings::list() {
            let words = setting.values.split(", ");
            for word in words.filter(|word| !word.contains(' ')) {
                let mut settings = Settings::default();
                settings.set(setting.key, word).unwrap();
                assert_eq!(
                    settings.get(setting.key).as_deref(),
                    Some(word),
                    "{}",
                    setting.key
                );
            }
        }
    }

    #[test]
    fn a_refused_value_changes_nothing() {
        let mut settings = Settings::default();
        for pair in ["max_chunk=64M", "replay=207", "nonsense=1", "replay"] {
            assert!(settings.set_pair(pair).is_err(), "{pair}");
        }
        assert_eq!(settings, Settings::default());
    }
}

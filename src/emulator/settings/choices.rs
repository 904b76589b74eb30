//! The settings whose values are a closed list; the first of each list is the default.

use super::value::choice;

choice! {
    /// Whether a rule is in force as documented.
    Limits { /// As documented.
        Documented = "documented", /// No rate windows and no caps.
        Off = "off" }
}
choice! {
    /// The form of a PKCE challenge.
    Pkce { /// Lower-case hexadecimal, as documented for desktop apps.
        Hex = "hex", /// base64url without padding, as in RFC 7636.
        Base64Url = "base64url", /// Both.
        Either = "either" }
}
choice! {
    /// The meaning of UPLOADED_BYTES in a PUT's answer.
    ProgressUnit { /// The number of bytes received.
        Count = "count", /// The index of the last byte received.
        LastIndex = "last_index" }
}
choice! {
    /// Which PUT answers carry the progress header.
    ProgressHeader { /// Every answer about a known upload.
        Always = "always", /// Only refusals of a range.
        Only416 = "only_416", /// None.
        Never = "never" }
}
choice! {
    /// The answer to a chunk that was accepted before.
    Replay { /// Refused as out of step.
        Refuse = "416", /// Accepted again.
        Accept = "206" }
}
choice! {
    /// The answer to the last chunk after completion.
    ReplayLast { /// Refused as out of step.
        Refuse = "416", /// Accepted again.
        Accept = "201", /// The upload task is gone.
        Gone = "404" }
}
choice! {
    /// What becomes of a chunk that was cut in the middle.
    CutChunk { /// Nothing of it counts.
        Discard = "discard", /// What arrived counts.
        KeepPrefix = "keep_prefix" }
}
choice! {
    /// Whether a PUT may start inside a chunk.
    MidChunkPut { /// No.
        Refuse = "refuse", /// Yes, up to the chunk's end.
        Accept = "accept" }
}
choice! {
    /// How status counts `uploaded_bytes`.
    StatusBytes { /// Always the present number.
        Exact = "exact", /// The number of two seconds ago.
        Lagging = "lagging", /// Not at all.
        Absent = "absent" }
}
choice! {
    /// The answer to one chunk that is smaller than the file.
    ShortSingle { /// "The chunk size is invalid".
        ChunkSizeInvalid = "chunk_size_invalid", /// "The total chunk count is invalid".
        ChunkCountInvalid = "chunk_count_invalid", /// Accepted.
        Accept = "accept" }
}
choice! {
    /// Whether an init that was never used takes a pending place.
    OrphanCounts { /// It does.
        Yes = "yes", /// Only delivered drafts do.
        No = "no" }
}
choice! {
    /// Whether an init whose answer was lost created a task.
    LostInit { /// It did.
        Task = "task", /// It did not.
        NoTask = "no_task" }
}
choice! {
    /// Whether a refused init created a task.
    RefusedInit { /// It did not.
        NoTask = "no_task", /// It did.
        Task = "task" }
}
choice! {
    /// The success code of a middle chunk.
    MiddleStatus { /// Partial Content.
        Partial = "206", /// Created.
        Created = "201" }
}
choice! {
    /// The success code of the last chunk.
    LastStatus { /// Created.
        Created = "201", /// OK.
        Ok = "200", /// Partial Content.
        Partial = "206" }
}
choice! {
    /// The answer to a URL that is no longer, or never was, an upload.
    DeadUrlStatus { /// 403 when expired, 404 when unknown.
        Documented = "documented", /// 405 for both.
        NotAllowed = "405" }
}
choice! {
    /// The answer to a body longer than the declared range.
    BadBodyStatus { /// Bad Request.
        BadRequest = "400", /// Bad Gateway.
        BadGateway = "502" }
}
choice! {
    /// The body of a PUT's answer.
    PutBody { /// The JSON value `null`.
        Null = "null", /// No bytes.
        Empty = "empty", /// The JSON value `{}`.
        Object = "object" }
}
choice! {
    /// Whether a 429 says when to come back.
    RetryAfter { /// No header.
        Absent = "absent", /// A number of seconds.
        Seconds = "seconds", /// An HTTP date.
        Date = "date" }
}
choice! {
    /// Whether a PUT may use chunked transfer encoding.
    ChunkedEncoding { /// No: a declared length is required.
        Refuse = "refuse", /// Yes.
        Accept = "accept" }
}
choice! {
    /// The answer to `Expect: 100-continue` on good headers.
    Expect { /// 100 Continue.
        Continue = "continue", /// 417 Expectation Failed.
        Fail = "417" }
}
choice! {
    /// Whether HTTP/2 is spoken.
    Http2 { /// HTTP/1.1 only.
        Off = "off", /// Both.
        On = "on" }
}
choice! {
    /// How long tokens live.
    TokenLifetimes { /// Access two hours, refresh 180 days.
        Short = "2h_180d", /// Access one day, refresh 365 days.
        Long = "24h_365d" }
}
choice! {
    /// Whether a refresh replaces the refresh token.
    RefreshRotation { /// Every time.
        Always = "always", /// Every second time.
        Sometimes = "sometimes" }
}
choice! {
    /// The HTTP status of an OAuth failure.
    OauthErrorStatus { /// 400, or 401 for a client that is not known.
        Fails = "4xx", /// 200 with an `error` key.
        Ok = "200" }
}
choice! {
    /// The spelling of the parameter error.
    ParamCode { /// As real servers answer.
        Plural = "invalid_params", /// As the endpoint tables print it.
        Singular = "invalid_param" }
}
choice! {
    /// The key of the log id in an error object.
    LogIdKey { /// As the samples have it.
        Underscore = "log_id", /// As the field tables have it.
        Plain = "logid" }
}
choice! {
    /// What `post_info` does on an inbox video.
    InboxPostInfo { /// Nothing.
        Ignore = "ignore", /// Its title is kept with the draft.
        ApplyTitle = "apply_title" }
}
choice! {
    /// What a top-level `is_aigc` does on photos.
    PhotoIsAigc { /// The init is refused.
        Refuse = "refuse", /// Nothing.
        Ignore = "ignore" }
}
choice! {
    /// Whether `brand_content_toggle` may be left out of a direct post.
    BrandContentToggle { /// It may be missing, as in samples and most clients.
        Optional = "optional", /// It is required, as the table marks it.
        Required = "required" }
}
choice! {
    /// Whether a JSON body may come without a Content-Type.
    MissingContentType { /// It may; another type than JSON is refused all the same.
        Accept = "accept", /// It is refused.
        Refuse = "refuse" }
}
choice! {
    /// Whether pages of other sites may send chunks.
    Cors { /// No: preflights are refused, and answers cannot be read.
        None = "none", /// Pages of any site may.
        Any = "any" }
}
choice! {
    /// The answer to a PUT whose Content-Type is none of the documented three.
    PutContentType { /// Bad Request.
        BadRequest = "400", /// Unsupported Media Type.
        Unsupported = "415", /// Taken like any other.
        Accept = "accept" }
}
choice! {
    /// Whether an init may write its numbers as text, or with a fraction of zero.
    LenientNumbers { /// It is refused.
        Refuse = "refuse", /// It may.
        Accept = "accept" }
}
choice! {
    /// Whether a path of the API is known without its final slash.
    NoSlash { /// It is.
        Accept = "accept", /// It is not found.
        NotFound = "404" }
}
choice! {
    /// When a PUT is refused.
    PutRefusal { /// Before its body is read.
        Early = "early", /// Once its whole body has been read.
        AfterBody = "after_body" }
}
choice! {
    /// Which bearer tokens are taken.
    Auth { /// Every token; `act.NAME.x` is creator NAME's, any other is its own creator.
        Any = "any", /// Only tokens this server issued and that live.
        Issued = "issued" }
}
choice! {
    /// The end a finished upload comes to.
    FinalStatus { /// The good end of its endpoint.
        ByEndpoint = "by_endpoint", /// A draft in the inbox.
        SendToUserInbox = "SEND_TO_USER_INBOX", /// Posted.
        PublishComplete = "PUBLISH_COMPLETE", /// Failed, for `fail_reason` or `internal`.
        Failed = "FAILED" }
}
choice! {
    /// The order in which webhooks are delivered.
    WebhookOrder { /// As the events happened.
        InOrder = "in_order", /// The latest first.
        Reversed = "reversed" }
}
choice! {
    /// Who decides at the authorize page.
    Consent { /// Browsers show a page; programs are granted at once.
        Ask = "ask", /// Everyone is granted at once.
        Granted = "granted", /// Everyone is refused at once.
        Refused = "refused" }
}

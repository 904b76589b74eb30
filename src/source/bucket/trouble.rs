//! What a store answers in place of bytes, and what follows.

use std::io;

use http::StatusCode;

use super::profile::NoCredentials;
use super::store::Source;
use super::wire::Seen;
use crate::error::Error;
use crate::error::cause::innermost;
use crate::error::kind::ErrorKind;

/// Why an object, or its bytes, did not come. Its texts are words of our own, as a server's may repeat credentials.
///
/// | answer | is |
/// |---|---|
/// | no connection, a broken one, silence; 408, 429, 5xx | `Passing`: asked again |
/// | 412, 416; another ETag, size or version | `Changed` |
/// | 301, 307, 400 with the bucket's region | `Region` when it is opened, later `Refused` |
/// | 401, 403, expired credentials; a certificate that is not trusted | `Refused`: a person must act |
/// | 404, an archived object, 200 to a range, another range, other 4xx | `Refused` |
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// Another try may help.
    Passing(String),
    /// The object is another one now.
    Changed,
    /// The bucket is in this region of AWS.
    Region(String),
    /// Another try does not help.
    Refused(io::ErrorKind, String),
}

impl Trouble {
    /// What an error of a store means; `seen` is what the last request has come to, `source` where the credentials are from.
    pub(super) fn of(error: &object_store::Error, seen: &Seen, source: Source) -> Self {
        if let Some(missing) = cause::<NoCredentials>(error) {
            return Self::denied(missing.to_string());
        }
        match seen {
            Seen::Answer {
                of_object: true,
                status,
                code,
                region,
            } => Self::answered(*status, *code, region.as_deref()),
            Seen::NoAnswer {
                of_object: true,
                why,
            } => Self::unanswered(why),
            Seen::Answer { status, .. } if passes(*status) => {
                Self::Passing(format!("what gives the credentials answered with {}", status.as_u16()))
            }
            Seen::Answer { status, .. } => Self::denied(format!(
                "what gives the credentials refused with {}",
                status.as_u16()
            )),
            Seen::NoAnswer { .. } if source == Source::Machine => Self::denied(
                "there are no credentials: no variable and no profile names any, and this machine has no role that gives some"
                    .into(),
            ),
            Seen::NoAnswer { why, .. } => {
                Self::Passing(format!("what gives the credentials does not answer: {why}"))
            }
            Seen::Nothing => Self::denied(
                "the credentials that the settings name cannot be used: a file is missing or is no such file".into(),
            ),
        }
    }

    fn answered(status: StatusCode, code: Option<Code>, region: Option<&str>) -> Self {
        let number = status.as_u16();
        let told = match code {
            Some(code) => format!("{number}, {}: {}", code.name, code.text),
            None => number.to_string(),
        };
        let refused = |kind, text: String| Self::Refused(kind, text);
        match number {
            412 | 416 => Self::Changed,
            _ if code.is_some_and(|code| code.is_about_credentials) => Self::denied(format!("the server refused ({told})")),
            200..=299 if number != 206 => refused(
                io::ErrorKind::InvalidData,
                "the server answers a request for a range with the whole object, so an upload cannot be continued from it. Copy the object to a file, or serve it by another server".into(),
            ),
            200..=299 => Self::another_range(),
            300..=400 if region.is_some() => Self::Region(region.unwrap_or_default().to_owned()),
            300..=399 => refused(
                io::ErrorKind::InvalidInput,
                format!("the server sends the request elsewhere ({number}): the bucket is in another region, or behind another endpoint"),
            ),
            404 => refused(io::ErrorKind::NotFound, format!("there is no such object ({told})")),
            401 | 403 if code.is_none() => Self::denied(format!(
                "the server refused ({told}): the credentials may not read the object, or there is no such object and they may not list the bucket"
            )),
            _ if passes(status) => Self::Passing(format!("the server answered with {told}")),
            _ => refused(io::ErrorKind::InvalidInput, format!("the server refused ({told})")),
        }
    }

    fn unanswered(why: &str) -> Self {
        match why.contains("certificate") {
            true => Self::denied(format!("the server's certificate is not trusted ({why})")),
            false => Self::Passing(format!("the server does not answer: {why}")),
        }
    }

    /// An error within the bytes.
    pub(super) fn broken(error: &object_store::Error) -> Self {
        Self::Passing(format!("the connection broke: {}", innermost(error)))
    }

    pub(super) fn denied(why: String) -> Self {
        Self::Refused(io::ErrorKind::PermissionDenied, why)
    }

    pub(super) fn another_range() -> Self {
        let why = "the server answers with another range than the one that was asked for, or does not say with which";
        Self::Refused(io::ErrorKind::InvalidData, why.into())
    }

    pub(super) fn compressed() -> Self {
        let why = "the server compresses the bytes of a range, so they are not those of the object";
        Self::Refused(io::ErrorKind::InvalidData, why.into())
    }

    pub(super) fn too_many() -> Self {
        let why = "the server gave more bytes than it said";
        Self::Refused(io::ErrorKind::InvalidData, why.into())
    }

    pub(super) fn too_few() -> Self {
        let why = "the server gave fewer bytes than it said";
        Self::Refused(io::ErrorKind::InvalidData, why.into())
    }

    fn text(self) -> String {
        match self {
            Self::Passing(why) | Self::Refused(_, why) => why,
            Self::Changed => "another object has its key now".into(),
            Self::Region(region) => {
                format!("the bucket is in the region {region}, which the settings do not name")
            }
        }
    }

    /// The error of an object that is not opened.
    pub(super) fn at_opening(self, address: &str) -> Error {
        let kind = match &self {
            Self::Passing(_) => ErrorKind::Temporary,
            Self::Refused(io::ErrorKind::PermissionDenied, _) => ErrorKind::NeedsPerson,
            Self::Region(_) => ErrorKind::Usage,
            Self::Changed | Self::Refused(..) => ErrorKind::Source,
        };
        Error::bucket(kind, address, self.text())
    }

    /// The error of a range that was not read to its end.
    pub(super) fn while_reading(self, address: &str) -> io::Error {
        let kind = match &self {
            Self::Passing(_) => io::ErrorKind::TimedOut,
            Self::Changed => io::ErrorKind::StaleNetworkFileHandle,
            Self::Region(_) => io::ErrorKind::InvalidInput,
            Self::Refused(kind, _) => *kind,
        };
        match kind {
            io::ErrorKind::PermissionDenied => {
                io::Error::new(kind, Error::bucket_refuses(address, self.text()))
            }
            _ => io::Error::new(kind, self.text()),
        }
    }
}

fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

/// The first cause of this type.
fn cause<T: std::error::Error + 'static>(error: &object_store::Error) -> Option<&T> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// A code of a store that is known. Others are not shown: a server may put anything in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    name: &'static str,
    text: &'static str,
    is_about_credentials: bool,
}

impl Code {
    /// The code of this name.
    pub(super) fn known(name: &str) -> Option<Self> {
        CODES.iter().copied().find(|code| code.name == name)
    }

    /// The code in a refusal's XML.
    pub(super) fn within(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let (_, rest) = text.split_once("<Code>")?;
        let (name, _) = rest.split_once("</Code>")?;
        Self::known(name.trim())
    }
}

const fn access(name: &'static str, text: &'static str) -> Code {
    Code {
        name,
        text,
        is_about_credentials: true,
    }
}

const fn other(name: &'static str, text: &'static str) -> Code {
    Code {
        name,
        text,
        is_about_credentials: false,
    }
}

/// Sources: "Error responses" of Amazon S3, "Blob Storage error codes" of Azure, "HTTP status and error codes for XML" of Google.
const CODES: [Code; 31] = [
    access("AccessDenied", "the credentials may not read this object"),
    access("AllAccessDisabled", "all access to the bucket is disabled"),
    access("AccountProblem", "there is a problem with the account"),
    access("InvalidAccessKeyId", "the access key is not known there"),
    access(
        "SignatureDoesNotMatch",
        "the secret key is not the one of the access key",
    ),
    access("ExpiredToken", "the session of the credentials has expired"),
    access(
        "TokenRefreshRequired",
        "the session of the credentials has expired",
    ),
    access("InvalidToken", "the session token is not accepted"),
    access("InvalidSecurity", "the credentials are not accepted"),
    access("RequestTimeTooSkewed", "this machine's clock is wrong"),
    access("RequestExpired", "this machine's clock is wrong"),
    access("AuthenticationRequired", "there are no credentials"),
    access(
        "AuthenticationFailed",
        "the key or the SAS token is not accepted, or has expired",
    ),
    access(
        "AuthorizationFailure",
        "the credentials may not read this object from here",
    ),
    access(
        "AuthorizationPermissionMismatch",
        "the credentials may not read this object",
    ),
    access(
        "AuthorizationServiceMismatch",
        "the SAS token is for another service",
    ),
    access(
        "InsufficientAccountPermissions",
        "the credentials may not read this object",
    ),
    access("NoAuthenticationInformation", "there are no credentials"),
    access(
        "InvalidAuthenticationInfo",
        "the credentials are not accepted",
    ),
    access(
        "PublicAccessNotPermitted",
        "there are no credentials, and the account allows nobody without",
    ),
    access(
        "KeyVaultEncryptionKeyNotFound",
        "the key that the object is encrypted with is gone",
    ),
    other("NoSuchKey", "the bucket has no object of this key"),
    other("NoSuchBucket", "there is no bucket of this name"),
    other("NoSuchVersion", "this version of the object was deleted"),
    other("BlobNotFound", "the container has no blob of this name"),
    other("ContainerNotFound", "there is no container of this name"),
    other(
        "InvalidObjectState",
        "the object is in an archive, and has to be restored first",
    ),
    other(
        "BlobArchived",
        "the blob is in an archive, and has to be rehydrated first",
    ),
    other("SlowDown", "too many requests"),
    other("ServerBusy", "too many requests"),
    other("InternalError", "a fault of its own"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: Option<&str>) -> Trouble {
        let status = StatusCode::from_u16(status).expect("a status");
        Trouble::answered(status, code.and_then(Code::known), None)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            let trouble = answered(status, None);
            assert!(matches!(trouble, Trouble::Passing(_)), "{trouble:?}");
        }
        for (status, code, kind) in [
            (403, None, io::ErrorKind::PermissionDenied),
            (401, None, io::ErrorKind::PermissionDenied),
            (400, Some("ExpiredToken"), io::ErrorKind::PermissionDenied),
            (403, Some("InvalidObjectState"), io::ErrorKind::InvalidInput),
            (409, Some("BlobArchived"), io::ErrorKind::InvalidInput),
            (404, Some("NoSuchBucket"), io::ErrorKind::NotFound),
            (200, None, io::ErrorKind::InvalidData),
            (206, None, io::ErrorKind::InvalidData),
            (301, None, io::ErrorKind::InvalidInput),
            (400, None, io::ErrorKind::InvalidInput),
            (412, None, io::ErrorKind::StaleNetworkFileHandle),
            (416, None, io::ErrorKind::StaleNetworkFileHandle),
        ] {
            let error = answered(status, code).while_reading("s3://b/clip.mp4");
            assert_eq!(error.kind(), kind, "{status} {code:?}: {error}");
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_not_repeated() {
        let body = |code: &str| format!("<?xml?><Error><Code>{code}</Code><X>AKIA</X></Error>");
        let known = Code::within(body("NoSuchKey").as_bytes()).expect("known");
        assert_eq!(known.name, "NoSuchKey");
        assert_eq!(Code::within(body("AKIASECRET").as_bytes()), None);
        assert_eq!(Code::within(b"<Code>NoSuchKey"), None);
    }
}

//! A service that may answer anything, and what must hold all the same. Played by a property test and by the fuzzer.

use std::time::Duration;

use super::{Address, Destination, Identity, Key, Origin, Reply, State, Step, Upload, Video};
use crate::account::TokenError;
use crate::answer::{Failure, Opened, Refusal, Report};
use crate::clock::{BootId, Now, Timestamp};
use crate::secret::Secret;
use crate::tiktok::codes::Code;
use crate::tiktok::hosts::BadHost;
use crate::tiktok::{answers, json};
use crate::upload::event::LossCause;
use crate::upload::ledger::Running;
use crate::upload::plan::{Limits, Plan};

/// Requests that one run may make before it ends: three sessions of at most twelve chunks, and half an hour of polling.
const MOST_REQUESTS: u32 = 4_000;

/// What the service does next, read off bytes; zeros when they are used up.
struct Whims<'a>(std::slice::Iter<'a, u8>);

impl Whims<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number of bytes as a service may name it: nothing, a border or beside it, or anything.
    fn bytes(&mut self, plan: &Plan) -> Option<u64> {
        let pick = self.byte();
        let border = plan.border(u32::from(pick >> 3) % (plan.chunk_count() + 1));
        match pick % 8 {
            0 | 1 => None,
            2 | 3 => Some(border),
            4 => Some(border.saturating_sub(1)),
            5 => Some(border + 1),
            6 => Some(self.number() % (plan.video_size() + 2)),
            _ => Some(self.number()),
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        let pick = self.byte();
        (pick > 200).then(|| Duration::from_secs(u64::from(pick) * 14))
    }

    fn error(&mut self) -> Failure {
        const CODES: [(u16, &str); 10] = [
            (400, "invalid_params"),
            (400, "invalid_publish_id"),
            (400, "token_not_authorized_for_specified_publish_id"),
            (401, "access_token_invalid"),
            (403, "spam_risk_too_many_pending_share"),
            (429, "rate_limit_exceeded"),
            (200, "rate_limit_exceeded"),
            (500, "internal_error"),
            (502, "http_502"),
            (200, ""),
        ];
        match self.byte() {
            0..80 => Failure::Lost("reset".into()),
            80..100 => Failure::NotSent("refused".into()),
            100..104 => Failure::Host(BadHost::Foreign("elsewhere".into())),
            104..108 => Failure::Token(TokenError::temporary("503")),
            108..110 => Failure::Token("log in again".into()),
            pick => {
                let (http_status, code) = CODES[usize::from(pick) % CODES.len()];
                answers::failure(Refusal {
                    meaning: Code::of(code, http_status).meaning,
                    http_status,
                    code: code.into(),
                    message: String::new(),
                    log_id: None,
                    retry_after: self.wait(),
                })
            }
        }
    }

    fn init(&mut self) -> Reply {
        Reply::Init(match self.byte() {
            0..180 => Ok(Opened {
                publish_id: format!("v~{}", self.byte()),
                upload_url: Some(Secret::new("https://u/?t=SECRET")),
            }),
            _ => Err(self.error()),
        })
    }

    fn put(&mut self, plan: &Plan) -> Reply {
        const CODES: [u16; 14] = [
            200, 201, 206, 206, 206, 416, 416, 403, 404, 405, 429, 500, 503, 299,
        ];
        let reply = match self.byte() {
            0..60 => Err(self.error()),
            pick => {
                let code = CODES[usize::from(pick) % CODES.len()];
                answers::put(code, self.bytes(plan), self.wait(), false)
            }
        };
        let whole = self.byte() > 10;
        Reply::Put(reply, whole.then(Running::default))
    }

    fn status(&mut self, plan: &Plan) -> Reply {
        const WORDS: [&str; 8] = [
            "PROCESSING_UPLOAD",
            "PROCESSING_UPLOAD",
            "PROCESSING_UPLOAD",
            "PROCESSING_DOWNLOAD",
            "NEVER_HEARD_OF",
            "FAILED",
            "SEND_TO_USER_INBOX",
            "PUBLISH_COMPLETE",
        ];
        const REASONS: [Option<&str>; 4] = [
            None,
            Some("internal"),
            Some("auth_removed"),
            Some("file_format_check_failed"),
        ];
        Reply::Status(match self.byte() {
            0..60 => Err(self.error()),
            pick => {
                let word = WORDS[usize::from(pick) % 8];
                Ok(Report {
                    stage: json::stage(word),
                    word: word.into(),
                    uploaded_bytes: self.bytes(plan),
                    downloaded_bytes: None,
                    fail_reason: REASONS[usize::from(self.byte()) % 4].map(str::to_owned),
                })
            }
        })
    }

    fn time(&mut self, now: &mut Now) {
        let pick = u64::from(self.byte());
        now.boot += Duration::from_secs(pick / 8);
        now.wall = match pick {
            // Somebody sets the clock.
            254 => Timestamp(self.number() >> 20),
            255 => now.wall.plus(Duration::from_secs(5_000)),
            _ => now.wall.plus(Duration::from_secs(pick / 8)),
        };
    }
}

fn fresh(size: u64) -> Upload {
    let identity = Identity {
        device: 1,
        inode: 2,
        size,
        mtime_ns: 3,
        ctime_ns: Some(4),
        proves: true,
    };
    let key = Key {
        account: "lena".into(),
        api_base: "http://127.0.0.1:1".into(),
        destination: Destination::Inbox,
        video: Video::Size(size),
    };
    let origin = Origin::Media {
        address: Address::File("/clip.mp4".into()),
        identity,
        fingerprint: None,
        content_type: "video/mp4".into(),
        plan: Plan::new(size, &Limits::DOCUMENTED, 5_242_880).expect("legal"),
    };
    let now = Now {
        wall: Timestamp(1_000_000_000_000),
        boot: Duration::from_secs(1000),
        boot_id: BootId(1),
    };
    Upload::new(key, origin, true, now)
}

/// Plays one upload through up to four runs. Panics where a promise is broken.
pub(crate) fn play(whims: &[u8]) {
    let mut whims = Whims(whims.iter());
    let mut upload = fresh(1 + whims.number() % 64_000_000);
    let mut now = Now {
        wall: upload.created,
        boot: Duration::from_secs(1000),
        boot_id: BootId(1),
    };
    for _ in 0..=whims.byte() % 4 {
        run(&mut upload, &mut whims, &mut now);
        let stored = serde_json::to_vec(&upload).expect("a row");
        let read: Upload = serde_json::from_slice(&stored).expect("the same row");
        assert_eq!(
            serde_json::to_vec(&read).expect("a row"),
            stored,
            "a row is what it was"
        );
        if upload.state.is_final() {
            assert!(
                !String::from_utf8_lossy(&stored).contains("SECRET"),
                "an ended row holds no URL"
            );
        }
        upload = read;
    }
}

/// Whether an init has reached the service and was not stated to be refused.
fn may_open_a_session(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Init(Ok(_) | Err(Failure::Lost(_) | Failure::Faulty(_)))
    )
}

fn run(upload: &mut Upload, whims: &mut Whims<'_>, now: &mut Now) {
    let (mut requests, mut inits, mut waited) = (0, 0, 0);
    // Chunks of this session that have left, as far as this run can know: an earlier one may have died with its chunk.
    let mut sent = upload.confirmed() + 1;
    let mut answered_since_seal = false;
    let plan = *upload.plan().expect("a file");
    loop {
        whims.time(now);
        let confirmed = upload.confirmed();
        let lost = upload.totals.lost_sessions;
        let was_sealed = upload.state.may_be_complete();
        // Its last chunk may be in doubt again.
        let acknowledged = matches!(upload.state, State::Processing { .. });
        let mut rewound = false;
        let reply = match upload.step(*now) {
            Step::Done => {
                assert!(upload.state.is_final());
                return;
            }
            Step::Stop(_) => return,
            Step::Wait(wait) => {
                assert!(wait <= Duration::from_secs(3600), "a wait of {wait:?}");
                waited += 1;
                assert!(waited < 2 * MOST_REQUESTS, "it waits for ever");
                now.boot += wait;
                now.wall = now.wall.plus(wait);
                continue;
            }
            Step::Init => {
                sent = 0;
                upload.apply(Reply::Intended(upload.identity()), *now, 0);
                let reply = whims.init();
                inits += u32::from(may_open_a_session(&reply));
                reply
            }
            Step::Put(chunk) => {
                assert_eq!(
                    chunk.range().start,
                    upload.confirmed_bytes(),
                    "only the chunk that is due"
                );
                sent = sent.max(chunk.index() + 1);
                if chunk.is_last() && whims.byte() > 8 {
                    Reply::AtGate(Some([7; 32]))
                } else if chunk.is_last() {
                    // The last bytes never left.
                    Reply::Put(Err(Failure::Lost("reset".into())), None)
                } else {
                    whims.put(&plan)
                }
            }
            Step::Release => {
                assert!(was_sealed, "the last bytes leave before the row is sealed");
                answered_since_seal = false;
                whims.put(&plan)
            }
            Step::Adopt(chunk) => {
                assert_eq!(
                    chunk.range().start,
                    upload.confirmed_bytes(),
                    "only the chunk in flight"
                );
                match whims.byte() {
                    0..200 => Reply::Adopted(Some(Running::default())),
                    _ => Reply::SessionOver(LossCause::Touched),
                }
            }
            Step::Rewind(chunks) => {
                assert!(chunks < confirmed, "back to what was lost");
                assert!(
                    !was_sealed || answered_since_seal,
                    "what was sealed opens again unasked"
                );
                rewound = true;
                match whims.byte() {
                    0..200 => Reply::Rewound(Some(Running::default())),
                    _ => Reply::SessionOver(LossCause::Touched),
                }
            }
            Step::Ask => whims.status(&plan),
            Step::Expire(why) => {
                assert!(!was_sealed, "what may be complete does not expire");
                Reply::SessionOver(why)
            }
        };
        requests += 1;
        assert!(
            requests < MOST_REQUESTS && inits <= 7,
            "it does not end: {:?}",
            upload.state
        );
        answered_since_seal |= matches!(reply, Reply::Status(Ok(_)));
        let sealed = was_sealed || upload.state.may_be_complete();
        upload.apply(reply, *now, whims.number());
        let new_session = upload.totals.lost_sessions > lost
            || matches!(upload.state, State::Queued | State::InitIntent);
        assert!(
            new_session || rewound || upload.confirmed() >= confirmed || acknowledged,
            "what was confirmed is forgotten"
        );
        assert!(
            upload.state.is_final() || upload.confirmed() <= sent,
            "more is confirmed than was sent"
        );
        if sealed {
            assert!(
                rewound || upload.state.name() != "uploading",
                "what was sealed opens again"
            );
            let again = matches!(upload.state, State::Queued | State::InitIntent);
            assert!(
                !again || answered_since_seal,
                "a new init unasked, after bytes that may complete the video"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_answer_of_any_service_breaks_a_promise(whims in prop::collection::vec(any::<u8>(), 0..2_000)) {
            super::play(&whims);
        }
    }
}

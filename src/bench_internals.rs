//! Entry points of the benchmarks: the parts of an upload, each by itself. Only there with `cfg(measuring)`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http_body_util::BodyExt;

use crate::answer::{Opened, Put, Report, Said, Stage};
use crate::clock::Now;
use crate::error::Error;
use crate::journal::{Lease, ProgressStore, Reserved, SledStore};
use crate::secret::Secret;
use crate::source::{LocalFile, OpenVideo, Opening, ReadMode};
use crate::tiktok::body::Body;
use crate::tiktok::json;
use crate::upload::ledger::Running;
use crate::upload::plan::{Limits, Plan};
use crate::upload::{Address, Destination, Identity, Key, Origin, Reply, Step, Upload, Video};

/// Reads the progress in an answer's header.
pub fn header(text: &str, video_size: u64) -> Option<u64> {
    json::progress(text, video_size)
}

/// Hashes bytes as the ledger does; the first byte of the digest.
pub fn hash(bytes: &[u8]) -> u8 {
    let mut running = Running::default();
    running.update(bytes);
    running.entry()[0]
}

/// An open file and its buffers.
#[derive(Debug)]
pub struct File {
    file: LocalFile,
    plan: Plan,
}

impl File {
    /// Opens a file, to be sent as one chunk and read in this way.
    pub fn open(path: &Path, read: ReadMode) -> Result<Self, Error> {
        let opening = Opening {
            read,
            ..Opening::default()
        };
        let file = LocalFile::open(path, opening)?;
        let size = file.identity().size;
        let plan = Plan::new(size, &Limits::DOCUMENTED, Limits::DOCUMENTED.max_chunk());
        let plan = plan.map_err(|error| Error::plan(&file.name(), error))?;
        Ok(Self { file, plan })
    }

    /// Reads its first chunk ahead, without a body and without hashing; how many bytes that were.
    pub async fn read(&self) -> u64 {
        let Ok((_ahead, pieces)) = self.file.read(self.plan, self.plan.chunk(0), None) else {
            return 0;
        };
        pieces
            .fold(0, async |bytes, piece| {
                bytes + piece.map_or(0, |piece| piece.bytes.len() as u64)
            })
            .await
    }

    /// Takes the body of its first chunk as a connection would, hashed ahead or not at all; how many bytes that were.
    pub async fn pump(&self, ledger: bool) -> u64 {
        let chunk = self.plan.chunk(0);
        let running = ledger.then(Running::default);
        let started = self.file.read(self.plan, chunk, running);
        let Ok((_ahead, pieces)) = started else {
            return 0;
        };
        let mut body = Body::new(pieces, 0, chunk.size(), Arc::default());
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        bytes
    }
}

fn upload(account: &str, size: u64) -> Option<Upload> {
    let identity = Identity {
        device: 1,
        inode: 2,
        size,
        mtime_ns: 3,
        ctime_ns: Some(4),
        proves: true,
    };
    let key = Key {
        account: account.to_owned(),
        api_base: "https://open.tiktokapis.com".to_owned(),
        destination: Destination::Inbox,
        video: Video::Size(size),
    };
    let origin = Origin::Media {
        address: Address::File("/videos/clip.mp4".into()),
        identity,
        fingerprint: None,
        content_type: "video/mp4".to_owned(),
        plan: Plan::new(size, &Limits::DOCUMENTED, Limits::DOCUMENTED.min_chunk()).ok()?,
    };
    Some(Upload::new(key, origin, true, Now::read()))
}

/// Takes one upload of so many bytes through all of its states, under a service that answers everything well; how many
/// requests that took.
pub fn machine(size: u64) -> Option<u32> {
    let mut upload = upload("lena", size)?;
    let (mut now, mut requests) = (Now::read(), 0);
    loop {
        let reply = match upload.step(now) {
            Step::Wait(wait) => {
                now.boot += wait;
                now.wall = now.wall.plus(wait);
                continue;
            }
            Step::Init => {
                upload.apply(Reply::Intended(None), now, 0);
                Reply::Init(Ok(Opened {
                    publish_id: "v_inbox_file~v2.1".to_owned(),
                    upload_url: Some(Secret::new(
                        "https://open-upload.tiktokapis.com/video/?upload_id=1",
                    )),
                }))
            }
            Step::Put(chunk) => {
                if chunk.is_last() {
                    upload.apply(Reply::AtGate(None), now, 0);
                }
                let answer = Put {
                    said: Said::Accepted,
                    progress: Some(chunk.range().end),
                    wait: None,
                };
                Reply::Put(Ok(answer), Some(Running::default()))
            }
            Step::Ask => Reply::Status(Ok(Report {
                stage: Stage::Inbox,
                word: "SEND_TO_USER_INBOX".to_owned(),
                fail_reason: None,
                uploaded_bytes: Some(size),
                downloaded_bytes: None,
            })),
            Step::Done => return Some(requests),
            Step::Release | Step::Adopt(_) | Step::Rewind(_) | Step::Expire(_) | Step::Stop(_) => {
                return None;
            }
        };
        requests += 1;
        now.boot += Duration::from_millis(1);
        upload.apply(reply, now, 0);
    }
}

/// Inserts a row of a video that nobody else is about.
async fn submit(store: &SledStore, row: Upload) -> Result<Lease, Error> {
    match store.reserve(row.key.clone(), None).await? {
        Reserved::Alone(reservation) => Ok(store.submit(&reservation, row).await?),
        Reserved::HeldBy { .. } => {
            Err(Error::usage("each upload has a size of its own".to_owned()))
        }
    }
}

/// A journal with one upload that is going on.
#[derive(Debug)]
pub struct Journal {
    store: SledStore,
    row: Upload,
    lease: Lease,
    chunk: u32,
}

impl Journal {
    /// Opens it, with so many unfinished uploads besides.
    pub async fn open(dir: &Path, others: u64) -> Result<Self, Error> {
        let store = SledStore::open(dir, "bench")?;
        let gone = || Error::usage("the sizes of the bench are legal".to_owned());
        for other in 0..others {
            let row = upload("mia", 1_000_000_000 + other).ok_or_else(gone)?;
            submit(&store, row).await?;
        }
        let row = upload("lena", 4_000_000_000).ok_or_else(gone)?;
        let lease = submit(&store, row.clone()).await?;
        Ok(Self {
            store,
            row,
            lease,
            chunk: 0,
        })
    }

    /// Records one more chunk, durably.
    pub async fn save(&mut self) -> Result<(), Error> {
        self.chunk += 1;
        let entry = Some((self.chunk, Running::default().entry()));
        let saved = self.store.save(self.lease, self.row.saved_next(), entry);
        Ok(saved.await?)
    }

    /// What a run asks first: which uploads there are of this size, and which of this path have not ended.
    pub async fn scan(&self) -> Result<usize, Error> {
        let same = self.store.find(self.row.key.clone()).await?.rows;
        let (key, path) = (self.row.key.clone(), "/videos/clip.mp4".into());
        Ok(same.len() + self.store.at_path(key, path).await?.len())
    }
}

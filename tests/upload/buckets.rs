//! Videos in buckets, over the wire: from servers of others, and from one of our own that lies.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chunkferry::{Bucket, BucketSettings, Error, ErrorKind, Job, Media, Outcome};
use futures::StreamExt;

use crate::stage::{CHUNK, Stage, TOKEN, eventually, text_of, until_confirmed};
use crate::support::liar::{Liar, Lie};

mod servers;

use servers::{ACCOUNT_KEY, Azurite, KEY_ID, Moto, Rclone, SECRET, SESSION, s3_at};

const SIZE: u64 = 30_000_000;
const S3: &str = "s3://renders/clip.mp4";
const AZURE: &str = "az://renders/clip.mp4";

/// Everything that no output may hold.
const SECRETS: [&str; 4] = [KEY_ID, SECRET, SESSION, ACCOUNT_KEY];

fn content(stage: &Stage, name: &str, size: u64) -> Vec<u8> {
    let path = stage.path(name);
    crate::video::write(&path, size, name.len() as u64);
    fs::read(path).unwrap()
}

fn job(bucket: Bucket) -> Job {
    Job::media(bucket).account("lena", TOKEN).chunk_size(CHUNK)
}

async fn open(url: &str, settings: &BucketSettings) -> Bucket {
    Bucket::open(url, settings).await.expect("it opens")
}

#[track_caller]
fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "a secret in: {text}");
    }
}

/// Error and causes, as a program may show them.
fn shown(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!("\n{error}\n{error:?}");
        cause = error.source();
    }
    text
}

/// No file below a directory holds a credential.
fn assert_no_secret_below(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => assert_no_secret_below(&path),
            false => assert_no_secret(&String::from_utf8_lossy(&fs::read(&path).unwrap())),
        }
    }
}

/// Uploads an object twice: one draft, of exactly these bytes.
async fn one_draft(stage: &Stage, url: &str, settings: &BucketSettings) {
    let engine = stage.engine();
    for outcome in [Outcome::Delivered, Outcome::AlreadyDelivered] {
        let draft = engine.upload(job(open(url, settings).await)).await;
        assert_eq!(draft.expect("a draft").outcome, outcome, "{url}");
    }
    let session = stage.assert_one_draft_of(&stage.path("clip.mp4"));
    assert!(session.puts.len() >= 5, "{:?}", session.puts);
    assert!(
        stage.emulator.review().is_empty(),
        "{:?}",
        stage.emulator.review()
    );
    assert_eq!(engine.records().await.unwrap()[0].name(), url);
    drop(engine);
    assert_no_secret_below(&stage.path("state"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_s3_is_one_draft_byte_for_byte() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let stage = Stage::new(&[], &[]);
    moto.put("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    one_draft(&stage, S3, &moto.settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_of_azure_is_one_draft_byte_for_byte() {
    let stage = Stage::new(&[], &[]);
    let Some(azurite) = Azurite::start(&stage.path("azure")).await else {
        return;
    };
    azurite
        .put_blob("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    one_draft(&stage, AZURE, &azurite.settings()).await;
}

/// By a server of our own: nothing that installs here has Google's API of XML.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_google_is_one_draft_byte_for_byte() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let settings = BucketSettings::new()
        .variable("GOOGLE_BASE_URL", &liar.url())
        .variable("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"private_key\":\"\",\"private_key_id\":\"\",\"client_email\":\"\",\"disable_oauth\":true}");
    one_draft(&stage, "gs://renders/clip.mp4", &settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_and_a_busy_server_are_one_draft_all_the_same() {
    for lie in [Lie::Breaks, Lie::Busy] {
        let stage = Stage::new(&[], &[]);
        let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
        liar.lie(lie);
        one_draft(&stage, S3, &s3_at(&liar.url())).await;
        // Each chunk left in one request: the service saw nothing of it.
        let session = stage.log().sessions.remove(0);
        let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
        assert_eq!(sent, SIZE, "{lie:?}: {:?}", session.puts);
    }
}

/// Uploads until a chunk is confirmed, then calls `replace`: nothing is posted, and the new object is sent by the next job.
async fn replaced<F: Future<Output = ()>>(
    stage: &Stage,
    url: &str,
    settings: &BucketSettings,
    replace: impl FnOnce(Vec<u8>) -> F,
) {
    let slow = stage.options().bandwidth(2 * CHUNK).open().unwrap();
    let mut handle = slow.upload(job(open(url, settings).await));
    until_confirmed(&mut handle, CHUNK).await;
    replace(content(stage, "another.mp4", SIZE)).await;
    let error = handle.await.expect_err("it was replaced");
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{}", shown(&error));
    assert_eq!(stage.log().drafts, 0);
    drop(slow);
    let engine = stage.engine();
    let draft = loop {
        match engine.upload(job(open(url, settings).await)).await {
            // What is known of the old one is given up first.
            Err(error) if error.kind() == ErrorKind::SourceChanged => {}
            ended => break ended.expect("a draft"),
        }
    };
    assert_eq!(draft.outcome, Outcome::Delivered);
    stage.assert_one_draft_of(&stage.path("another.mp4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_s3_that_is_replaced_half_way_is_never_mixed() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let stage = Stage::new(&[], &[]);
    moto.put("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    replaced(&stage, S3, &moto.settings(), |new| {
        moto.put("/clip.mp4", new)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_of_azure_that_is_replaced_half_way_is_never_mixed() {
    let stage = Stage::new(&[], &[]);
    let Some(azurite) = Azurite::start(&stage.path("azure")).await else {
        return;
    };
    azurite
        .put_blob("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    let put = |new| azurite.put_blob("/clip.mp4", new);
    replaced(&stage, AZURE, &azurite.settings(), put).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_behind_a_server_without_conditions_is_never_mixed() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    liar.lie(Lie::Unconditional);
    let replace = async |new| liar.replace(new);
    replaced(&stage, S3, &s3_at(&liar.url()), replace).await;
}

/// The bytes alone: the engine looks at more than they say.
#[tokio::test]
async fn a_range_of_another_object_is_no_bytes() {
    let stage = Stage::new(&[], &[]);
    for lie in [Lie::None, Lie::Unconditional] {
        let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
        let bucket = open(S3, &s3_at(&liar.url())).await;
        liar.lie(lie);
        let range = CHUNK..2 * CHUNK;
        let read: Vec<_> = bucket.read(range.clone()).collect().await;
        let read: Vec<u8> = read.into_iter().flat_map(|piece| piece.unwrap()).collect();
        let bytes = fs::read(stage.path("clip.mp4")).unwrap();
        assert!(read == bytes[CHUNK as usize..2 * CHUNK as usize]);
        liar.replace(content(&stage, "another.mp4", SIZE));
        let mut read = bucket.read(range);
        let error = read.next().await.unwrap().expect_err("another one");
        assert_eq!(
            error.kind(),
            io::ErrorKind::StaleNetworkFileHandle,
            "{error}"
        );
        assert!(read.next().await.is_none());
        let heads = liar.heads();
        let is_conditional = |head: &String| head.to_lowercase().contains("if-match: \"");
        assert!(heads[1..].iter().all(is_conditional), "{heads:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_bucket_that_keeps_versions_the_opened_one_is_sent_to_its_end() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let stage = Stage::new(&[], &[]);
    moto.keep_versions().await;
    moto.put("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    let slow = stage.options().bandwidth(4 * CHUNK).open().unwrap();
    let mut handle = slow.upload(job(open(S3, &moto.settings()).await));
    until_confirmed(&mut handle, CHUNK).await;
    moto.put("/clip.mp4", content(&stage, "another.mp4", SIZE))
        .await;
    handle
        .await
        .expect("a draft of the version that was opened");
    stage.assert_one_draft_of(&stage.path("clip.mp4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_may_not_read_versions_by_id_read_the_object_without() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    liar.state_version("v1");
    liar.lie(Lie::NoVersions);
    one_draft(&stage, S3, &s3_at(&liar.url())).await;
    let by_id = liar
        .heads()
        .iter()
        .filter(|head| head.contains("versionId=v1"))
        .count();
    // Both ends of the video are read at once, of each of the two that were opened.
    assert!((1..=4).contains(&by_id), "{by_id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_half_way_is_read_on() {
    let stage = Stage::new(&[], &[]);
    let Some(mut azurite) = Azurite::start(&stage.path("azure")).await else {
        return;
    };
    azurite
        .put_blob("/clip.mp4", content(&stage, "clip.mp4", SIZE))
        .await;
    // Azurite saves every few seconds where its blobs are, in other files than their bytes.
    let list = stage.path("azure/__azurite_db_blob__.json");
    eventually("the blob on disk", || text_of(&list).contains("clip.mp4")).await;
    let slow = stage.options().bandwidth(2 * CHUNK).open().unwrap();
    let mut handle = slow.upload(job(open(AZURE, &azurite.settings()).await));
    until_confirmed(&mut handle, CHUNK).await;
    azurite.0.kill();
    tokio::task::block_in_place(|| {
        std::thread::sleep(std::time::Duration::from_secs(2));
        azurite.0.restart();
    });
    handle.await.expect("a draft");
    stage.assert_one_draft_of(&stage.path("clip.mp4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_the_byte_at_which_the_server_went_away() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let slow = stage.options().bandwidth(2 * CHUNK).open().unwrap();
    let mut handle = slow.upload(job(open(S3, &s3_at(&liar.url())).await));
    until_confirmed(&mut handle, CHUNK).await;
    liar.stop();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let before = liar.heads().len();
    liar.listen();
    handle.await.expect("a draft");
    let session = stage.assert_one_draft_of(&stage.path("clip.mp4"));
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert_eq!(sent, SIZE, "the service noticed it: {:?}", session.puts);
    let heads = liar.heads();
    let (_, first) = heads[before].split_once("bytes=").unwrap();
    let (start, _) = first.split_once('-').unwrap();
    assert!(start.parse::<u64>().unwrap() > CHUNK, "{start}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lies_about_a_range_is_found_out_and_nothing_is_posted() {
    for (lie, kind) in [
        (Lie::Shortened, ErrorKind::Source),
        (Lie::ShortBody, ErrorKind::Source),
        (Lie::Whole, ErrorKind::Source),
        (Lie::RangeAs200, ErrorKind::Source),
        (Lie::Shifted, ErrorKind::Source),
        (Lie::Compressed, ErrorKind::Source),
    ] {
        let stage = Stage::new(&[], &[]);
        let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
        let settings = s3_at(&liar.url());
        let engine = stage.engine();
        let bucket = open(S3, &settings).await;
        liar.lie(lie);
        let error = engine.upload(job(bucket)).await.expect_err("a lie");
        assert_eq!(error.kind(), kind, "{lie:?}: {}", shown(&error));
        assert_no_secret(&shown(&error));
        assert_eq!(stage.log().drafts, 0, "{lie:?}");
        // The same bytes from an honest server.
        liar.lie(Lie::None);
        engine
            .upload(job(open(S3, &settings).await))
            .await
            .expect("a draft");
        stage.assert_one_draft_of(&stage.path("clip.mp4"));
    }
}

#[tokio::test]
async fn an_object_that_grows_under_its_tag_is_another_one() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let bucket = open(S3, &s3_at(&liar.url())).await;
    liar.lie(Lie::Grown);
    let error = bucket
        .read(CHUNK..2 * CHUNK)
        .next()
        .await
        .unwrap()
        .expect_err("it grew");
    assert_eq!(
        error.kind(),
        io::ErrorKind::StaleNetworkFileHandle,
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_answers_a_range_with_200_and_is_refused_before_any_request_to_the_service() {
    let stage = Stage::new(&[], &[]);
    let Some(rclone) = Rclone::start(&stage.path("rclone")) else {
        return;
    };
    fs::write(
        stage.path("rclone/renders/clip.mp4"),
        content(&stage, "clip.mp4", SIZE),
    )
    .unwrap();
    let bucket = open(S3, &rclone.settings()).await;
    let error = stage
        .engine()
        .upload(job(bucket))
        .await
        .expect_err("no ranges");
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(
        shown(&error).contains("with the whole object"),
        "{}",
        shown(&error)
    );
    assert_no_secret(&shown(&error));
    assert_eq!(stage.log().requests.init, 0);
}

#[tokio::test]
async fn an_object_without_a_strong_validator_is_not_opened() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    for lie in [Lie::NoTag, Lie::WeakTag] {
        liar.lie(lie);
        let error = Bucket::open(S3, &s3_at(&liar.url()))
            .await
            .expect_err("no tag");
        assert_eq!(error.kind(), ErrorKind::Source, "{lie:?}");
        assert!(error.to_string().contains("no strong validator"), "{error}");
    }
}

#[tokio::test]
async fn an_object_of_one_key_at_two_endpoints_is_two_objects() {
    let stage = Stage::new(&[], &[]);
    let bytes = content(&stage, "clip.mp4", SIZE);
    let liars = [Liar::start(bytes.clone()), Liar::start(bytes)];
    let mut opened = Vec::new();
    for liar in &liars {
        opened.push(open(S3, &s3_at(&liar.url())).await);
    }
    assert_eq!(opened[0].address(), opened[1].address());
    assert_ne!(opened[0].opened(), opened[1].opened());
    let again = open(S3, &s3_at(&liars[0].url())).await;
    assert_eq!(opened[0].opened(), again.opened());
}

/// What a log of everything holds.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A server that refuses repeats the request in its answer; so does S3, for signatures that do not match.
#[tokio::test]
async fn credentials_are_in_no_error_no_log_and_no_debug_even_if_the_server_repeats_them() {
    let log = Captured::default();
    #[cfg(feature = "cli")]
    let _guard = {
        let sink = log.clone();
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
        let all = all.with_writer(move || sink.clone()).finish();
        tracing::subscriber::set_default(all)
    };
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let settings = s3_at(&liar.url()).variable("AWS_SESSION_TOKEN", SESSION);
    let bucket = open(S3, &settings).await;
    liar.lie(Lie::Denied);
    let error = Bucket::open(S3, &settings).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert_no_secret(&shown(&error));
    assert!(error.to_string().contains("403, AccessDenied"), "{error}");
    let error = stage
        .engine()
        .upload(job(bucket.clone()))
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert_no_secret(&shown(&error));
    let read = bucket
        .read(0..10)
        .next()
        .await
        .unwrap()
        .expect_err("refused");
    assert_eq!(read.kind(), io::ErrorKind::PermissionDenied);
    assert_no_secret(&format!("{read} {read:?} {bucket:?} {settings:?}"));

    // The signature of a blob's address is in the query of each request.
    let sas = format!("sv=2023-11-03&sr=c&sig={SECRET}");
    let azure = BucketSettings::new()
        .variable("AZURE_STORAGE_ACCOUNT_NAME", "renders")
        .variable("AZURE_STORAGE_SAS_TOKEN", &sas)
        .variable("AZURE_STORAGE_ENDPOINT", &liar.url());
    let error = Bucket::open(AZURE, &azure).await.expect_err("refused");
    assert_no_secret(&shown(&error));
    liar.stop();
    let error = Bucket::open(AZURE, &azure).await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::Temporary);
    assert_no_secret(&shown(&error));
    let sent = liar.heads().join("\n");
    assert!(
        [KEY_ID, SESSION, SECRET]
            .iter()
            .all(|secret| sent.contains(secret)),
        "they were used"
    );
    assert_no_secret_below(&stage.path("state"));
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(!cfg!(feature = "cli") || log.contains("TRACE"), "{log}");
    assert_no_secret(&log);
}

#[tokio::test]
async fn keys_of_a_profile_are_used_and_renewed_and_those_of_the_environment_win() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let credentials = stage.path("credentials");
    let write = |id: &str| {
        let text = format!("[team]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n");
        fs::write(&credentials, text).unwrap();
    };
    let config = stage.path("config");
    fs::write(
        &config,
        format!(
            "[profile team]\nendpoint_url = {}\nregion = eu-west-3\n",
            liar.url()
        ),
    )
    .unwrap();
    let settings = BucketSettings::new()
        .variable("AWS_PROFILE", "team")
        .variable("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap())
        .variable("AWS_CONFIG_FILE", config.to_str().unwrap());
    write("AKIAFIRST");
    let bucket = open(S3, &settings).await;
    write("AKIASECOND");
    bucket.read(0..10).next().await.unwrap().expect("bytes");
    let own = settings
        .variable("AWS_ACCESS_KEY_ID", KEY_ID)
        .variable("AWS_SECRET_ACCESS_KEY", SECRET);
    open(S3, &own).await;
    let heads = liar.heads();
    let of = |at: usize, id: &str| {
        heads[at].contains(&format!("Credential={id}/")) && heads[at].contains("/eu-west-3/s3/")
    };
    assert!(
        of(0, "AKIAFIRST") && of(1, "AKIASECOND") && of(2, KEY_ID),
        "{heads:#?}"
    );
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_who_must_act() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let nowhere = BucketSettings::new().variable("AWS_EC2_METADATA_DISABLED", "true");
    let machine = BucketSettings::new().variable("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    let half = BucketSettings::new().variable("AWS_SECRET_ACCESS_KEY", SECRET);
    let endpoint = s3_at("ftp://user:hunter2SecretKeyOfTheTests00@host");
    let profile = BucketSettings::new().variable("AWS_PROFILE", "nobody");
    for (url, settings, kind, says) in [
        (
            S3,
            &nowhere,
            ErrorKind::NeedsPerson,
            "there are no credentials",
        ),
        (
            S3,
            &machine,
            ErrorKind::NeedsPerson,
            "there are no credentials",
        ),
        (S3, &half, ErrorKind::Usage, "AWS_ACCESS_KEY_ID is not"),
        (S3, &endpoint, ErrorKind::Usage, "endpoint"),
        (S3, &profile, ErrorKind::Usage, "\"nobody\""),
        (
            AZURE,
            &nowhere,
            ErrorKind::Usage,
            "AZURE_STORAGE_ACCOUNT_NAME",
        ),
        (
            "s3://renders/a//b",
            &half,
            ErrorKind::Usage,
            "cannot be used",
        ),
    ] {
        let error = Bucket::open(url, settings).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_no_secret(&shown(&error));
    }
    assert!(liar.heads().is_empty());
    let Some(moto) = Moto::start().await else {
        return;
    };
    for (url, says) in [
        ("s3://renders/none.mp4", "NoSuchKey"),
        ("s3://nobodys/clip.mp4", "NoSuchBucket"),
    ] {
        let error = Bucket::open(url, &moto.settings())
            .await
            .expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// What the environment says of https, nobody turns into http: not a variable, and not an address that credentials come from.
#[tokio::test]
async fn nothing_goes_out_in_the_clear_that_no_endpoint_says() {
    let settings = BucketSettings::new()
        .variable("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .variable("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null")
        .variable("AWS_ALLOW_HTTP", "true")
        .variable("AWS_ENDPOINT_URL_STS", "http://sts.example.invalid");
    let error = Bucket::open(S3, &settings)
        .await
        .expect_err("it is not https");
    assert!(shown(&error).contains("not https"), "{}", shown(&error));
}

/// It is for the engine to wait: each wait of our own would be one that nobody counts.
#[tokio::test]
async fn a_server_that_is_away_or_busy_is_reported_as_an_outage() {
    let stage = Stage::new(&[], &[]);
    let liar = Liar::start(content(&stage, "clip.mp4", SIZE));
    let bucket = open(S3, &s3_at(&liar.url())).await;
    liar.lie(Lie::Busy);
    for _ in 0..2 {
        if let Err(error) = bucket.read(CHUNK..2 * CHUNK).next().await.unwrap() {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            assert!(error.to_string().contains("503, SlowDown"), "{error}");
        }
    }
    liar.stop();
    let error = bucket.read(0..10).next().await.unwrap();
    let error = error.expect_err("nobody there");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert_no_secret(&format!("{error} {error:?}"));
}

//! `upload -`: a video from a pipe becomes one draft, whenever the command dies, and however the pipe ends.

use std::fs::{self, File};
use std::io::{PipeReader, Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::mount::Mount;
use crate::scene::{CHUNK, Ended, Running, Scene, Start, accepted, full};
use crate::secrets::{Watched, files};
use crate::video;

/// `upload - --name clip.mp4` in chunks of 5 MiB, with more arguments.
fn upload(scene: &Scene, more: &[&str]) -> Command {
    let args = ["upload", "-", "--json", "--name", "clip.mp4"];
    let mut command = scene.command(args);
    command.args(["--chunk-size", "5MiB"]).args(more);
    command
}

/// The size of the promise, or of a quick run.
fn size() -> u64 {
    if full() { 300_000_000 } else { 30_000_000 }
}

/// A pipe that a program writes a file into.
fn cat(file: &Path) -> Stdio {
    written_by(Command::new("cat").arg(file))
}

/// A pipe that this program writes into.
fn written_by(program: &mut Command) -> Stdio {
    let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
    let pipe = Stdio::from(child.stdout.take().unwrap());
    std::thread::spawn(move || child.wait());
    pipe
}

/// A pipe that ends after so many bytes of a file.
fn cut(file: &Path, bytes: u64) -> Stdio {
    let mut head = Command::new("head");
    written_by(head.args(["-c", &bytes.to_string()]).arg(file))
}

/// A pipe that nobody may read from: it has some bytes, and must have them afterwards.
struct Untouched(PipeReader);

impl Untouched {
    fn new() -> (Self, Stdio) {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(b"untouched").unwrap();
        (Self(reader.try_clone().unwrap()), Stdio::from(reader))
    }

    fn check(mut self) {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "untouched", "standard input was read");
    }
}

/// Runs the command, which must not read its standard input.
fn without_reading(command: &mut Command) -> Ended {
    let (untouched, stdin) = Untouched::new();
    let ended = command.start_with(stdin).end();
    untouched.check();
    ended
}

/// Faults of a service that is away for longer than one run waits, and the arguments of such a run.
const AWAY: [&str; 4] = [
    "init nth=1 status=503",
    "init nth=2 status=503",
    "init nth=3 status=503",
    "init nth=4 status=503",
];
const PATIENCE: [&str; 4] = ["--id", "a", "--patience", "0"];

/// Runs the command again and again, without a pipe, until it ends well; how.
fn until_delivered(command: impl Fn() -> Command) -> Value {
    for _ in 0..10 {
        let ended = without_reading(&mut command());
        if ended.code == Some(0) {
            return ended.outcome()["outcome"].clone();
        }
        ended.expect(75);
    }
    panic!("it was never delivered")
}

/// The videos that are kept.
fn kept(dir: &Path) -> Vec<PathBuf> {
    match dir.exists() {
        true => files(dir),
        false => Vec::new(),
    }
}

#[track_caller]
fn assert_nothing_kept(dir: &Path) {
    let kept = kept(dir);
    assert!(kept.is_empty(), "{kept:?}");
}

fn spool(scene: &Scene) -> PathBuf {
    scene.state_dir().join("spool")
}

/// Waits until so many videos are kept.
#[track_caller]
fn until_kept(scene: &Scene, count: usize) {
    let begun = Instant::now();
    while kept(&spool(scene)).len() != count {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {count}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts the command, and gives it the first half of a file.
fn half_way(command: &mut Command, file: &Path) -> (Running, std::io::PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let run = command.start_with(Stdio::from(reader));
    let bytes = fs::read(file).unwrap();
    writer.write_all(&bytes[..bytes.len() / 2]).unwrap();
    (run, writer)
}

#[track_caller]
fn assert_each_chunk_counted_once(scene: &Scene, file: &Path) {
    let session = scene.assert_one_draft_of(file);
    let mut firsts = accepted(&session.puts);
    let all = firsts.len();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), all, "a chunk was acknowledged twice");
    assert_eq!(scene.log().inits, 1);
}

#[test]
fn a_pipe_is_one_draft_though_the_command_is_killed_while_it_reads_while_it_sends_and_afterwards() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", size());
    let id = &["--id", "night 7"];

    let (run, writer) = half_way(&mut upload(&scene, id), &file);
    until_kept(&scene, 1);
    assert!(run.kill());
    drop(writer);
    assert_eq!(kept(&spool(&scene)).len(), 1, "the part is there");
    assert_eq!(scene.log().requests.init, 0);

    let slow = ["--id", "night 7", "--bwlimit", "20MB"];
    let mut run = upload(&scene, &slow).start_with(cat(&file));
    run.until("all is read", |line| line["event"] == "spooled");
    run.until_confirmed(2 * CHUNK);
    assert!(run.kill());
    assert_eq!(kept(&spool(&scene)).len(), 1, "the part is gone");

    let ended = without_reading(&mut upload(&scene, id)).expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    assert_eq!(ended.outcome()["file"], "clip.mp4");
    assert_eq!(ended.outcome()["caller_id"], "night 7");
    assert!(ended.stdout.contains("standard input is not read"));
    assert_each_chunk_counted_once(&scene, &file);
    assert_nothing_kept(&spool(&scene));

    let requests = scene.log().requests.put;
    let ended = without_reading(&mut upload(&scene, id)).expect(0);
    let again = ended.outcome();
    assert_eq!(again["outcome"], "already_delivered");
    assert_eq!(again["sha256"], *video::sha256(&file));
    assert!(again["first_job"].is_string(), "{again}");
    assert_eq!(scene.log().requests.put, requests);
}

#[test]
fn what_ffmpeg_writes_into_a_pipe_is_one_draft() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("NOT TESTED: ffmpeg is missing");
        return;
    }
    let scene = Scene::new(&[], &[]);
    let made = scene.path("source.mp4");
    // Noise does not get smaller: about 1 MB a frame of this size.
    let frames = (size() / 1_000_000).to_string();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("nullsrc=s=1280x720:r=25,format=yuv444p,geq=random(1)*255:128:128")
        .args(["-frames:v", &frames, "-c:v", "mpeg4", "-q:v", "1"])
        .args(["-pix_fmt", "yuv420p", "-f", "mp4"])
        .arg(&made)
        .status();
    assert!(status.unwrap().success());
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(&made);
    ffmpeg.args(["-c", "copy", "-movflags", "frag_keyframe+empty_moov"]);
    ffmpeg.args(["-f", "mp4", "-bitexact", "-"]);
    let copy = ffmpeg.output().unwrap().stdout;
    let file = scene.path("copy.mp4");
    fs::write(&file, &copy).unwrap();
    let stdin = written_by(&mut ffmpeg);
    let ended = upload(&scene, &["--id", "a"]).start_with(stdin).end();
    ended.expect(0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn without_an_id_that_is_said_and_what_a_crash_left_goes_with_the_next_start() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 30_000_000);
    let mut run = upload(&scene, &["--bwlimit", "10MB"]).start_with(cat(&file));
    let note = run.until("a note", |line| line["event"] == "notice");
    assert_eq!(note["cause"], "no_id");
    run.until_confirmed(CHUNK);
    assert!(run.kill());
    let left = kept(&spool(&scene));
    assert_eq!(left.len(), 1);

    // The bytes are known all the same: what was acknowledged is not sent again.
    let mut run = upload(&scene, &["--bwlimit", "10MB"]).start_with(cat(&file));
    run.until("it sends", |line| line["event"] == "chunk");
    let now = kept(&spool(&scene));
    assert!(now.len() == 1 && now != left, "{now:?}");
    run.end().expect(0);
    assert_each_chunk_counted_once(&scene, &file);
    assert_nothing_kept(&spool(&scene));

    // A signal leaves nothing that nobody could name.
    let other = scene.video("other.mp4", 30_000_001);
    let mut run = upload(&scene, &["--bwlimit", "10MB"]).start_with(cat(&other));
    run.until_confirmed(CHUNK);
    run.signal("-INT");
    run.end().expect(130);
    assert_nothing_kept(&spool(&scene));
}

#[test]
fn a_signal_while_it_reads_leaves_nothing_and_one_while_it_sends_leaves_what_the_same_command_needs()
 {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("source.mp4", 30_000_000);
        let id = &["--id", "a", "--bwlimit", "10MB"];
        let (run, _writer) = half_way(&mut upload(&scene, id), &file);
        until_kept(&scene, 1);
        run.signal(signal);
        let ended = run.end().expect(code);
        assert_eq!(ended.outcome()["outcome"], "retry");
        assert_nothing_kept(&spool(&scene));

        let mut run = upload(&scene, id).start_with(cat(&file));
        run.until_confirmed(CHUNK);
        run.signal(signal);
        let ended = run.end().expect(code);
        assert_eq!(ended.outcome()["outcome"], "retry");
        assert_eq!(kept(&spool(&scene)).len(), 1);
        without_reading(&mut upload(&scene, &["--id", "a"])).expect(0);
        assert_each_chunk_counted_once(&scene, &file);
    }
}

#[test]
fn a_service_that_is_away_costs_no_second_run_of_the_program_that_writes() {
    let scene = Scene::new(&[], &AWAY);
    let file = scene.video("source.mp4", 12_000_000);
    let mut failing = upload(&scene, &PATIENCE);
    let ended = failing.start_with(cat(&file)).end().expect(75);
    assert_eq!(ended.outcome()["outcome"], "retry");
    assert_eq!(kept(&spool(&scene)).len(), 1);
    // What needs a person is kept, too.
    let mut tokenless = upload(&scene, &PATIENCE);
    without_reading(tokenless.env_remove("TIKTOK_ACCESS_TOKEN")).expect(4);
    assert_eq!(kept(&spool(&scene)).len(), 1);
    assert_eq!(until_delivered(|| upload(&scene, &PATIENCE)), "delivered");
    scene.assert_one_draft_of(&file);
    assert_nothing_kept(&spool(&scene));
}

#[test]
fn a_pipe_that_ends_early_is_no_video_and_the_same_id_takes_the_whole_one() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 12_000_000);
    let ended = upload(&scene, &["--id", "a"]).start_with(cut(&file, 5_000_000));
    let ended = ended.end().expect(3);
    let told = ended.message();
    assert!(
        told.contains("clip.mp4") && told.contains("unfinished") && !told.contains("body-"),
        "{told}"
    );
    let empty = upload(&scene, &["--id", "a"])
        .start_with(Stdio::null())
        .end();
    assert!(empty.expect(2).message().contains("no bytes"));
    assert_eq!(scene.log().requests.init, 0);
    assert_nothing_kept(&spool(&scene));

    // With other options, too: what refused it may have said which.
    let mut whole = upload(&scene, &["--id", "a", "--wait", "99"]);
    let ended = whole.start_with(cat(&file)).end();
    assert_eq!(ended.expect(0).outcome()["outcome"], "delivered");
    scene.assert_one_draft_of(&file);
    // Another video does not go by this id.
    let args = ["upload", "-", "--name", "other.mp4", "--id", "a"];
    let ended = without_reading(&mut scene.command(args)).expect(2);
    assert!(ended.stderr.contains("another video"), "{}", ended.stderr);
}

#[test]
fn a_full_disk_ends_it_before_the_disk_is_full_and_leaves_no_file() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 30_000_000);
    let Some(mount) = Mount::new(scene.path("small"), "36m") else {
        return;
    };
    let small = mount.path().to_str().unwrap();
    let id = ["--id", "a", "--spool", small];
    let ended = upload(&scene, &id).start_with(cat(&file)).end().expect(75);
    let told = ended.message();
    for word in [
        "bytes are free in",
        small,
        "Nothing was accepted",
        "--spool DIR",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_nothing_kept(mount.path());
    assert_eq!(scene.log().requests.init, 0);
    let error = &ended.outcome()["error"];
    assert_eq!(error["remedies"][0], "make_room", "{error}");

    mount.remount("size=64m");
    upload(&scene, &id).start_with(cat(&file)).end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_nothing_kept(mount.path());
}

#[test]
fn a_directory_that_is_named_has_the_video_until_it_is_sent_and_a_strangers_is_refused() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 30_000_000);
    let dir = scene.path("elsewhere");
    fs::create_dir(&dir).unwrap();
    let named = ["--id", "a", "--spool", dir.to_str().unwrap()];
    let slow = [&named[..], &["--bwlimit", "10MB"]].concat();
    let mut run = upload(&scene, &slow).start_with(cat(&file));
    run.until_confirmed(CHUNK);
    assert!(run.kill());
    assert_eq!((kept(&dir).len(), kept(&spool(&scene)).len()), (1, 0));
    // Another state directory that uses the same place takes nothing away.
    let other = scene.video("other.mp4", 1_000_000);
    let mut others = upload(&scene, &named);
    others.env("CHUNKFERRY_STATE_DIR", scene.path("other"));
    others.start_with(cat(&other)).end().expect(0);
    assert_eq!(kept(&dir).len(), 1);
    // The job knows where its video is.
    without_reading(&mut upload(&scene, &["--id", "a"])).expect(0);
    assert_nothing_kept(&dir);
    assert_eq!(scene.log().drafts, 2);

    let open = scene.path("open");
    fs::create_dir(&open).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&open, mode).unwrap();
    let missing = scene.path("missing");
    for (dir, word) in [(&open, "others can write"), (&missing, "No such file")] {
        let named = ["--id", "b", "--spool", dir.to_str().unwrap()];
        let ended = without_reading(&mut upload(&scene, &named)).expect(2);
        assert!(ended.message().contains(word), "{}", ended.message());
    }
}

#[test]
fn a_video_that_no_plan_allows_is_refused_while_it_comes() {
    if !full() {
        println!("NOT TESTED: more than 4 GiB in a pipe, without CHUNKFERRY_FULL");
        return;
    }
    let scene = Scene::new(&[], &[]);
    let zeros = cut(Path::new("/dev/zero"), (4 << 30) + 1);
    let ended = upload(&scene, &["--id", "a"]).start_with(zeros).end();
    let told = ended.expect(3).message();
    assert!(told.contains("4294967296"), "{told}");
    assert_nothing_kept(&spool(&scene));
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn what_cannot_mean_one_video_from_a_pipe_is_refused_before_anything_is_read() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    for (args, word) in [
        (&["-"][..], "--name clip.mp4"),
        (&["-", "-", "--name", "a"], "alone"),
        (&["-", "clip.mp4", "--name", "a"], "alone"),
        (&["clip.mp4", "--name", "a"], "standard input"),
        (&["clip.mp4", "--spool", "."], "standard input"),
        (&["--from", "-", "--name", "a"], "standard input"),
        (&["-", "--from", "-", "--name", "a"], "cannot be used with"),
        (&["-", "--name", "a", "--dry-run"], "--dry-run"),
        (&["-", "--name", "a", "--settle", "1"], "--settle"),
        (&["-", "--name", "a\nb"], "1 to 255"),
        (&["-", "--name", "a", "--detach"], "needs a service"),
        (&["clip.mp4", "--id", "a"], "needs a service"),
    ] {
        let mut command = scene.command(["upload"]);
        let ended = without_reading(command.args(args));
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(scene.log().requests.init, 0);
    // A file of that name is a file.
    scene.video("-", 100_001);
    scene.command(["upload", "./-"]).end().expect(0);
}

/// A terminal: its own end, and that of a program.
fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap());
    (File::from(master), slave.unwrap())
}

#[test]
fn a_terminal_is_no_video() {
    let scene = Scene::new(&[], &[]);
    let (_master, slave) = terminal();
    let mut command = upload(&scene, &["--id", "a"]);
    let ended = command.start_with(Stdio::from(slave)).end().expect(2);
    assert!(ended.stderr.contains("terminal"), "{}", ended.stderr);
}

#[test]
fn a_terminal_shows_how_many_bytes_came_and_how_fast_while_they_come() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 12_000_000);
    let (mut master, slave) = terminal();
    let (reader, mut writer) = pipe().unwrap();
    let mut command = scene.command(["upload", "-", "--name", "clip.mp4", "--id", "a"]);
    command.stdin(reader).stdout(Stdio::null()).stderr(slave);
    let mut child = command.spawn().unwrap();
    // The command has the other ends now.
    drop(command);
    let shown = std::thread::spawn(move || {
        let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
        // A terminal whose other end is gone answers with an error.
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    });
    for piece in fs::read(&file).unwrap().chunks(300_000) {
        writer.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(15));
    }
    drop(writer);
    assert!(child.wait().unwrap().success());
    let shown = shown.join().unwrap();
    let drawn = shown.split("12.0 MB read").next().unwrap();
    assert!(
        drawn.contains("MB read  ") && drawn.contains("MB/s"),
        "{shown:?}"
    );
    assert!(shown.contains("in lena's inbox"), "{shown:?}");
    scene.assert_one_draft_of(&file);
}

#[test]
fn people_read_what_a_pipe_does() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("source.mp4", 12_000_000);
    let args = ["upload", "-", "--name", "night\u{1b}7.mp4", "--id", "a"];
    let refused = without_reading(&mut scene.command(args)).expect(2);
    assert!(!refused.stderr.contains('\u{1b}'), "{}", refused.stderr);
    let args = ["upload", "-", "--name", "clip.mp4", "--id", "a"];
    let ended = scene.command(args).start_with(cat(&file)).end().expect(0);
    assert!(
        ended.stderr.contains("clip.mp4: 12.0 MB read"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("in lena's inbox"), "{}", ended.stderr);
    let publish_id = &scene.log().sessions[0].publish_id;
    assert_eq!(ended.stdout, format!("{publish_id}\tdelivered\tclip.mp4\n"));
}

#[test]
fn neither_token_nor_upload_url_is_printed_or_written_where_a_pipe_is_killed_and_carried_on() {
    let mut watched = Watched::new(&[], &[]);
    let file = watched.scene.video("source.mp4", 12_000_000);
    let args = [
        "upload",
        "-",
        "--json",
        "--name",
        "clip.mp4",
        "--id",
        "a",
        "--chunk-size",
        "5MiB",
    ];
    let mut slow = watched.command(&[&args[..], &["--bwlimit", "10MB"]].concat());
    let mut run = slow.start_with(cat(&file));
    run.until_confirmed(CHUNK);
    watched.printed.push(run.told());
    assert!(run.kill());
    for _ in 0..2 {
        let ended = without_reading(&mut watched.command(&args)).expect(0);
        watched.printed.push(ended.stdout + &ended.stderr);
    }
    watched.scene.assert_one_draft_of(&file);
    watched.assert_nothing_leaked(1);
}

#[cfg(feature = "service")]
mod served {
    use super::*;
    use crate::serve::Service;

    fn upload(scene: &Scene, more: &[&str]) -> Command {
        let mut command = super::upload(scene, more);
        command.env_remove("TIKTOK_ACCESS_TOKEN");
        command
    }

    fn outcome(ended: &Ended) -> Value {
        ended.outcome()["outcome"].clone()
    }

    #[test]
    fn beside_a_service_a_pipe_is_one_draft_whoever_is_killed() {
        let scene = Scene::new(&["receive_rate=10MB"], &[]);
        let mut service = Service::start(&scene, &[]);
        let file = scene.video("source.mp4", size().min(60_000_000));
        let id = &["--id", "\u{e9}t\u{e9} 7"];

        // The command while it reads: nothing is accepted.
        let (run, writer) = half_way(&mut upload(&scene, id), &file);
        until_kept(&scene, 1);
        assert!(run.kill());
        drop(writer);
        until_kept(&scene, 0);
        assert_eq!(service.get("/v1/jobs")["jobs"], serde_json::json!([]));

        // The command while the service sends; then the service.
        let mut run = upload(&scene, id).start_with(cat(&file));
        run.until_confirmed(CHUNK);
        assert!(run.kill());
        let (untouched, stdin) = Untouched::new();
        let mut run = upload(&scene, id).start_with(stdin);
        run.until("it follows", |line| {
            line["event"] == "progress" || line["event"] == "chunk"
        });
        assert!(service.running.kill());
        run.end().expect(75);
        untouched.check();
        service = Service::start(&scene, &[]);
        let ended = without_reading(&mut upload(&scene, id)).expect(0);
        assert!(
            ["delivered", "already_delivered"].contains(&outcome(&ended).as_str().unwrap()),
            "{ended:?}"
        );
        let ended = without_reading(&mut upload(&scene, id)).expect(0);
        assert_eq!(outcome(&ended), "already_delivered");
        assert!(ended.outcome()["first_job"].is_string());
        assert_each_chunk_counted_once(&scene, &file);
        assert_nothing_kept(&spool(&scene));
        drop(service);
    }

    #[test]
    fn beside_a_service_a_pipe_ends_as_it_would_alone() {
        let told = |served: bool| {
            let scene = Scene::new(&[], &AWAY);
            let _service = served.then(|| Service::start(&scene, &[]));
            let file = scene.video("source.mp4", 12_000_000);
            let command = || match served {
                true => upload(&scene, &PATIENCE),
                false => super::upload(&scene, &PATIENCE),
            };
            let short = command().start_with(cut(&file, 1_000_000)).end();
            let away = command().start_with(cat(&file)).end();
            let whole = until_delivered(command);
            scene.assert_one_draft_of(&file);
            until_kept(&scene, 0);
            let told = |ended: &Ended| {
                let line = ended.outcome();
                let error = &line["error"];
                (
                    ended.code,
                    line["outcome"].clone(),
                    error["remedies"].clone(),
                )
            };
            let words = short.message().split(" (the").next().map(str::to_owned);
            (told(&short), words, told(&away), whole)
        };
        assert_eq!(told(false), told(true));
    }

    #[test]
    fn a_signal_beside_a_service_leaves_the_video_for_the_same_command_and_detach_names_its_job() {
        let scene = Scene::new(&["receive_rate=10MB"], &[]);
        let service = Service::start(&scene, &[]);
        let file = scene.video("source.mp4", 30_000_000);
        let (run, _writer) = half_way(&mut upload(&scene, &["--id", "a"]), &file);
        until_kept(&scene, 1);
        run.signal("-INT");
        run.end().expect(130);
        until_kept(&scene, 0);
        assert_eq!(service.get("/v1/jobs")["jobs"], serde_json::json!([]));

        let mut run = upload(&scene, &["--id", "a"]).start_with(cat(&file));
        run.until_confirmed(CHUNK);
        run.signal("-INT");
        let ended = run.end().expect(130);
        assert_eq!(outcome(&ended), "retry");
        assert_eq!(kept(&spool(&scene)).len(), 1);
        let ended = without_reading(&mut upload(&scene, &["--id", "a"])).expect(0);
        assert_eq!(outcome(&ended), "delivered");
        assert_each_chunk_counted_once(&scene, &file);

        let other = scene.video("other.mp4", 1_000_000);
        let mut detached = upload(&scene, &["--id", "b", "--detach"]);
        let ended = detached.start_with(cat(&other)).end().expect(0);
        let line: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(
            service.ended(&line["job"]["id"])["end"]["outcome"],
            "delivered"
        );
        // What is a matter of the process that sends is said to be that.
        let named = ["--id", "c", "--spool", "."];
        let ended = without_reading(&mut upload(&scene, &named)).expect(2);
        assert!(ended.stderr.contains("--spool"), "{}", ended.stderr);
    }
}

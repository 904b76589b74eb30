//! Tokens and upload URLs stay where they belong: on the wire, and the URL in the journal's database.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::proxy::Proxy;
use crate::scene::{Ended, Scene, Start};

/// A part of the access token that occurs nowhere else.
const SECRET: &str = "sEcReT-0123456789";

pub(crate) struct Watched {
    pub(crate) scene: Scene,
    proxy: Proxy,
    pub(crate) printed: Vec<String>,
}

impl Watched {
    pub(crate) fn new(set: &[&str], faults: &[&str]) -> Self {
        let scene = Scene::new(set, faults);
        let proxy = Proxy::before(scene.emulator.address());
        Self {
            scene,
            proxy,
            printed: Vec::new(),
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.scene.command(args);
        command
            .env("CHUNKFERRY_API_BASE", self.proxy.url())
            .env("CHUNKFERRY_LOG", "trace")
            .env("RUST_BACKTRACE", "1")
            .env("TIKTOK_ACCESS_TOKEN", format!("act.lena.{SECRET}"));
        command
    }

    fn run(&mut self, args: &[&str], code: i32) -> Ended {
        let ended = self.command(args).end().expect(code);
        self.printed
            .push(format!("{args:?}: {}\n{}", ended.stdout, ended.stderr));
        ended
    }

    /// What must be seen nowhere: the token, and the credential of each upload URL.
    fn secrets(&self) -> Vec<String> {
        let answers = self.proxy.answers();
        let tokens = answers.split("upload_token=").skip(1);
        let until_quote = tokens.filter_map(|rest| rest.split(['"', '&', '\\']).next());
        let mut secrets: Vec<String> = until_quote.map(str::to_owned).collect();
        assert!(
            secrets.iter().all(|secret| secret.len() >= 8),
            "{secrets:?}"
        );
        secrets.push(SECRET.to_owned());
        secrets.push("upload_token".to_owned());
        secrets
    }

    fn database(&self) -> PathBuf {
        self.scene.state_dir().join("journal")
    }

    /// Searches everything printed and written.
    pub(crate) fn assert_nothing_leaked(&self, sessions: usize) {
        let secrets = self.secrets();
        assert_eq!(secrets.len(), 2 + sessions, "the URLs went over this wire");
        for secret in &secrets {
            for text in &self.printed {
                assert!(!text.contains(&**secret), "{secret} was printed: {text}");
            }
        }
        let written = files(&self.scene.path(""));
        assert!(written.iter().any(|path| path.ends_with("lock")));
        for path in written
            .iter()
            .filter(|path| path.extension().is_none_or(|kind| kind != "mp4"))
        {
            let bytes = fs::read(path).unwrap();
            let in_database = path.starts_with(self.database());
            for secret in &secrets {
                // The journal holds the URL and never the token.
                let allowed = in_database && secret != SECRET;
                assert!(
                    allowed || !contains(&bytes, secret),
                    "{secret} is in {}",
                    path.display()
                );
            }
        }
    }
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn neither_token_nor_upload_url_is_printed_or_written_anywhere_but_into_the_journal() {
    let mut watched = Watched::new(
        &[],
        &["put chunk=1 nth=1 cut=1MB", "status nth=1 status=500"],
    );
    let file = watched.scene.video("clip.mp4", 16_000_000);
    let name = file.to_str().unwrap().to_owned();
    let args = [
        "upload",
        "--json",
        "--wire-log",
        "wire.jsonl",
        "--chunk-size",
        "5MiB",
        "--bwlimit",
        "10MB",
        &*name,
    ];

    // Killed on the way: an unfinished row with its URL is in the database, and nowhere else.
    let mut run = watched.command(&args).start();
    run.until_confirmed(5_000_000);
    watched.printed.push(run.told());
    assert!(run.kill());
    let url = files(&watched.database())
        .iter()
        .any(|path| contains(&fs::read(path).unwrap(), "upload_token"));
    assert!(url, "or this test looks at the wrong files");
    watched.assert_nothing_leaked(1);

    watched.run(&args, 0);
    watched.run(&args, 0);
    watched.run(&["list", "--json"], 0);
    watched.run(&["list"], 0);
    watched.run(&["status", "clip.mp4", "--json"], 0);
    assert_eq!(watched.scene.log().drafts, 1);
    watched.assert_nothing_leaked(1);
    let wire = fs::read_to_string(watched.scene.path("wire.jsonl")).unwrap();
    assert!(wire.lines().count() >= 6, "{wire}");
    assert!(wire.contains("content_range"), "{wire}");
}

#[test]
fn errors_of_every_kind_show_no_secret() {
    let faults = [
        "inbox_init nth=1 code=access_token_invalid",
        "inbox_init nth=2 code=invalid_params",
        "inbox_init nth=3-5 lose",
        "put upload=4 chunk=0 nth=1-3 status=400",
    ];
    let mut watched = Watched::new(&["limits=off"], &faults);
    watched.scene.video("clip.mp4", 12_000_000);
    let args = [
        "upload",
        "--wire-log",
        "wire.jsonl",
        "--chunk-size",
        "5MiB",
        "clip.mp4",
    ];
    watched.run(&args, 4);
    watched.run(&args, 1);
    watched.run(&args, 75);
    watched.run(&args, 1);
    let sessions = watched.scene.log().sessions.len();
    assert_eq!(sessions, 4);
    // Three of the URLs never came back.
    watched.assert_nothing_leaked(1);
}

#[test]
fn the_bearer_token_is_never_sent_to_the_upload_host() {
    let mut watched = Watched::new(&[], &[]);
    watched.scene.video("clip.mp4", 12_000_000);
    watched.run(&["upload", "clip.mp4", "--chunk-size", "5MiB"], 0);
    let requests = watched.proxy.requests();
    let heads: Vec<&str> = requests.split("PUT ").skip(1).collect();
    assert_eq!(heads.len(), 2, "{requests}");
    for head in heads {
        let head = head.split("\r\n\r\n").next().unwrap();
        assert!(
            !head.to_ascii_lowercase().contains("authorization"),
            "{head}"
        );
    }
    assert_eq!(watched.scene.log().notes, []);
}

#[test]
fn only_the_owner_can_read_what_is_kept() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    // A careless mask must not matter.
    let mut command = std::process::Command::new("sh");
    let upload = scene.command(["upload"]);
    command.env_clear().envs(
        upload
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    command.current_dir(scene.path(""));
    command.args([
        "-c",
        "umask 000; exec \"$0\" upload --json --wire-log wire.jsonl clip.mp4",
    ]);
    command.arg(env!("CARGO_BIN_EXE_chunkferry"));
    command.end().expect(0);
    let mut wrong = Vec::new();
    let mut check = |path: &Path, wanted: u32| {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        if mode != wanted {
            wrong.push(format!("{} is {mode:o}, not {wanted:o}", path.display()));
        }
    };
    let files = files(&scene.state_dir());
    assert!(files.len() >= 4, "{files:?}");
    check(&scene.state_dir(), 0o700);
    check(&scene.state_dir().join("journal"), 0o700);
    for file in &files {
        check(file, 0o600);
    }
    check(&scene.path("wire.jsonl"), 0o600);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_state_directory_that_was_open_to_all_still_hides_the_upload_url() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    fs::create_dir(scene.state_dir()).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scene.state_dir(), open).unwrap();
    scene.command(["upload", "clip.mp4"]).end().expect(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scene.state_dir()), 0o755, "it is the user's own");
    assert_eq!(mode(&scene.state_dir().join("journal")), 0o700);
    assert_eq!(mode(&scene.state_dir().join("history.jsonl")), 0o600);
}

#[test]
fn the_password_of_an_api_base_is_not_repeated() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    for base in [
        "https://u:s3cret@api.example",
        "https://u:s3cret@api.example:x",
        "http://api.example/?k=s3cret",
    ] {
        let ended = scene
            .command(["upload", "--json", "clip.mp4", "--api-base", base])
            .end()
            .expect(2);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            said.contains("api.example") && !said.contains("s3cret"),
            "{said}"
        );
    }
}

//! The image of docs/Dockerfile: the command needs nothing of a system but what lies in it and what every engine adds, which is
//! `/proc` and `/dev/null`. There is no engine here, so the root directory is laid by the command of the Dockerfile and entered as an
//! engine would.
//!
//! CHUNKFERRY_STATIC=FILE names the static program that docs/package.sh has built, and CHUNKFERRY_FULL=1 builds it. Otherwise the
//! program of the tests is taken, with the libraries that it names.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chunkferry::emulator::Emulator;

use crate::mount::is_root;
use crate::scene::{Scene, Start, full, settings};

/// The lines of the last stage of docs/Dockerfile and of the stages that it begins with: the instruction and what follows.
fn instructions() -> Vec<(String, String)> {
    let text = repository("docs/Dockerfile");
    let text = fs::read_to_string(text).unwrap();
    let (_, image) = text.split_once("FROM scratch").unwrap();
    let (base, rest) = image.split_once("\nFROM chunkferry AS emulator").unwrap();
    let (_, service) = rest.split_once("\nFROM chunkferry AS service").unwrap();
    let lines = base.lines().chain(service.lines());
    let lines = lines.filter_map(|line| line.split_once(' '));
    lines
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

fn instruction(word: &str) -> String {
    let found = instructions().into_iter().find(|(of, _)| of == word);
    found.unwrap_or_else(|| panic!("no {word}")).1
}

/// The words of a command in the form of JSON.
fn words(command: &str) -> Vec<String> {
    let list = &command[command.find('[').unwrap()..];
    serde_json::from_str(list).unwrap()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// The root directory of the image.
struct Image {
    root: PathBuf,
}

impl Image {
    /// `None`, and said, where nobody may enter it.
    fn new(scene: &Scene) -> Option<Self> {
        let namespace = Command::new("unshare")
            .args(["-m", "-p", "-f", "true"])
            .output();
        if !is_root() || !namespace.is_ok_and(|done| done.status.success()) {
            eprintln!("NOT TESTED: the image, whose root directory only root can enter");
            return None;
        }
        let root = scene.path("image");
        let mut build = Command::new(repository("docs/package.sh"));
        build.arg("root").arg(&root);
        let built = std::env::var_os("CHUNKFERRY_STATIC").map(PathBuf::from);
        let of_tests = PathBuf::from(env!("CARGO_BIN_EXE_chunkferry"));
        match &built {
            Some(built) => drop(build.env("CHUNKFERRY_BUILT", built)),
            None if full() => {}
            None => drop(build.env("CHUNKFERRY_BUILT", &of_tests)),
        }
        done(&mut build);
        let libraries = Command::new("ldd").arg(root.join("chunkferry")).output();
        let libraries = String::from_utf8(libraries.unwrap().stdout).unwrap();
        let mut libraries: Vec<&str> = libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
            .collect();
        libraries.retain(|path| Path::new(path) != root.join("chunkferry"));
        if built.is_some() || full() {
            assert_eq!(libraries, Vec::<&str>::new(), "the program is not static");
        }
        for library in libraries {
            let to = root.join(library.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            done(Command::new("cp").arg("-L").arg(library).arg(&to));
        }
        // What an engine adds.
        for dir in ["proc", "dev"] {
            fs::create_dir(root.join(dir)).unwrap();
        }
        fs::write(root.join("dev/null"), "").unwrap();
        // What COPY --chown does.
        let image = Self { root };
        let user = instruction("USER");
        done(Command::new("chown").arg(&user).arg(image.path("state")));
        let owned = format!("--chown={user} /image/state /state");
        let copies = instructions()
            .into_iter()
            .filter(|(word, _)| word == "COPY");
        assert!(
            copies
                .map(|(_, rest)| rest)
                .any(|rest| rest.contains(&owned)),
            "{owned}"
        );
        Some(image)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Runs the entry point with these arguments as the image's user, in its environment and in processes of its own.
    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let script = r#"mount --bind /dev/null "$1/dev/null" && mount -t proc proc "$1/proc" || exit
            root=$1 user=$2; shift 2
            exec chroot --userspec="$user" "$root" "$@""#;
        let mut command = Command::new("unshare");
        command.args(["-m", "-p", "-f", "--kill-child", "sh", "-c", script, "sh"]);
        command.arg(&self.root).arg(instruction("USER"));
        command
            .args(words(&instruction("ENTRYPOINT")))
            .args(args)
            .env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let setting = instruction("ENV");
        let (name, value) = setting.split_once('=').unwrap();
        command.env(name, value);
        command
    }
}

#[test]
fn the_image_lacks_nothing_that_a_demonstration_or_a_service_needs() {
    let scene = Scene::new(&[], &[]);
    let Some(image) = Image::new(&scene) else {
        return;
    };
    if full() {
        let demo = image.run(["demo"]).end().expect(0);
        assert!(
            demo.stdout
                .contains("bytes acknowledged then sent again: 0"),
            "{demo:?}"
        );
    }
    scene.video_in(&image.root, "clip.mp4", 1_000_000);
    let alone = image
        .run(["upload", "/clip.mp4", "--emulator"])
        .end()
        .expect(0);
    assert!(alone.stdout.contains("delivered"), "{alone:?}");

    let doctor = image.run(["doctor"]).end().stdout;
    assert!(
        doctor.contains("ok       TLS: this system trusts"),
        "{doctor}"
    );

    let volume = instruction("VOLUME");
    assert!(instruction("ENV").ends_with(&volume));
    let health = || {
        let words = words(&instruction("HEALTHCHECK"));
        assert_eq!(words[0], self::words(&instruction("ENTRYPOINT"))[0]);
        image.run(&words[1..]).end()
    };
    let mut service = image.run(words(&instruction("CMD"))).start();
    service.until_told("Listening on /state/socket");
    health().expect(0);
    // The service is the first process of its namespace, as in a container.
    let pid = service.pid();
    let first = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    done(Command::new("kill").args(["-TERM", first.trim()]));
    assert_eq!(service.end().expect(0).code, Some(0));
    health().expect(75);
    assert!(!image.path("state/socket").exists());
    assert!(
        image.path("state/journal").exists(),
        "the volume keeps what was done"
    );
}

#[test]
fn an_upload_from_the_image_knows_names_and_the_certificates_it_is_given() {
    let scene = Scene::new(&[], &[]);
    let Some(image) = Image::new(&scene) else {
        return;
    };
    let ca = image.path("ca.pem");
    let builder = Emulator::builder().settings(settings(&[])).tls(&ca);
    let emulator = builder.start_blocking().unwrap();
    fs::set_permissions(&ca, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    scene.video_in(&image.root, "clip.mp4", 12_000_000);
    // Through the hosts file of the image, which is what `localhost` needs.
    let base = format!("https://localhost:{}", emulator.address().port());
    let upload = |trust: &[&str]| {
        let args = [
            "upload",
            "/clip.mp4",
            "--account",
            "lena",
            "--api-base",
            &base,
        ];
        let mut command = image.run(args.iter().chain(trust));
        command
            .args(["--patience", "2"])
            .env("TIKTOK_ACCESS_TOKEN", "act.lena.1");
        command.end()
    };
    let refused = upload(&[]).expect(4);
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    upload(&["--ca-file", "/ca.pem"]).expect(0);
    assert_eq!(emulator.log().drafts, 1);
    fs::remove_file(image.path("etc/hosts")).unwrap();
    let nameless = upload(&["--ca-file", "/ca.pem", "--again"]).expect(75);
    assert!(
        nameless.stderr.contains("name resolution") || nameless.stderr.contains("not known"),
        "{nameless:?}"
    );
}

//! Each page of a habit (cron, systemd, ffmpeg, …) has what works as it stands there: its lines are run, and its files are read by the
//! programs that they are for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::docs::{block, blocks, configure, page, program, serve, shell};
use crate::scene::{Ended, Scene, Start};
use crate::support;

/// Whether a program of a habit is on this machine.
fn has(name: &str, argument: &str) -> bool {
    let ran = Command::new(name).arg(argument).output();
    let found = ran.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("NOT TESTED: the habit needs {name} {argument}");
    }
    found
}

/// The documents of a YAML file; `None` without a reader.
fn yaml(text: &str) -> Option<Vec<Value>> {
    if !has("python3", "-cimport yaml") {
        return None;
    }
    let script =
        "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut python = Command::new("python3");
    python.args(["-c", script]);
    let python = python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A manifest with one video of lena's.
fn manifest(scene: &Scene) {
    scene.video("clip.mp4", 1_000_000);
    let line = "{\"file\": \"clip.mp4\", \"account\": \"lena\"}\n";
    fs::write(scene.path("night.jsonl"), line).unwrap();
}

#[test]
fn cron_is_silent_when_all_is_well_and_its_mail_names_what_failed() {
    let page = page("docs/habits/cron.md");
    let table = block(&page, "text");
    let line = table.lines().last().unwrap();
    let (times, command) = line.split_once("  ").unwrap();
    assert_eq!(times.split(' ').count(), 5, "{line}");
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    manifest(&scene);
    let night = || shell(&scene, command).end();
    for _ in 0..2 {
        let ended = night().expect(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    }
    assert_eq!(scene.log().drafts, 1);
    let manifest = "{\"file\": \"lost.mp4\", \"account\": \"lena\"}\n";
    fs::write(scene.path("night.jsonl"), manifest).unwrap();
    let ended = night();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("lost.mp4"), "{ended:?}");
}

#[test]
fn the_units_are_units_for_systemd_and_the_nightly_one_uploads() {
    let page = page("docs/habits/systemd.md");
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    manifest(&scene);
    let mut units = vec![(
        "chunkferry.service",
        crate::docs::page("docs/chunkferry.service"),
    )];
    for (_, text) in blocks(&page).iter().filter(|block| block.0 == "ini") {
        let name = text.lines().next().unwrap().rsplit('/').next().unwrap();
        units.push((name, (*text).to_owned()));
    }
    assert_eq!(units.len(), 3);
    let (_, nightly) = &units[1];
    let start = nightly
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let start = start.unwrap().replace("/usr/local/bin/", "");
    let start = start.replace("/srv/", scene.path("").to_str().unwrap());
    shell(&scene, &start).end().expect(0);
    assert_eq!(scene.log().drafts, 1);
    if !has("systemd-analyze", "--version") {
        return;
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for (name, text) in &units {
        let text = text.replace(
            "/usr/local/bin/chunkferry",
            env!("CARGO_BIN_EXE_chunkferry"),
        );
        fs::write(scene.path(name), text).unwrap();
        verify.arg(scene.path(name));
    }
    let ended = verify.end().expect(0);
    // It also speaks of the units of this machine.
    let said = ended
        .stderr
        .lines()
        .find(|line| line.contains("chunkferry"));
    assert_eq!(said, None);
}

#[test]
fn what_ffmpeg_writes_is_in_the_inbox_once_it_is_whole() {
    if !has("ffmpeg", "-version") {
        return;
    }
    let page = page("docs/habits/ffmpeg.md");
    let commands: Vec<&str> = blocks(&page).into_iter().map(|block| block.1).collect();
    let [write, watch, upload, piped] = commands[..] else {
        panic!("{commands:?}");
    };
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    fs::create_dir(scene.path("render")).unwrap();
    let source = "ffmpeg -v error -f lavfi -i testsrc2=s=320x180:d=1 -c:v mpeg4 master.mov";
    shell(&scene, source).end().expect(0);
    let running = serve(&scene, watch.trim_end());
    shell(&scene, write).end().expect(0);
    scene.sees("the draft", |log| log.drafts == 1);
    scene.assert_one_draft_of(&scene.path("render/clip.mp4"));
    // The service has it.
    shell(&scene, upload).end().expect(0);
    // Through a pipe, beside the service and without it; the same id once more is the same video.
    shell(&scene, piped).end().expect(0);
    let again = shell(&scene, piped).end().expect(0);
    assert!(again.stdout.contains("already_delivered"), "{again:?}");
    running.signal("-TERM");
    running.end().expect(0);
    let alone = piped.replace("--id night-7", "--id night-8 --service none");
    shell(&scene, &alone).end().expect(0);
    assert!([2, 3].contains(&scene.log().drafts), "{:?}", scene.log());
}

#[test]
fn each_step_of_the_github_workflow_runs() {
    let page = page("docs/habits/github-actions.md");
    let emulator = support::emulator::<&str>([]);
    let port = emulator.url().rsplit(':').next().unwrap().to_owned();
    drop(emulator);
    let Some(workflow) = yaml(&block(&page, "yaml").replace("8787", &port)) else {
        return;
    };
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    // What a repository would have: the tarball and a test.
    fs::create_dir_all(scene.path("tools")).unwrap();
    let exec = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_chunkferry")
    );
    program(&scene, "made", &exec);
    let pack = "mkdir made; mv bin/made made/chunkferry; tar czf tools/chunkferry.tar.gz made";
    shell(&scene, pack).end().expect(0);
    let test = "#!/bin/sh\nexport TIKTOK_ACCESS_TOKEN=act.lena.1\n\
        exec chunkferry upload clip.mp4 --api-base $CHUNKFERRY_EMULATOR_URL\n";
    fs::rename(program(&scene, "test.sh", test), scene.path("test.sh")).unwrap();
    let steps = workflow[0]["jobs"]["test"]["steps"].as_array().unwrap();
    // One shell, as steps share a machine; each step is a shell of its own in it, which ends at the first error.
    let mut script = "exec 2>&1\nGITHUB_PATH=$PWD/path\ntouch path\nexport GITHUB_PATH\n\
        trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n"
        .to_owned();
    let mut count = 0;
    for step in steps {
        let Some(run) = step["run"].as_str() else {
            continue;
        };
        count += 1;
        let listening = match step["name"]
            .as_str()
            .unwrap()
            .starts_with("Start an emulator")
        {
            true => run.replace(
                "chunkferry emulator ",
                &format!("chunkferry emulator --listen 127.0.0.1:{port} "),
            ),
            false => run.to_owned(),
        };
        let env = step["env"].as_object().into_iter().flatten();
        let env: Vec<String> = env
            .map(|(name, value)| format!("export {name}={}", value.as_str().unwrap()))
            .collect();
        script.push_str(&format!(
            "{}\n{listening}\nPATH=$(cat path):$PATH\n",
            env.join("\n")
        ));
    }
    assert_eq!(count, 5);
    let ended = shell(&scene, &script)
        .env_remove("CHUNKFERRY_API_BASE")
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

/// What a container of a Kubernetes manifest runs, on this machine: its files below the scene, and a free port.
fn container(scene: &Scene, container: &Value) -> Command {
    let here = |text: &str| {
        let mut text = text.replace("0.0.0.0:8790", "0.0.0.0:0");
        for mount in container["volumeMounts"].as_array().unwrap() {
            let path = mount["mountPath"].as_str().unwrap();
            if text.starts_with(path) {
                text = format!("{}{text}", scene.path("").display());
            }
        }
        text
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
    command.env_clear().arg("--json");
    for argument in container["args"].as_array().unwrap() {
        command.arg(here(argument.as_str().unwrap()));
    }
    for variable in container["env"].as_array().unwrap() {
        let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
        command.env(name, here(value));
    }
    command
}

#[test]
fn the_pods_of_kubernetes_send_a_video_and_answer_the_probes() {
    let Some(documents) = yaml(&page("docs/habits/kubernetes.yaml")) else {
        return;
    };
    let kinds = documents
        .iter()
        .map(|document| document["kind"].as_str().unwrap());
    let kinds: BTreeMap<&str, &Value> = kinds.zip(&documents).collect();
    let deployment = &kinds["Deployment"]["spec"];
    assert_eq!(deployment["replicas"], 1);
    assert_eq!(deployment["strategy"]["type"], "Recreate");
    let [service, job] = [deployment, &kinds["Job"]["spec"]].map(|spec| &spec["template"]["spec"]);
    for spec in [service, job] {
        // A mount without a volume is refused by the cluster.
        let mounts = spec["containers"][0]["volumeMounts"].as_array().unwrap();
        let volumes = spec["volumes"].as_array().unwrap();
        let named = |mount: &Value| volumes.iter().any(|volume| volume["name"] == mount["name"]);
        assert!(mounts.iter().all(named), "{spec:#}");
    }
    let command = page("docs/habits/kubernetes.md");
    let command = block(&command, "sh")
        .trim()
        .replace("clip.mp4", "/videos/clip.mp4");
    let arguments = job["containers"][0]["args"].as_array().unwrap();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(command, format!("chunkferry {}", arguments.join(" ")));

    let scene = Scene::new(&[], &[]);
    for dir in ["state", "config", "videos"] {
        fs::create_dir(scene.path(dir)).unwrap();
    }
    let clip = scene.video("videos/clip.mp4", 1_000_000);
    fs::write(
        scene.path("config/config.toml"),
        format!(
            "api_base = \"{}\"\n[accounts.lena]\ntoken_command = \"echo act.lena.1\"\n",
            scene.emulator.url()
        ),
    )
    .unwrap();
    let keys = "[[key]]\nname = \"metrics\"\nrole = \"metrics\"\n\
        sha256 = \"da98040a1d7f52502b6adef76ac40bbd63018133a78e9e06fb0ae15ce9cacb64\"\n";
    fs::write(scene.path("config/keys.toml"), keys).unwrap();
    let container_of = |spec: &Value| container(&scene, &spec["containers"][0]);
    let mut path = container_of(service);
    let mut running = path.env("PATH", "/usr/bin:/bin").start();
    let line = running.until("it listens", |line| line["event"] == "listening");
    let url = line["url"]
        .as_str()
        .unwrap()
        .replace("0.0.0.0", "127.0.0.1");
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = service["containers"][0][probe]["httpGet"]["path"]
            .as_str()
            .unwrap();
        let answer = Command::new("curl")
            .args(["-sf", &format!("{url}{path}")])
            .end();
        assert_eq!(answer.code, Some(0), "{url}{path}: {answer:?}");
    }
    // The second one is the pod that takes the place of a lost one.
    for outcome in ["delivered", "delivered"] {
        let ended: Ended = container_of(job).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], outcome, "{}", ended.stdout);
    }
    scene.assert_one_draft_of(&clip);
    running.signal("-TERM");
    running.end().expect(0);
}

#[test]
fn the_task_of_airflow_repeats_what_another_run_can_cure_and_nothing_else() {
    if !has("python3", "--version") {
        return;
    }
    let page = page("docs/habits/airflow.md");
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    let clip = scene.video("clip.mp4", 1_000_000);
    fs::create_dir(scene.path("airflow")).unwrap();
    let plain = "def task(**options):\n    return lambda function: function\n\n\ndag = task\n";
    fs::write(scene.path("airflow/decorators.py"), plain).unwrap();
    let errors = "class AirflowException(Exception):\n    pass\n\n\nclass AirflowFailException(AirflowException):\n    pass\n";
    fs::write(scene.path("airflow/exceptions.py"), errors).unwrap();
    fs::write(scene.path("airflow/__init__.py"), "").unwrap();
    let night = block(&page, "python").replace("/videos/clip.mp4", clip.to_str().unwrap());
    fs::write(scene.path("night.py"), night).unwrap();
    let run = || shell(&scene, "python3 night.py").end();
    run().expect(0);
    scene.assert_one_draft_of(&clip);
    for (code, error) in [
        (1, "AirflowFailException"),
        (4, "AirflowFailException"),
        (5, "AirflowFailException"),
        (75, "AirflowException"),
        (143, "AirflowException"),
    ] {
        fs::remove_file(scene.path("bin/chunkferry")).unwrap();
        program(&scene, "chunkferry", &format!("#!/bin/sh\nexit {code}\n"));
        let ended = run();
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(&format!(".{error}:")), "{code}: {ended:?}");
    }
}

/// Runs the page of a client, and compares what it shows.
fn client(name: &str, interpreter: &str) {
    if !has(interpreter, "--version") {
        return;
    }
    let page = page(&format!("docs/habits/{name}.md"));
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    let clip = scene.video("clip.mp4", 1_000_000);
    symlink(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"),
        scene.path("docs"),
    )
    .unwrap();
    let running = serve(&scene, "chunkferry serve");
    let ended = shell(&scene, block(&page, "sh")).end().expect(0);
    let [seen, shown] = [&ended.stdout, block(&page, "text")].map(|text| text.lines());
    for (seen, shown) in seen.zip(shown) {
        let (start, _) = shown.split_once('…').unwrap_or((shown, ""));
        assert!(seen.starts_with(start), "{}", ended.stdout);
    }
    let draft = scene.assert_one_draft_of(&clip);
    assert!(ended.stdout.contains(&draft.publish_id), "{}", ended.stdout);
    running.signal("-TERM");
    running.end().expect(0);
}

#[test]
fn the_python_page_hands_a_video_to_the_service_and_reads_the_lines_of_the_command() {
    client("python", "python3");
    if !has("python3", "--version") {
        return;
    }
    let page = page("docs/habits/python.md");
    let scene = Scene::new(&[], &[]);
    configure(&scene);
    let clip = scene.video("clip.mp4", 1_000_000);
    fs::write(scene.path("upload.py"), block(&page, "python")).unwrap();
    let ended = shell(&scene, "python3 upload.py").end().expect(0);
    let draft = scene.assert_one_draft_of(&clip);
    assert_eq!(ended.stdout, format!("delivered {}\n", draft.publish_id));
}

#[test]
fn the_node_page_hands_a_video_to_the_service() {
    client("node", "node");
}

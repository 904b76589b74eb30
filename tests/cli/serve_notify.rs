//! Calls at each end of a job: what `[[notify]]` and `--on-end` of `serve` deliver, to receivers that fail in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scene::{Scene, Start};
use crate::secrets::files;
use crate::serve::{Service, command, wish};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// How many times faster the waits between attempts are.
const SCALE: &str = "100";

/// What a receiver has heard.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    head: BTreeMap<String, String>,
    body: String,
    pub(crate) number: u64,
}

impl Call {
    /// Reads a request; `None` if the connection breaks.
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut head = BTreeMap::new();
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            head.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = vec![0; head.get("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).unwrap();
        let notice: Value = serde_json::from_str(&body).unwrap();
        let number = notice["number"].as_u64().unwrap();
        Some(Self { head, body, number })
    }

    fn id(&self) -> &str {
        &self.head["webhook-id"]
    }

    /// Checks the signature as Standard Webhooks says, by code that shares nothing with the command's.
    fn check(&self) {
        let key = STANDARD
            .decode(SECRET.strip_prefix("whsec_").unwrap())
            .unwrap();
        let text = format!(
            "{}.{}.{}",
            self.id(),
            self.head["webhook-timestamp"],
            self.body
        );
        let expected = format!("v1,{}", STANDARD.encode(hmac(&key, text.as_bytes())));
        assert_eq!(self.head["webhook-signature"], expected);
        assert_eq!(self.head["content-type"], "application/json");
        let id: Vec<&str> = self.id().split('_').collect();
        assert_eq!((id.len(), id[0], id[1].len()), (3, "msg", 16));
        assert_eq!(id[2], self.number.to_string());
    }
}

/// HMAC-SHA256 by RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let with = |pad: u8, text: &[u8]| {
        let inner: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        Sha256::digest([&inner, text].concat())
    };
    with(0x5c, &with(0x36, text)).into()
}

#[test]
fn the_check_of_signatures_computes_the_published_hmac() {
    // RFC 4231, test case 2.
    let found = hmac(b"Jefe", b"what do ya want for nothing?");
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hex::encode(found), expected);
}

/// What a receiver does with a call.
#[derive(Debug, Clone)]
enum Reply {
    Status(u16),
    /// A status with one more line in the head.
    With(u16, String),
    /// Nothing, until the caller leaves.
    Hang,
    Close,
}

type Behaviour = Box<dyn FnMut(&Call) -> Reply + Send>;

/// A server that plays a receiver.
pub(crate) struct Receiver {
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self::at(0)
    }

    /// On a port that a receiver may have had before.
    fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let good: Behaviour = Box::new(|_| Reply::Status(204));
        let receiver = Self {
            port,
            calls: Arc::default(),
            behaviour: Arc::new(Mutex::new(good)),
        };
        let (calls, behaviour) = (Arc::clone(&receiver.calls), Arc::clone(&receiver.behaviour));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (calls, behaviour) = (Arc::clone(&calls), Arc::clone(&behaviour));
                thread::spawn(move || answer(&stream.unwrap(), &calls, &behaviour));
            }
        });
        receiver
    }

    fn behave(&self, behaviour: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    /// The calls that were checked.
    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn numbers(&self) -> Vec<u64> {
        self.calls().iter().map(|call| call.number).collect()
    }

    /// Waits for calls.
    fn hears(&self, what: &str, heard: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        until(what, || {
            let calls = self.calls();
            heard(&calls).then_some(calls)
        })
    }

    pub(crate) fn hears_all(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<Call> {
        let numbers: BTreeSet<u64> = numbers.into_iter().collect();
        self.hears(&format!("{numbers:?}"), |calls| {
            let heard: BTreeSet<u64> = calls.iter().map(|call| call.number).collect();
            heard.is_superset(&numbers)
        })
    }

    /// An entry of the config that calls this receiver.
    pub(crate) fn entry(&self, scene: &Scene, name: &str, more: &str) -> String {
        let secret = scene.path("hook.secret");
        fs::write(&secret, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        format!(
            "[[notify]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{}/hook?key=s3cr3t\"\nsecret_file = \"hook.secret\"\n{more}\n",
            self.port
        )
    }
}

fn answer(stream: &TcpStream, calls: &Mutex<Vec<Call>>, behaviour: &Mutex<Behaviour>) {
    let Some(call) = Call::read(stream) else {
        return;
    };
    call.check();
    let reply = {
        let mut behaviour = behaviour.lock().unwrap();
        calls.lock().unwrap().push(call.clone());
        behaviour(&call)
    };
    let (status, more) = match reply {
        Reply::Status(status) => (status, String::new()),
        Reply::With(status, line) => (status, format!("{line}\r\n")),
        Reply::Hang => {
            // Until the caller closes.
            let _ = (&mut &*stream).read(&mut [0]);
            return;
        }
        Reply::Close => return,
    };
    let text =
        format!("HTTP/1.1 {status} x\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
    // The caller may have been killed.
    let _ = (&mut &*stream).write_all(text.as_bytes());
}

#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// `serve` with these entries in its config.
fn prepared(scene: &Scene, entries: &[String], more: &[&str]) -> Command {
    let mut command = command(scene, more);
    let config = scene.path("config.toml");
    let text = fs::read_to_string(&config).unwrap() + &entries.concat();
    fs::write(config, text).unwrap();
    command.env("CHUNKFERRY_CLOCK_SCALE", SCALE);
    command
}

fn start(scene: &Scene, entries: &[String], more: &[&str]) -> Service {
    let socket = scene.state_dir().join("socket");
    Service::of(&mut prepared(scene, entries, more), socket)
}

/// Submits a job that ends at once, as its file is missing; waits for its end.
fn one_end(scene: &Scene, service: &Service, account: &str) {
    let missing = scene.path("missing.mp4");
    let job = service.post(None, &wish(&missing, account)).expect(202);
    service.ended(&job.json()["id"]);
}

fn target(service: &Service, name: &str) -> Value {
    let all = service.get("/v1/notify");
    let targets = all["targets"].as_array().unwrap();
    let found = targets.iter().find(|target| target["name"] == name);
    found.unwrap_or_else(|| panic!("{all}")).clone()
}

/// Waits until a target has been given everything.
fn until_done(service: &Service, name: &str) -> Value {
    until(&format!("{name} is done"), || {
        let target = target(service, name);
        (target["behind"] == 0).then_some(target)
    })
}

#[test]
fn each_end_is_posted_once_as_the_events_have_it_and_signed() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let mut started = prepared(&scene, &[receiver.entry(&scene, "hook", "")], &[]);
    started.env("CHUNKFERRY_LOG", "trace");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let file = scene.video("clip.mp4", 1_000_000);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    service.ended(&job["id"]);
    one_end(&scene, &service, "mia");
    receiver.hears_all(1..=2);
    let shown = until_done(&service, "hook");
    let events = service.events();
    let calls = receiver.calls();
    assert_eq!(receiver.numbers(), [1, 2]);
    for (call, event) in calls.iter().zip(&events) {
        assert_eq!(serde_json::from_str::<Value>(&call.body).unwrap(), *event);
    }
    assert_eq!(events[0]["end"]["outcome"], "delivered");
    assert_eq!(shown["kind"], "url");
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    assert_eq!(shown["url"], url);
    assert_eq!(
        [&shown["cursor"], &shown["failing"], &shown["given_up"]],
        [&json!(2), &json!(0), &json!(0)]
    );
    assert!(shown["last_success"].is_string() && shown["last_error"].is_null());
    let path = scene.state_dir().join("notify/hook.json");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // A failure is told without the query.
    receiver.behave(|_| Reply::Close);
    one_end(&scene, &service, "noa");
    let mut said = until("a failure", || {
        let target = target(&service, "hook");
        target["last_error"].is_string().then(|| target.to_string())
    });
    service.running.signal("-TERM");
    let ended = service.running.end().expect(0);
    said += &(ended.stdout + &ended.stderr);
    assert!(said.contains("notice 3 was not delivered"), "{said}");
    for file in files(&scene.state_dir()) {
        said += &String::from_utf8_lossy(&fs::read(file).unwrap());
    }
    for secret in ["s3cr3t", SECRET, &SECRET[6..]] {
        assert!(!said.contains(secret), "{secret}");
    }
}

#[test]
fn a_receiver_that_refuses_hangs_or_is_away_gets_each_end_later_and_holds_up_no_other() {
    let scene = Scene::new(&[], &[]);
    let (receiver, elsewhere) = (Receiver::new(), Receiver::new());
    let location = format!("location: http://127.0.0.1:{}/hook", elsewhere.port);
    // 1 is refused until 5 was there, 2 hangs once, 3 is cut once, 4 is redirected once.
    let mut seen = BTreeSet::new();
    receiver.behave(move |call| {
        let is_first = seen.insert(call.number);
        match call.number {
            1 if !seen.contains(&5) => Reply::Status(500),
            2 if is_first => Reply::Hang,
            3 if is_first => Reply::Close,
            4 if is_first => Reply::With(307, location.clone()),
            _ => Reply::Status(200),
        }
    });
    let entry = receiver.entry(&scene, "hook", "");
    let service = start(&scene, std::slice::from_ref(&entry), &[]);
    for _ in 0..5 {
        one_end(&scene, &service, "lena");
    }
    let shown = until_done(&service, "hook");
    assert_eq!(
        (&shown["cursor"], &shown["given_up"]),
        (&json!(5), &json!(0))
    );
    let calls = receiver.calls();
    let last_of_1 = calls.iter().rposition(|call| call.number == 1);
    let first_of_5 = calls.iter().position(|call| call.number == 5);
    assert!(last_of_1 > first_of_5, "{:?}", receiver.numbers());
    assert_eq!(receiver.numbers().iter().filter(|of| **of == 5).count(), 1);
    let ids: BTreeSet<&str> = calls.iter().map(Call::id).collect();
    assert_eq!(ids.len(), 5, "an id stays as it is: {ids:?}");
    assert!(elsewhere.numbers().is_empty());

    // Away: over a restart of the service, too.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert!(service.running.kill());
    let entry = entry.replace(&receiver.port.to_string(), &port.to_string());
    let service = start(&scene, std::slice::from_ref(&entry), &[]);
    one_end(&scene, &service, "lena");
    until("a failure", || {
        let target = target(&service, "hook");
        (target["failing"] == 1 && target["behind"] == 1).then_some(())
    });
    assert!(service.running.kill());
    let service = start(&scene, &[entry], &[]);
    one_end(&scene, &service, "lena");
    let back = Receiver::at(port);
    back.hears_all(6..=7);
    until_done(&service, "hook");
}

#[test]
fn when_64_fail_the_others_wait_and_none_is_lost() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    receiver.behave(|_| Reply::Status(503));
    let service = start(&scene, &[receiver.entry(&scene, "hook", "")], &[]);
    for _ in 0..70 {
        one_end(&scene, &service, "lena");
    }
    let shown = until("64 fail", || {
        let target = target(&service, "hook");
        (target["failing"] == 64).then_some(target)
    });
    assert_eq!(
        (&shown["cursor"], &shown["behind"]),
        (&json!(64), &json!(70))
    );
    assert!(receiver.numbers().iter().all(|number| *number <= 64));
    receiver.behave(|_| Reply::Status(200));
    receiver.hears_all(1..=70);
    until_done(&service, "hook");
}

#[test]
fn a_kill_between_delivery_and_record_repeats_the_same_id_and_loses_nothing() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let entries = [receiver.entry(&scene, "hook", "")];
    // What is delivered, and not answered before the service dies.
    let held = Arc::new(Mutex::new(BTreeSet::from([2, 3, 5])));
    let holds = Arc::clone(&held);
    receiver.behave(
        move |call| match holds.lock().unwrap().contains(&call.number) {
            true => Reply::Hang,
            false => Reply::Status(200),
        },
    );
    let mut service = start(&scene, &entries, &[]);
    for _ in 0..6 {
        one_end(&scene, &service, "lena");
    }
    for number in [2, 3, 5] {
        receiver.hears_all([number]);
        assert!(service.running.kill());
        held.lock().unwrap().remove(&number);
        service = start(&scene, &entries, &[]);
    }
    receiver.hears_all(1..=6);
    until_done(&service, "hook");
    let mut by_number: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
    for call in receiver.calls() {
        let of = (call.id().to_owned(), call.body.clone());
        by_number.entry(call.number).or_default().push(of);
    }
    for (number, calls) in &by_number {
        assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
        let repeated = [2, 3, 5].contains(number);
        assert!(!repeated || calls.len() > 1, "{number}");
    }
}

#[test]
fn a_command_gets_each_end_on_its_input_again_if_it_fails_and_what_it_says_is_escaped() {
    let scene = Scene::new(&[], &[]);
    let heard = scene.path("heard");
    let line = "cat >> heard; printf '\\033[31mred\\n'; [ -e failed ] || { touch failed; exit 7; }";
    let service = start(&scene, &[], &["--on-end", line]);
    one_end(&scene, &service, "lena");
    one_end(&scene, &service, "lena");
    let shown = until_done(&service, "on-end");
    assert_eq!(
        (&shown["kind"], &shown["url"]),
        (&json!("command"), &Value::Null)
    );
    let error = shown["last_error"].as_str().unwrap();
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(!shown.to_string().contains("touch"), "{shown}");
    let text = fs::read_to_string(&heard).unwrap();
    let heard = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut numbers: Vec<u64> = heard
        .map(|notice| notice.unwrap()["number"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 2]);
    let told = service.running.told();
    assert!(told.contains("red") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn a_command_that_hangs_ends_with_the_drain_and_runs_again_after_it() {
    let scene = Scene::new(&[], &[]);
    let line = "sleep 600 & echo $! > pid; wait";
    let service = start(&scene, &[], &["--on-end", line, "--drain", "1"]);
    one_end(&scene, &service, "lena");
    let pid = until("a command", || {
        let text = fs::read_to_string(scene.path("pid")).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    });
    service.running.signal("-TERM");
    service.running.end().expect(0);
    until("the group has ended", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    let service = start(&scene, &[], &["--on-end", "cat > heard"]);
    until_done(&service, "on-end");
    assert!(
        fs::read_to_string(scene.path("heard"))
            .unwrap()
            .contains("\"number\":1")
    );
}

#[test]
fn an_attempt_in_flight_has_until_the_end_of_the_drain() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let entries = [receiver.entry(&scene, "hook", "")];
    receiver.behave(|_| {
        thread::sleep(Duration::from_millis(700));
        Reply::Status(200)
    });
    let mut service = start(&scene, &entries, &[]);
    one_end(&scene, &service, "lena");
    receiver.hears_all([1]);
    service.running.signal("-TERM");
    service.running.until_told("a second signal");
    service.running.end().expect(0);
    let service = start(&scene, &entries, &[]);
    until_done(&service, "hook");
    assert_eq!(receiver.numbers(), [1]);
}

#[test]
fn targets_get_the_accounts_and_kinds_they_want_and_jobs_name_one_but_bring_none() {
    let scene = Scene::new(&[], &[]);
    let [all, some, named, parked] = [(); 4].map(|()| Receiver::new());
    let entries = [
        all.entry(&scene, "all", ""),
        some.entry(
            &scene,
            "some",
            "accounts = [\"n*\", \"mi*\"]\nkinds = [\"ended\"]",
        ),
        named.entry(&scene, "named", "when_named = true"),
        parked.entry(&scene, "parked", "kinds = [\"parked\", \"unparked\"]"),
    ];
    let service = start(&scene, &entries, &[]);
    for account in ["lena", "mia", "noa", "ole"] {
        one_end(&scene, &service, account);
    }
    let missing = scene.path("missing.mp4");
    let job =
        |name: &str| json!({ "account": "lena", "file": missing, "notify": name }).to_string();
    let named_job = service
        .post(Some("a"), job("named").as_bytes())
        .expect(202)
        .json();
    assert_eq!(named_job["notify"], "named");
    service.ended(&named_job["id"]);
    // The name is a part of what an id stands for.
    service.post(Some("a"), job("named").as_bytes()).expect(200);
    for other in [
        job("all"),
        String::from_utf8(wish(&missing, "lena")).unwrap(),
    ] {
        let other = other.replace(&format!(",\"chunk_size\":{}", crate::scene::CHUNK), "");
        let problem = service.post(Some("a"), other.as_bytes()).expect(409).json();
        assert_eq!(problem["field"], "notify", "{problem}");
    }
    // Nothing but a name is taken.
    for name in ["nobody", "", "http://127.0.0.1/?s3cr3t", "touch me"] {
        let problem = service.post(None, job(name).as_bytes()).expect(400).json();
        assert_eq!(problem["field"], "notify", "{problem}");
        assert!(!problem.to_string().contains("s3cr3t"), "{problem}");
    }
    assert_eq!(service.get("/v1/jobs")["jobs"].as_array().unwrap().len(), 5);
    all.hears_all(1..=5);
    for name in ["all", "some", "named", "parked"] {
        let shown = until_done(&service, name);
        assert_eq!(shown["cursor"], 5, "{shown}");
    }
    assert_eq!(all.numbers(), [1, 2, 3, 4, 5]);
    assert_eq!(some.numbers(), [2, 3]);
    assert_eq!(named.numbers(), [5]);
    assert!(parked.numbers().is_empty());
    let events = service.events();
    assert_eq!(
        (&events[0]["notify"], &events[4]["notify"]),
        (&Value::Null, &json!("named"))
    );
}

#[test]
fn a_new_target_begins_with_its_first_start_and_a_known_one_where_it_was() {
    let scene = Scene::new(&[], &[]);
    let (one, two) = (Receiver::new(), Receiver::new());
    let entries = [one.entry(&scene, "one", ""), two.entry(&scene, "two", "")];
    let again = |service: Service, entries: &[String]| {
        service.running.signal("-TERM");
        service.running.end().expect(0);
        let mut command = prepared(&scene, entries, &[]);
        // The times of notices are compared with the time of the start.
        command.env_remove("CHUNKFERRY_CLOCK_SCALE");
        Service::of(&mut command, scene.state_dir().join("socket"))
    };
    let mut first = prepared(&scene, &entries[..1], &[]);
    first.env_remove("CHUNKFERRY_CLOCK_SCALE");
    let service = Service::of(&mut first, scene.state_dir().join("socket"));
    one_end(&scene, &service, "lena");
    one.hears_all([1]);
    until_done(&service, "one");
    let service = again(service, &entries);
    one_end(&scene, &service, "lena");
    two.hears_all([2]);
    one.hears_all([2]);
    until_done(&service, "one");
    until_done(&service, "two");
    let service = again(service, &entries[1..]);
    one_end(&scene, &service, "lena");
    two.hears_all([3]);
    until_done(&service, "two");
    assert_eq!(one.numbers(), [1, 2]);
    let service = again(service, &entries);
    one.hears_all([3]);
    until_done(&service, "one");
    assert_eq!((one.numbers(), two.numbers()), (vec![1, 2, 3], vec![2, 3]));
}

#[test]
fn what_was_delivered_is_delivered_again_on_request() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let entries = [receiver.entry(&scene, "hook", "accounts = [\"lena\"]")];
    let service = start(&scene, &entries, &[]);
    for account in ["lena", "mia", "lena", "lena"] {
        one_end(&scene, &service, account);
    }
    receiver.hears_all([1, 3, 4]);
    until_done(&service, "hook");
    let ids: Vec<String> = receiver
        .calls()
        .iter()
        .map(|call| call.id().to_owned())
        .collect();
    let set = |query: &str| service.call(&format!("POST /v1/notify/hook/redeliver{query}"));
    set("?after=1").expect(200);
    receiver.hears("two more", |calls| calls.len() == 5);
    until_done(&service, "hook");
    assert_eq!(receiver.numbers(), [1, 3, 4, 3, 4]);
    assert_eq!(receiver.calls()[3].id(), ids[1]);
    for (query, word) in [
        ("", "missing"),
        ("?after=5", "at most 4"),
        ("?after=x", "number"),
    ] {
        let problem = set(query).expect(400).json();
        assert_eq!(problem["field"], "after");
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{problem}"
        );
    }
    service
        .call("POST /v1/notify/nobody/redeliver?after=0")
        .expect(404);
    service.call("GET /v1/notify?x=1").expect(400);

    // Also during an attempt, and over a kill right after the answer.
    receiver.behave(|_| Reply::Hang);
    one_end(&scene, &service, "lena");
    receiver.hears_all([5]);
    set("?after=0").expect(200);
    assert!(service.running.kill());
    let before = receiver.calls().len();
    receiver.behave(|_| Reply::Status(200));
    let service = start(&scene, &entries, &[]);
    until_done(&service, "hook");
    let after: BTreeSet<u64> = receiver.numbers().split_off(before).into_iter().collect();
    assert_eq!(after, BTreeSet::from([1, 3, 4, 5]));
}

#[test]
fn an_outbox_that_begins_anew_is_delivered_from_its_first_notice_under_new_ids() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let entries = [receiver.entry(&scene, "hook", "")];
    let service = start(&scene, &entries, &[]);
    for _ in 0..3 {
        one_end(&scene, &service, "lena");
    }
    receiver.hears_all(1..=3);
    until_done(&service, "hook");
    service.running.signal("-TERM");
    service.running.end().expect(0);
    fs::remove_dir_all(scene.state_dir().join("journal")).unwrap();
    let service = start(&scene, &entries, &[]);
    one_end(&scene, &service, "lena");
    let calls = receiver.hears("one more", |calls| calls.len() == 4);
    assert_eq!(calls[3].number, 1);
    assert_ne!(calls[3].id(), calls[0].id());
    until_done(&service, "hook");
}

#[test]
fn an_entry_that_cannot_be_meant_ends_the_start_with_2_before_anything_is_opened() {
    let scene = Scene::new(&[], &[]);
    let receiver = Receiver::new();
    let good = receiver.entry(&scene, "hook", "");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    fs::write(scene.path("open.secret"), SECRET).unwrap();
    fs::set_permissions(scene.path("open.secret"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(scene.path("short.secret"), "whsec_c2hvcnQ=").unwrap();
    fs::set_permissions(
        scene.path("short.secret"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let url = format!("http://127.0.0.1:{}/hook?key=s3cr3t", receiver.port);
    let name = "name = \"hook\"";
    let secret = "secret_file = \"hook.secret\"";
    for (entry, word) in [
        (with(name, ""), "name"),
        (with(name, "name = \"a/b\""), "letters"),
        (with(name, "name = \"\""), "empty"),
        (good.clone() + &with(name, "name = \"HOOK\""), "twice"),
        (
            with(name, "name = \"hook\"\nkind = [\"ended\"]"),
            "\"kinds\"",
        ),
        (with(&url, "http://example.org/?key=s3cr3t"), "https"),
        (with(&url, "ftp://127.0.0.1/?key=s3cr3t"), "https"),
        (with(&url, "https://me:s3cr3t@example.org/"), "password"),
        (with(&url, "s3cr3t"), "no URL"),
        (with(secret, ""), "exactly one of secret_file"),
        (
            with(
                secret,
                "secret_file = \"hook.secret\"\nsecret_command = \"echo\"",
            ),
            "one too many",
        ),
        (
            with(secret, "secret_file = \"hook.secret\"\ncommand = \"true\""),
            "exactly one of url",
        ),
        (
            with(secret, "secret_file = \"missing.secret\""),
            "missing.secret",
        ),
        (with(secret, "secret_file = \"open.secret\""), "0640"),
        (with(secret, "secret_file = \"short.secret\""), "24 to 64"),
        (with(secret, "secret_command = \"echo s3cr3t\""), "24 to 64"),
        (with(secret, "secret_command = \"false\""), "failed"),
        (
            with(name, "name = \"hook\"\nkinds = [\"parkt\"]"),
            "\"parked\"",
        ),
        (with(name, "name = \"hook\"\nkinds = []"), "empty"),
        (with(name, "name = \"hook\"\naccounts = \"lena\""), "list"),
        (
            with(name, "name = \"hook\"\nwhen_named = 1"),
            "true or false",
        ),
        (with(name, "name = \"on-end\""), "--on-end"),
        ("[notify]\nname = \"hook\"\n".to_owned(), "[[notify]]"),
        ("notify = 1\n".to_owned(), "[[notify]]"),
        (
            "[[notify]]\nname = \"a\"\n".to_owned(),
            "exactly one of url",
        ),
        (
            "[[notify]]\nname = \"a\"\ncommand = \"true\"\nsecret_file = \"a\"\n".to_owned(),
            "no secret",
        ),
    ] {
        let mut command = prepared(&scene, &[], &["--on-end", "true"]);
        let config = scene.path("config.toml");
        let accounts = fs::read_to_string(&config).unwrap();
        // A key of the top level comes before the tables.
        fs::write(&config, entry.clone() + &accounts).unwrap();
        let ended = command.end().expect(2);
        assert!(
            ended.stderr.contains(word),
            "{word}: {entry}\n{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
        assert!(!ended.stderr.contains(&SECRET[6..]), "{}", ended.stderr);
        assert!(!scene.state_dir().exists(), "{entry}");
    }

    // A file of a target that is broken is named.
    let entries = [good];
    let service = start(&scene, &entries, &[]);
    service.running.signal("-TERM");
    service.running.end().expect(0);
    let path: PathBuf = scene.state_dir().join("notify/hook.json");
    let newer = fs::read_to_string(&path)
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    let journal = scene.state_dir().join("journal");
    fs::remove_dir_all(&journal).unwrap();
    for text in ["", "{", "{\"version\":1}", &newer] {
        fs::write(&path, text).unwrap();
        let ended = prepared(&scene, &entries, &[]).end().expect(2);
        assert!(
            ended.stderr.contains("notify/hook.json"),
            "{}",
            ended.stderr
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(!journal.exists(), "jobs may have run");
    }
    fs::remove_file(&path).unwrap();
    start(&scene, &entries, &[]);
}

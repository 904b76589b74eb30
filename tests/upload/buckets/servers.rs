//! Servers of others that keep objects: programs that the tests install, and what puts objects into them.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chunkferry::BucketSettings;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use crate::support::liar::free_port;

pub(crate) const KEY_ID: &str = "AKIACHUNKFERRYTEST00";
pub(crate) const SECRET: &str = "hunter2SecretKeyOfTheTests00";
pub(crate) const SESSION: &str = "hunter2SessionTokenOfTheTests";

/// The account of Azure's emulators, whose key is public.
const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server in a process of its own.
pub(crate) struct Server {
    command: Command,
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a program; `args` get the port. `None`, said aloud, if it is not installed.
    fn start(program: &str, args: impl FnOnce(u16) -> Vec<String>) -> Option<Self> {
        let Some(path) = installed(program) else {
            eprintln!("NOT TESTED: {program} is not installed");
            return None;
        };
        let port = free_port();
        let mut command = Command::new(path);
        command.args(args(port)).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let mut server = Self {
            command,
            child,
            port,
        };
        server.wait();
        Some(server)
    }

    fn wait(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "no server");
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew on the same port, with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program of this name: where `.ci/run` installs it, or on the path.
fn installed(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let own = ["programs/py/bin", "programs/npm/node_modules/.bin"].map(|dir| target.join(dir));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = own.into_iter().chain(std::env::split_paths(&path));
    places.map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Keys and endpoint for a server that speaks like S3.
pub(crate) fn s3_at(url: &str) -> BucketSettings {
    BucketSettings::new()
        .variable("AWS_ACCESS_KEY_ID", KEY_ID)
        .variable("AWS_SECRET_ACCESS_KEY", SECRET)
        .variable("AWS_ENDPOINT_URL", url)
}

async fn send(method: Method, url: String, headers: HeaderMap, body: Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let length = body.len();
    let request = client.request(method, &url).headers(headers);
    let request = request.header(CONTENT_LENGTH, length).body(body);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert!(
        status.is_success(),
        "{url}: {status} {}",
        answer.text().await.unwrap()
    );
}

/// moto: S3 in memory, by a program of others. It keeps to the conditions.
pub(crate) struct Moto(Server);

impl Moto {
    pub(crate) async fn start() -> Option<Self> {
        let args = |port: u16| {
            ["-H", "127.0.0.1", "-p", &port.to_string()]
                .map(str::to_owned)
                .to_vec()
        };
        let moto = Self(Server::start("moto_server", args)?);
        moto.put("", Vec::new()).await;
        Some(moto)
    }

    pub(crate) fn settings(&self) -> BucketSettings {
        s3_at(&self.0.url()).variable("AWS_SESSION_TOKEN", SESSION)
    }

    /// Puts an object into the bucket `renders`.
    pub(crate) async fn put(&self, key: &str, body: Vec<u8>) {
        let url = format!("{}/renders{key}", self.0.url());
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&signed).unwrap());
        send(Method::PUT, url, headers, body).await;
    }

    /// From now on the bucket keeps the versions of its objects.
    pub(crate) async fn keep_versions(&self) {
        let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
        self.put("?versioning", body.into()).await;
    }
}

/// Azurite: Azure Blob Storage on disk, by its vendor. It keeps to the conditions.
pub(crate) struct Azurite(pub(crate) Server);

impl Azurite {
    pub(crate) async fn start(dir: &Path) -> Option<Self> {
        let args = |port: u16| {
            let mut args = [
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port.to_string(),
                "--location",
            ]
            .map(str::to_owned)
            .to_vec();
            args.push(dir.to_str().unwrap().to_owned());
            args.extend(
                ["--skipApiVersionCheck", "--disableTelemetry", "--silent"].map(str::to_owned),
            );
            args
        };
        let azurite = Self(Server::start("azurite-blob", args)?);
        azurite.put("", "?restype=container", Vec::new()).await;
        Some(azurite)
    }

    fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.0.url())
    }

    pub(crate) fn settings(&self) -> BucketSettings {
        BucketSettings::new()
            .variable("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
            .variable("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)
            .variable("AZURE_STORAGE_ENDPOINT", &self.endpoint())
    }

    pub(crate) async fn put_blob(&self, name: &str, body: Vec<u8>) {
        self.put(name, "", body).await;
    }

    /// A PUT in the container `renders`, signed as "Authorize with Shared Key" of Azure says.
    async fn put(&self, name: &str, query: &str, body: Vec<u8>) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let known = [
            ("x-ms-blob-type", "BlockBlob"),
            ("x-ms-date", date.as_str()),
            ("x-ms-version", "2023-11-03"),
        ];
        let mut headers = HeaderMap::new();
        let mut canonical = String::new();
        for (name, value) in known {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
            canonical += &format!("{name}:{value}\n");
        }
        let length = match body.len() {
            0 => String::new(),
            length => length.to_string(),
        };
        let asked = query.trim_start_matches('?').replace('=', ":");
        let asked = if asked.is_empty() {
            asked
        } else {
            format!("\n{asked}")
        };
        let text = format!(
            "PUT\n\n\n{length}\n\n\n\n\n\n\n\n\n{canonical}/{ACCOUNT}/{ACCOUNT}/renders{name}{asked}"
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(ACCOUNT_KEY).unwrap());
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let signed = format!("SharedKey {ACCOUNT}:{signature}");
        headers.insert("authorization", HeaderValue::from_str(&signed).unwrap());
        let url = format!("{}/renders{name}{query}", self.endpoint());
        send(Method::PUT, url, headers, body).await;
    }
}

/// rclone, which serves a directory by S3: a request for a range is answered with 200, and conditions are passed over.
pub(crate) struct Rclone(Server);

impl Rclone {
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        fs::create_dir_all(dir.join("renders")).unwrap();
        let args = |port: u16| {
            let mut args = [
                "serve",
                "s3",
                "--config",
                "/dev/null",
                "--addr",
                &format!("127.0.0.1:{port}"),
            ]
            .map(str::to_owned)
            .to_vec();
            args.extend(["--auth-key".into(), format!("{KEY_ID},{SECRET}")]);
            args.push(dir.to_str().unwrap().to_owned());
            args
        };
        Some(Self(Server::start("rclone", args)?))
    }

    pub(crate) fn settings(&self) -> BucketSettings {
        s3_at(&self.0.url())
    }
}

//! Videos that lie elsewhere: from one socket to the other, against `curl | curl` for each chunk.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scene::{Run, Scene, median};

/// The chunk size of both.
const CHUNK: u64 = 10_000_000;

/// What serves the sample, stopped when it is dropped.
struct Server {
    process: Child,
    /// The URL for curl.
    url: String,
    /// The options by which curl signs its requests.
    auth: &'static str,
    /// The URL for chunkferry.
    source: String,
    /// Environment variables with the server's credentials and endpoint, for chunkferry.
    env: Vec<(&'static str, String)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prints, for each server that is installed, the ratios of rate and CPU time to curl's, and the peak memory.
pub(crate) fn measure(scene: &Scene, rounds: usize) -> io::Result<()> {
    let servers = [
        ("nginx over TLS", nginx(scene)?),
        ("moto (S3)", moto(scene)?),
    ];
    for (name, server) in servers {
        let Some(server) = server else {
            println!("{name}: not installed");
            continue;
        };
        let (mut rates, mut costs, mut ours, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..rounds {
            eprintln!("{name}: round {} of {rounds}", round + 1);
            let (us, curl) = match round % 2 {
                0 => (upload(scene, &server)?, theirs(scene, &server)?),
                _ => {
                    let curl = theirs(scene, &server)?;
                    (upload(scene, &server)?, curl)
                }
            };
            rates.push(us.rate() / curl.rate());
            costs.push(us.cpu() / curl.cpu());
            ours.push(us.cpu());
            memory = memory.max(us.cost.peak_rss);
        }
        println!(
            "{name}: rate {:.2} of curl | curl, CPU time {:.2} of it ({:.2} s a GiB), peak memory {:.1} MiB",
            median(rates),
            median(costs),
            median(ours),
            memory as f64 / f64::from(1 << 20),
        );
    }
    Ok(())
}

fn upload(scene: &Scene, server: &Server) -> io::Result<Run> {
    let state = scene.journal()?;
    let args = ["--chunk-size", "10MB", "--no-ledger"];
    let mut command = scene.upload(Path::new(&server.source), state.path(), &scene.tls, &args);
    command.envs(server.env.iter().map(|(name, value)| (name, value)));
    scene.run(&mut command, scene.size)
}

/// Each chunk by one curl that reads its range and another one that sends it.
fn theirs(scene: &Scene, server: &Server) -> io::Result<Run> {
    let (last, total) = (scene.size / CHUNK - 1, scene.size);
    let (ca_file, url) = (scene.ca_file.display(), &server.url);
    let (source_ca, target) = (
        scene.dir.path().join("nginx/cert.pem"),
        format!("{}/_emulator/sink", scene.tls.url()),
    );
    let script = format!(
        "for i in $(seq 0 {last}); do \
         first=$((i * {CHUNK})); end=$((first + {CHUNK} - 1)); \
         [ $i = {last} ] && end=$(({total} - 1)); \
         curl -fsS {} --cacert '{}' -r $first-$end '{url}' | \
         curl -fsS -o /dev/null --cacert '{ca_file}' -X PUT --data-binary @- -H 'Content-Type: video/mp4' \
         -H \"Content-Range: bytes $first-$end/{total}\" '{target}' || exit 1; done",
        server.auth,
        source_ca.display()
    );
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", &script]);
    scene.run(&mut command, scene.size)
}

fn port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until somebody listens.
fn listens(process: &mut Child, port: u16) -> io::Result<()> {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if process.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(60) {
            return Err(io::Error::other("a server did not start"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn nginx(scene: &Scene) -> io::Result<Option<Server>> {
    let programs = ["nginx", "/usr/sbin/nginx"];
    let works = |program: &&str| {
        Command::new(program)
            .arg("-v")
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    let Some(program) = programs.into_iter().find(works) else {
        return Ok(None);
    };
    let dir = scene.dir.path().join("nginx");
    fs::create_dir_all(&dir)?;
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    fs::write(dir.join("cert.pem"), made.cert.pem())?;
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?;
    // One file of certificates for both ends.
    let all = fs::read_to_string(&scene.ca_file)? + &made.cert.pem();
    fs::write(&scene.ca_file, all)?;
    let (port, at, root) = (port()?, dir.display(), scene.dir.path().display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind}; "))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error; events {{}} http {{ {temporary} access_log off;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; root {root}; }} }}"
    );
    fs::write(dir.join("nginx.conf"), config)?;
    let mut process = Command::new(program)
        .arg("-e")
        .arg(dir.join("error"))
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .spawn()?;
    listens(&mut process, port)?;
    let url = format!("https://localhost:{port}/sample.mp4");
    Ok(Some(Server {
        process,
        source: url.clone(),
        url,
        auth: "",
        env: Vec::new(),
    }))
}

fn moto(scene: &Scene) -> io::Result<Option<Server>> {
    let port = port()?;
    let started = Command::new("moto_server")
        .args(["-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut process) = started else {
        return Ok(None);
    };
    if listens(&mut process, port).is_err() {
        return Ok(None);
    }
    let base = format!("http://127.0.0.1:{port}");
    let url = format!("{base}/renders/sample.mp4");
    let curl = |args: &[&str]| {
        Command::new("curl")
            .args(["-fsS", "-o", "/dev/null"])
            .args(args)
            .status()
    };
    curl(&["-X", "PUT", &format!("{base}/renders")])?;
    let file = scene.file.to_string_lossy();
    if !curl(&["-T", &file, &url])?.success() {
        return Err(io::Error::other("moto did not take the sample"));
    }
    let env = [
        ("AWS_ACCESS_KEY_ID", "lab"),
        ("AWS_SECRET_ACCESS_KEY", "lab"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &base),
    ];
    Ok(Some(Server {
        process,
        url,
        auth: "--aws-sigv4 aws:amz:us-east-1:s3 --user lab:lab",
        source: "s3://renders/sample.mp4".to_owned(),
        env: env.map(|(name, value)| (name, value.to_owned())).into(),
    }))
}

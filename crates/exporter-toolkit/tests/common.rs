//! What the tests share: programs that run, certificates, and curl.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same as for the tests of the whole workspace.
#[path = "../../../tests/common/tools.rs"]
pub mod tools;

/// Waits until `check` gives a value.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let pause = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        if let Some(value) = check() {
            return value;
        }
        thread::sleep(pause);
    }
    panic!("never happened: {what}");
}

/// The folder for what is built.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    // target/PROFILE/deps/suite-…
    let target = test.ancestors().nth(3).expect("it is in a target folder");
    target.to_owned()
}

/// The example exporter, built as it is now: `cargo test` does so, unless it is asked for some
/// of the tests alone.
pub fn example() -> PathBuf {
    let example = target().join("debug/examples/room");
    let built = fs::metadata(&example).and_then(|built| built.modified());
    let sources = ["src", "examples"].map(|folder| newest(Path::new(folder)));
    let newest = sources.into_iter().max().expect("there are two");
    if built.is_ok_and(|built| built > newest) {
        return example;
    }
    let arguments = ["build", "--quiet", "--example", "room"];
    let cargo = Command::new(env!("CARGO")).args(arguments).status();
    assert!(cargo.expect("cargo runs").success());
    example
}

/// One of the two programs in Go; `None`, and a line that says so, where they cannot be built.
pub fn peer(name: &str) -> Option<PathBuf> {
    static BUILT: LazyLock<Result<PathBuf, &str>> = LazyLock::new(|| {
        let folder = target().join("peer");
        fs::create_dir_all(&folder).expect("it can be made");
        let go = |arguments: &[&str]| {
            let mut go = Command::new("go");
            let run = go.args(arguments).current_dir("tests/peer").output();
            run.is_ok_and(|output| output.status.success())
        };
        if !go(&["version"]) {
            return Err("expected Go 1.26, but found none; install it");
        }
        if !go(&["mod", "download"]) {
            return Err("expected the modules of tests/peer, but proxy.golang.org gives none");
        }
        let into = folder.to_str().expect("the path is text");
        assert!(
            go(&["build", "-o", into, "./..."]),
            "tests/peer does not build"
        );
        Ok(folder)
    });
    match &*BUILT {
        Ok(folder) => Some(folder.join(name)),
        Err(why) => {
            tools::not_checked(&format!("what Go's exporter-toolkit does; {why}"));
            None
        }
    }
}

/// When a file in a folder was last changed.
fn newest(folder: &Path) -> SystemTime {
    let files = fs::read_dir(folder).expect("it is a folder");
    let times = files.map(|file| {
        let path = file.expect("it can be read").path();
        if path.is_dir() {
            return newest(&path);
        }
        let metadata = path.metadata().expect("it can be read");
        metadata.modified().expect("the system knows")
    });
    times.max().expect("no folder is empty")
}

/// A port of the loopback address that is free, and is not given to another test: below those
/// that the system hands out to connections, and each but once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries that run beside each other begin in different places.
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(next % 20_000).expect("it is less than that");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// An exporter that runs in a folder with `server.pem`, `server.key` and `ca.pem`, which are
/// for 127.0.0.1, and `web.yml`.
pub struct Exporter {
    pub folder: TempDir,
    pub port: u16,
    child: Child,
}

impl Exporter {
    /// Starts a program, and waits until it listens; `None` if it ends instead.
    pub fn start(program: &Path, web: Option<&str>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self::start_in(folder, program, web)
    }

    /// The same, in a folder that may have files already.
    pub fn start_in(folder: TempDir, program: &Path, web: Option<&str>) -> Option<Self> {
        certificates(folder.path());
        let port = free_port();
        let mut command = Command::new(program);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        if let Some(text) = web {
            fs::write(folder.path().join("web.yml"), text).expect("it can be written");
            command.arg("--web.config.file=web.yml");
        }
        let child = command
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the program starts");
        // Read for ever, so that the program is not held up.
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        let listens = eventually("it listens or ends", || {
            if child.try_wait().expect("it is ours").is_some() {
                return Some(false);
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .is_ok()
                .then_some(true)
        });
        listens.then_some(Self {
            folder,
            port,
            child,
        })
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("it can be written");
    }

    /// What curl says: the status, 0 if there is none, and the head and body of the answer.
    pub fn curl(&self, scheme: &str, path: &str, arguments: &[&str]) -> (u16, String) {
        let url = format!("{scheme}://127.0.0.1:{}{path}", self.port);
        let output = Command::new("curl")
            .args([
                "--silent",
                "--include",
                "--noproxy",
                "*",
                "--max-time",
                "60",
            ])
            .args(["--cacert", "ca.pem", "--write-out", "\n%{http_code}"])
            .args(arguments)
            .arg(url)
            .current_dir(self.folder.path())
            .output()
            .expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
        (status.parse().expect("it is a number"), body.to_owned())
    }

    /// The status of the answer to these bytes, 0 if there is none.
    pub fn status(&self, bytes: &[u8]) -> u16 {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = stream.expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it may be");
        stream.write_all(bytes).expect("it can be sent");
        let mut answer = String::new();
        // Whatever comes before the end, or before the connection breaks.
        let _ = stream.read_to_string(&mut answer);
        let code = answer
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        code.map_or(0, |code| code.parse().expect("it is a number"))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new authority in `ca.pem`, and of it certificates for the server and a client, unless
/// they are there.
fn certificates(folder: &Path) {
    if folder.join("ca.pem").exists() {
        return;
    }
    let mut parameters = CertificateParams::new([]).expect("no names are good names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let authority = parameters.self_signed(&key).expect("it can be signed");
    fs::write(folder.join("ca.pem"), authority.pem()).expect("it can be written");
    let issuer = Issuer::new(parameters, key);
    for name in ["server", "client"] {
        let names = ["127.0.0.1".to_owned(), format!("{name}.example.com")];
        let mut parameters = CertificateParams::new(names).expect("the names are good");
        // One that is named as its issuer looks self-signed to OpenSSL.
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let signed = parameters
            .signed_by(&key, &issuer)
            .expect("it can be signed");
        let files = [("pem", signed.pem()), ("key", key.serialize_pem())];
        for (ending, text) in files {
            fs::write(folder.join(format!("{name}.{ending}")), text).expect("it can be written");
        }
    }
}

/// A bcrypt hash of the least cost.
pub fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).expect("there is randomness")
}

//! What tests need beyond Rust, a C compiler and the base of every Linux: a shell, coreutils,
//! util-linux, grep and sed.
//!
//! A test names it in its first line, as in `needs!("promtool")`. Where it is missing, the test
//! ends there and one line says so; with `REQUIRE_TOOLS`, which `tests/run.sh` sets, it fails.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Ends a test that returns nothing, unless all of these are there.
macro_rules! needs {
    ($($tool:literal),+) => {
        if !$crate::common::tools::are_there(&[$($tool),+]) {
            return;
        }
    };
}
pub(crate) use needs;

/// Whether all of these are there. Names those that are not.
pub fn are_there(tools: &[&str]) -> bool {
    let mut complete = true;
    for tool in tools.iter().filter(|tool| !is_there(tool)) {
        complete = false;
        assert!(
            env::var_os("REQUIRE_TOOLS").is_none(),
            "expected {tool}, but found none; install it, or run tests/run.sh, which installs all"
        );
        not_checked(&format!(
            "what needs {tool}; install it, or run tests/run.sh, which installs all"
        ));
    }
    complete
}

/// Says once what no test looks at.
pub fn not_checked(what: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID
        .lock()
        .expect("nobody panicked")
        .insert(what.to_owned())
    {
        // Not `eprint!`, whose output of tests that pass is not shown.
        std::io::stderr()
            .write_all(format!("NOT CHECKED: {what}\n").as_bytes())
            .ok();
    }
}

/// Whether it is there: what is named here in words, a file of the machine or of the project,
/// or else a program.
fn is_there(tool: &str) -> bool {
    match tool {
        "clang and Rust's musl target" => {
            let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
            let sysroot = sysroot.expect("rustc starts").stdout;
            let target = format!("lib/rustlib/{}-unknown-linux-musl/lib", env::consts::ARCH);
            let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
            find("clang").is_some() && sysroot.join(target).exists()
        }
        "libfaketime" => faketime().is_some(),
        "prometheus_client" => succeeds("python3", &["-c", "import prometheus_client"]),
        "root or sudo" => {
            rustix::process::geteuid().is_root() || succeeds("sudo", &["--non-interactive", "true"])
        }
        "user namespaces" => succeeds("unshare", &["--map-root-user", "--net", "true"]),
        file if file.contains('/') => Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(),
        program => find(program).is_some(),
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where a program is: in `PATH`, or where those for administrators are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The library of Debian's package `faketime`, for the architecture that this runs on.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let folders = folders
        .map(|folder| folder.path())
        .chain([PathBuf::from("/usr/lib")]);
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.exists())
}

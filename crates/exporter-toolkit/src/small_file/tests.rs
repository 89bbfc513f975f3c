//! What is read and what is refused. Reads that hang are in `tests/files.rs`: they need
//! a file system that does.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn refusal(path: &Path) -> (ErrorKind, String) {
    let error = blocking_read(path, SECRET).expect_err("it is refused");
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn only_regular_files_are_read() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe can be made");
    let link = folder.path().join("link");
    symlink(&pipe, &link).expect("a link can be made");
    let socket = folder.path().join("socket");
    let _socket = UnixListener::bind(&socket).expect("a socket can be made");
    for (path, found) in [
        (pipe.as_path(), "a named pipe"),
        (&link, "a named pipe"),
        (&socket, "a socket"),
        (Path::new("/dev/zero"), "a device"),
        (Path::new("/dev/full"), "a device"),
    ] {
        let expected = (ErrorKind::InvalidInput, found.to_owned());
        assert_eq!(refusal(path), expected, "{}", path.display());
        let error = read(path, SECRET).await.expect_err("it is refused");
        assert_eq!(error.to_string(), found);
    }
    let folder = (
        ErrorKind::IsADirectory,
        "Is a directory (os error 21)".to_owned(),
    );
    assert_eq!(refusal(Path::new("/")), folder);
    assert_eq!(refusal(Path::new("/nowhere")).0, ErrorKind::NotFound);
}

#[test]
fn what_is_too_large_is_not_even_read() {
    let folder = folder();
    let path = folder.path().join("sparse");
    let file = File::create(&path).expect("it can be made");
    file.set_len(1 << 40).expect("it can be sparse");
    let expected = (ErrorKind::FileTooLarge, "more than 64 KiB".to_owned());
    assert_eq!(refusal(&path), expected);
    file.set_len(SECRET).expect("it can be shorter");
    let content = blocking_read(&path, SECRET).expect("it is as long as may be");
    assert_eq!(content.bytes.len() as u64, SECRET);
    // The kernel says that this one has no length.
    let made_up = Path::new("/proc/kallsyms");
    let error = blocking_read(made_up, 8).expect_err("it is longer");
    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
}

/// As Kubernetes mounts a secret, and replaces it.
#[test]
fn links_are_followed_to_where_they_lead_now() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let content = || {
        blocking_read(&at("secret"), SECRET)
            .expect("it is read")
            .bytes
    };
    symlink("..data/secret", at("secret")).expect("a link can be made");
    for version in ["..1", "..2"] {
        fs::create_dir(at(version)).expect("a folder can be made");
        fs::write(at(version).join("secret"), version).expect("it can be written");
        symlink(version, at("..data_tmp")).expect("a link can be made");
        fs::rename(at("..data_tmp"), at("..data")).expect("it can be renamed");
        assert_eq!(content(), version.as_bytes());
    }
}

#[test]
fn a_byte_order_mark_is_left_out_and_who_may_read_is_told() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, "\u{feff}text\n").expect("it can be written");
    for (mode, exposed) in [(0o600, false), (0o604, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let content = blocking_read(&path, SECRET).expect("it is read");
        assert_eq!(
            (content.bytes.as_slice(), content.exposed),
            (&b"text\n"[..], exposed)
        );
    }
}

#[tokio::test]
async fn many_who_want_one_file_at_once_share_a_read() {
    let folder = folder();
    let paths: Vec<_> = (0..200)
        .map(|number| folder.path().join(format!("{}", number % 100)))
        .collect();
    for path in &paths {
        fs::write(path, path.display().to_string()).expect("it can be written");
    }
    let reads = paths.iter().map(|path| read(path, SECRET));
    for (path, content) in paths.iter().zip(futures::future::join_all(reads).await) {
        let bytes = content.expect("it is read").bytes;
        assert_eq!(bytes, path.display().to_string().as_bytes());
    }
}

#[test]
fn work_that_hangs_is_left_alone_and_soon_not_begun_any_more() {
    static BUSY: AtomicUsize = AtomicUsize::new(0);
    let patience = Duration::from_millis(50);
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Arc::new(Mutex::new(gate));
    for _ in 0..THREADS_A_FOLDER {
        let gate = std::sync::Arc::clone(&gate);
        // Held until the test lets go.
        let hang = move || gate.lock().expect("nobody panics").recv().is_ok();
        let error = wait_for(&BUSY, patience, hang).expect_err("it hangs");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    let error = wait_for(&BUSY, Duration::MAX, || ()).expect_err("it is not begun");
    assert_eq!(
        error.to_string(),
        "no response from its file system within 5 s"
    );
    drop(release);
    while BUSY.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    assert_eq!(wait_for(&BUSY, Duration::MAX, || 7).ok(), Some(7));
}

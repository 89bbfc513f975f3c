//! What is wrong with a value of the environment is said of the variable, not of a flag that
//! nobody wrote.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::common::binary;

fn error_of(variable: &str, value: &OsStr, arguments: &[&str]) -> String {
    let output = binary()
        .env(variable, value)
        .args(arguments)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "{variable}: {output:?}");
    String::from_utf8(output.stderr).expect("it prints text")
}

#[test]
fn errors_name_the_variable() {
    for (flag, value) in [
        ("web.listen-address", "nowhere"),
        ("web.listen-address", "127.0.0.1:1,nowhere"),
        ("web.telemetry-path", "metrics"),
        ("web.systemd-socket", "maybe"),
        ("web.max-requests", "-1"),
        ("config.auto-reload-interval", "soon"),
        ("web.enable-lifecycle", "maybe"),
        ("shard", "x"),
        ("total-shards", "1.5"),
        ("log.level", "loud"),
        ("log.format", "xml"),
    ] {
        let name = flag.to_uppercase().replace(['.', '-'], "_");
        let variable = format!("DEFENDER_EXPORTER_{name}");
        for arguments in [&[][..], &["check-config"]] {
            let text = error_of(&variable, value.as_ref(), arguments);
            let (first, _) = text.split_once('\n').expect("it is a line");
            assert!(first.contains(&variable), "{text}");
            assert!(first.contains(&format!("--{flag}")), "{text}");
        }
        // The flag goes before the variable, and is to blame.
        let text = error_of(&variable, "".as_ref(), &[&format!("--{flag}={value}")]);
        assert!(
            flag.starts_with("web.sys") || !text.contains(&variable),
            "{text}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_said_of_the_variable() {
    for variable in [
        "DEFENDER_EXPORTER_WEB_MAX_REQUESTS",
        "DEFENDER_EXPORTER_LOG_LEVEL",
    ] {
        let text = error_of(variable, OsStr::from_bytes(b"1\xff0"), &[]);
        assert!(text.contains(variable), "{text}");
    }
}

#[test]
fn several_shards_need_a_number_each() {
    let total = "DEFENDER_EXPORTER_TOTAL_SHARDS";
    let text = error_of(total, "3".as_ref(), &[]);
    assert!(text.contains("DEFENDER_EXPORTER_SHARD"), "{text}");
    let text = error_of(
        "DEFENDER_EXPORTER_SHARD",
        "3".as_ref(),
        &["--total-shards=3"],
    );
    assert!(text.contains("expected `--shard` below 3"), "{text}");
    assert!(error_of(total, "0".as_ref(), &[]).contains(total));
    // A single one is number 0.
    let output = binary().env(total, "1").arg("docs").arg("metrics").output();
    assert!(output.expect("the program starts").status.success());
}

/// Where Azure's variables take the place of a file, they are checked like one.
#[test]
fn variables_are_checked_in_place_of_a_file() {
    let check = |secret: &[u8]| {
        let output = binary()
            .arg("check-config")
            .env("AZURE_TENANT_ID", "contoso.example")
            .env("AZURE_CLIENT_ID", "9b6f0000-0000-4000-8000-000000000001")
            .env("AZURE_CLIENT_SECRET", OsStr::from_bytes(secret))
            .output()
            .expect("the program starts");
        let [out, err] = [output.stdout, output.stderr].map(String::from_utf8);
        let text = out.expect("it prints text") + &err.expect("it prints text");
        (output.status.success(), text)
    };
    let (ok, text) = check(b"c4nary-secret");
    assert!(ok, "{text}");
    assert_eq!(text, "environment: ok, tenants: 1\n");
    let (ok, text) = check(b"");
    assert!(!ok && text.contains("environment: "), "{text}");
    assert!(text.contains("AZURE_CLIENT_SECRET"), "{text}");
    // What is no text is not unset.
    for secret in [&b"c4nary-\xff"[..], b"c4nary\nsecret"] {
        let (ok, text) = check(secret);
        let expected =
            "environment: AZURE_CLIENT_SECRET: expected a secret of one line of UTF-8 text";
        assert!(!ok && text.contains(expected), "{text}");
        assert!(!text.contains("c4nary"), "{text}");
    }
}

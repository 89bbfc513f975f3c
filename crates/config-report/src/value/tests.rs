use super::*;
use crate::Document;

/// The errors of a file of a mapping that `read` reads.
fn errors(text: &str, read: fn(&mut Mapping<'_>, &mut ConfigReport)) -> String {
    let mut report = ConfigReport::new("app.yml");
    let document = Document::parse(text.as_bytes(), &mut report);
    let read = document.and_then(|document| {
        let mut mapping = document.mapping(&mut report, "a mapping")?;
        read(&mut mapping, &mut report);
        mapping.finish(&mut report);
        Ok(())
    });
    match report.finish(read) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn values_are_cut_and_kept_on_one_line() {
    assert_eq!(excerpt("a\nb"), "`a\\nb`");
    assert_eq!(excerpt(&"x".repeat(60)), format!("`{}…`", "x".repeat(48)));
    assert_eq!(excerpt("https://me:pw@host"), "a value with `@`");
    for secret in [
        "8Q8~QzAnExampleOfASecret.ThatIsNone-01234",
        "key=8Q8~QzAnExampleOfASecretThatIsNone01234",
        "eyJhbGciOiJub25lIn0.e30.",
    ] {
        assert_eq!(excerpt(secret), "what looks like a secret");
    }
    for id in [
        "3F0e6d0e-0000-4000-8000-00000000000",
        "scanner-1.long-name.of.some-domain.example",
        "/etc/defender-scan-exporter/Secret1",
    ] {
        assert_eq!(excerpt(id), format!("`{id}`"));
    }
}

#[test]
fn each_kind_is_told_from_the_others() {
    let text = "\
a: [1]
b: {c: 1}
d: 1
e:
  f: 1
";
    let found = errors(text, |mapping, report| {
        for key in ["a", "b"] {
            let value = mapping.take(key).unwrap();
            value.text(report, "a word").unwrap_err();
        }
        let value = mapping.take("d").unwrap();
        value.list(report, "a list of words").unwrap_err();
        let value = mapping.take("e").unwrap();
        let inner = value.mapping(report, "a mapping").unwrap();
        inner.error(report, "f", "is wrong");
    });
    assert_eq!(
        found,
        "\
app.yml:1: a: expected a word, but found a list; write a single value
app.yml:2: b: expected a word, but found a mapping; write a single value
app.yml:3: d: expected a list of words, but found a single value; start each entry with `- `
app.yml:5: e.f: is wrong"
    );
}

#[test]
fn entries_have_paths_with_their_number() {
    let found = errors("a:\n  - b: 1\n  - c: 2\n", |mapping, report| {
        let list = mapping.take("a").unwrap().list(report, "a list").unwrap();
        for item in list {
            assert!(item.path().starts_with("a["));
            let mut inner = item.mapping(report, "a mapping").unwrap();
            inner.take("b");
            inner.finish(report);
        }
    });
    assert_eq!(
        found,
        "app.yml:3: a[1].c: expected `b`, but found an unknown key; did you mean `b`?"
    );
}

#[test]
fn a_key_that_is_there_twice_is_named_with_both_lines() {
    let found = errors("a: 1\nb: 2\na: 3\n", |mapping, _| {
        mapping.take("a");
        mapping.take("b");
    });
    assert_eq!(
        found,
        "app.yml:3: a: expected each key once, but found it on line 1 too; remove one of them"
    );
}

#[test]
fn a_secret_is_in_no_error() {
    let text = "\
password: s3cr3t
list: s3cr3t
map: s3cr3t
address: http://me:s3cr3t@host
users: {ann:s3cr3t}
'token:s3cr3t': 1
";
    let found = errors(text, |mapping, report| {
        let mut take = |key| mapping.take(key).unwrap();
        let what = "a long password";
        take("password")
            .parse_secret(report, what, "lengthen it", |_| None::<()>)
            .unwrap_err();
        assert!(take("list").list(report, "a list").is_err());
        assert!(take("map").mapping(report, "a mapping").is_err());
        take("address")
            .parse(report, "an address", "mend it", |_| None::<()>)
            .unwrap_err();
        let users = take("users").mapping(report, "a mapping of users").unwrap();
        for user in users.entries() {
            assert!(user.value.is_none());
            user.error(report, "has no password");
        }
    });
    assert!(!found.contains("s3cr3t"), "{found}");
    assert!(found.contains("password: expected a long password, but found something else"));
    assert!(found.contains("address: expected an address, but found a value with `@`"));
}

#[test]
fn a_secret_is_in_no_debug_text() {
    let mut report = ConfigReport::new("app.yml");
    let text = b"password: s3cr3t\n'token:s3cr3t': 1\n";
    let document = Document::parse(text, &mut report).unwrap();
    let mut mapping = document.mapping(&mut report, "a mapping").unwrap();
    let (value, entries) = (mapping.take("password"), mapping.entries());
    let debug = format!("{document:?} {mapping:?} {value:?} {entries:?}");
    assert!(debug.contains("password"), "{debug}");
    assert!(!debug.contains("s3cr3t"), "{debug}");
}

#[test]
fn what_is_looked_at_ahead_is_read_later_all_the_same() {
    let found = errors("a: {name: x}\nb: {name: [x]}\nc: x\n", |mapping, _| {
        let [a, b, c] = ["a", "b", "c"].map(|key| mapping.take(key).unwrap());
        let (text, value) = a.peek("name").unwrap();
        assert_eq!((text, value.path()), ("x", "a.name"));
        assert!(b.peek("name").is_none());
        assert!(a.peek("other").is_none() && c.peek("name").is_none());
    });
    assert_eq!(found, "");
}

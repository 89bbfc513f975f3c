//! The service's words about a scan that failed, without what is nobody's business: targets,
//! names and credentials.
//!
//! Such words are written by the scanned network as much as by the service, so they are not
//! searched for secrets. Instead only what can hardly be one stays: plain words, short
//! numbers, error codes and well-known terms. Everything else is replaced:
//!
//! - whatever has the shape of an address, a host or domain name, an account, a path, a
//!   `key=value`, an identifier or a key, since none of these is a plain word;
//! - what stands in quotation marks;
//! - what follows a word like *user*, *password*, *community* or *host*, up to a word that is
//!   not a value;
//! - the names that the same record has: of its targets, its agent and its creator.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::scrub::{REDACTED, shortened};

/// How much of a text is looked at, in characters.
const READ: usize = 2_000;

/// How much of it is kept, in characters.
const KEPT: usize = 200;

/// The longest plain word, in characters.
const LONGEST: usize = 20;

/// What a known word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Is followed by a name or a secret.
    Naming,
    /// Stands between such a word and its value.
    Linking,
    /// Stands after such a word, and is not its value.
    Saying,
    /// Is a term of the field, and not a plain word.
    Term,
}

const NAMING: &str = "account accounts address addresses communities community computer \
    credential credentials device devices domain host hostname hosts ip key keys login logon \
    machine machines node passcode passphrase password passwords principal printer pwd pass \
    router secret secrets server servers switch target targets token user username users \
    workstation";

const LINKING: &str = "a and are as called for from is name named names of on or string the to \
    was were with";

const SAYING: &str = "access after again all already an answer answered answers any appears at \
    authenticate authenticated authentication authorized be because been before being busy but by \
    cannot change changed closed configured connect connection contain contains correct could \
    denied did didn't disabled do does doesn't down error exist exists expired failed failure \
    found group had has have in incorrect invalid isn't its locked match may mismatch missing \
    mode must no not offline online out over parameters permission permissions policy provided \
    reachable reached ready refused rejected required responded responding response return \
    returned revoked running scan scanned set should supplied than that these this timed timeout \
    too unable unauthorized unavailable unknown unreachable unsupported up used uses valid \
    wasn't weren't when which while will within without wrong";

const TERMS: &str = "3des aadsts aes aes128 aes192 aes256 api cim cpu dcom des dns http https \
    icmp id ids ipv4 ipv6 ldap linux macos md5 mde mib ntlm ntlmv1 ntlmv2 oid oids ok os ping \
    powershell rdp rpc sha sha1 sha224 sha256 sha384 sha512 smb smb1 smb2 smb3 snmp snmpv1 snmpv2 \
    snmpv2c snmpv3 sql ssh sshd ssl tcp tls ttl udp unix url usm vpn windows winrm wmi";

/// Parts of other words that are followed by a name or a secret, as in `snmpCommunity`.
const STEMS: [&str; 10] = [
    "pass", "pwd", "user", "login", "account", "communit", "secret", "token", "key", "host",
];

static WORDS: LazyLock<HashMap<&str, Word>> = LazyLock::new(|| {
    let kinds = [
        (TERMS, Word::Term),
        (SAYING, Word::Saying),
        (LINKING, Word::Linking),
        (NAMING, Word::Naming),
    ];
    let words = kinds
        .into_iter()
        .flat_map(|(list, kind)| list.split_whitespace().map(move |word| (word, kind)));
    words.collect()
});

/// The text without what could name a target, an account or a secret; `names` are those that
/// the record has besides. `None` if there is none.
pub(super) fn scan_message(text: &str, names: &HashSet<String>) -> Option<Arc<str>> {
    let text = without_quotations(beginning(text));
    let mut words: Vec<&str> = Vec::new();
    let mut is_value = false;
    for word in text.split(|letter: char| letter.is_whitespace() || letter.is_control()) {
        let core = word.trim_matches(|letter: char| "()[]{}<>.,:;!?\"'".contains(letter));
        if core.is_empty() {
            // Punctuation by itself, such as the colon of `password : x`.
            continue;
        }
        let lower = core.to_lowercase();
        let known = WORDS.get(&*lower).copied();
        let is_plain = is_plain(core) || known == Some(Word::Term);
        let is_allowed = match known {
            Some(Word::Term) | None => !is_value,
            Some(_) => true,
        };
        if is_plain && is_allowed && !names.contains(&lower) {
            words.push(word);
        } else if words.last() != Some(&REDACTED) {
            words.push(REDACTED);
        }
        is_value = is_naming(&lower, is_plain) || (is_value && known != Some(Word::Saying));
        // A sentence ends, and with it what was said of a name.
        is_value &= !word.ends_with(['.', '!', '?']);
    }
    let text = shortened(words.join(" "), KEPT);
    (!text.is_empty()).then(|| text.into())
}

/// As much of a text as is looked at. A word that would be cut could become a plain one.
fn beginning(text: &str) -> &str {
    let Some((end, _)) = text.char_indices().nth(READ) else {
        return text;
    };
    let end = text[..end].rfind(char::is_whitespace);
    &text[..end.unwrap_or_default()]
}

/// Whether a name or a secret may follow: after `user's`, `snmpCommunity`, `--password`, `-u`.
fn is_naming(lower: &str, is_plain: bool) -> bool {
    let mut parts = lower.split(|letter: char| !letter.is_alphabetic());
    let odd = lower.starts_with('-') || STEMS.iter().any(|stem| lower.contains(stem));
    parts.any(|part| WORDS.get(part) == Some(&Word::Naming)) || (!is_plain && odd)
}

/// Names as a message may write them: in any case, whole and without the domain.
pub(super) fn spellings<'n>(names: impl IntoIterator<Item = &'n str>) -> HashSet<String> {
    let names = names.into_iter().flat_map(|name| {
        let name = name.trim().to_lowercase();
        let first = name.split(['.', '@']).next().unwrap_or_default();
        [first.to_owned(), name]
    });
    names.collect()
}

/// Replaces what stands in quotation marks, with the marks. A mark that is never closed goes
/// to the end; an apostrophe within a word is none.
fn without_quotations(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = rest.next() {
        let close = match letter {
            '"' | '`' => letter,
            '\'' if !before.is_alphanumeric() => letter,
            '“' | '„' => '”',
            '‘' | '‚' => '’',
            '«' => '»',
            _ => {
                clean.push(letter);
                before = letter;
                continue;
            }
        };
        while let Some(quoted) = rest.next() {
            let in_word = quoted == '\'' && rest.peek().is_some_and(|next| next.is_alphanumeric());
            if quoted == close && !in_word {
                break;
            }
        }
        clean.push(' ');
        clean.push_str(REDACTED);
        clean.push(' ');
        before = ' ';
    }
    clean
}

/// Whether a word can hardly name anything: a plain word, a short number, or an error's code.
fn is_plain(word: &str) -> bool {
    if word.len() <= 5 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    if let Some(code) = word.strip_prefix("0x") {
        return code.len() <= 8 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let is_word = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(char::is_alphabetic)
            && letters.all(|letter| letter.is_alphabetic() && !letter.is_uppercase())
    };
    // `re-tried`, `doesn't`, `I/O`.
    word.chars().count() <= LONGEST && word.split(['-', '\'', '’', '/']).all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        let names = spellings(["fileserver.corp.example", "jumphost"]);
        let clean = scan_message(text, &names);
        clean.as_deref().unwrap_or_default().to_owned()
    }

    #[test]
    fn plain_messages_stay_as_they_are() {
        for text in [
            "The credentials were refused",
            "No target answered within 30 seconds (timed out).",
            "The password is incorrect, or has expired.",
            "Access denied: error 0x80070005",
            "SNMPv3 authentication failed; the user is unknown",
            "The host is unreachable over SSH on port 22",
            "The server doesn't support SHA256. Re-try later!",
            "Das Ziel antwortet nicht",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn names_addresses_and_secrets_go() {
        let clean_of = |text: &str, secrets: &[&str]| {
            let clean = clean(text);
            for secret in secrets {
                assert!(
                    !clean.contains(secret),
                    "{secret} is in {clean}, from {text}"
                );
            }
            assert!(clean.contains(REDACTED), "{clean}");
        };
        for (text, secrets) in [
            ("Connection to 10.1.2.3:22 refused", &["10.1"][..]),
            ("No route to 10.1.0.0/24, 10.1.2.3-10.1.2.9", &["10.1"]),
            ("Connection to [fe80::1%eth0]:22 refused", &["fe80", "eth0"]),
            ("No answer of 2001:db8::17", &["2001", "db8"]),
            (
                "Unknown neighbour 00:1a:2b:3c:4d:5e or 001a.2b3c.4d5e",
                &["1a"],
            ),
            (
                "Cannot resolve db0.corp.example.",
                &["db0", "corp", "example"],
            ),
            ("Cannot resolve münchen.example", &["münchen"]),
            ("Cannot reach FILESERVER", &["FILESERVER"]),
            ("Cannot reach fileserver", &["fileserver"]),
            ("Jumphost refused it", &["umphost"]),
            ("Cannot reach srv01", &["srv01"]),
            ("host alpha refused the connection", &["alpha"]),
            ("Log on as admin@corp.example failed", &["admin", "corp"]),
            ("Log on as CORP\\alice failed", &["CORP", "alice"]),
            ("for user alice was denied", &["alice"]),
            ("for user Alice Smith was denied", &["Alice", "Smith"]),
            ("for user 'alice smith' was denied", &["alice", "smith"]),
            ("for “alice o'hara” and ‘bob’", &["alice", "hara", "bob"]),
            ("for 'o'hara' was denied", &["hara"]),
            ("denied \"alice", &["alice"]),
            ("password=hunter", &["hunter"]),
            ("password: hunter", &["hunter"]),
            ("Password : hunter", &["hunter"]),
            ("password = hunter", &["hunter"]),
            ("the user's password hunter", &["hunter"]),
            ("ssh -p hunter --user alice", &["hunter", "alice"]),
            (
                "snmpCommunity public, userName= alice",
                &["public", "alice"],
            ),
            ("the password is hunter", &["hunter"]),
            (
                "passwords for it are hunter and gatherer",
                &["hunter", "gatherer"],
            ),
            ("wrong password (hunter)", &["hunter"]),
            ("community public was refused", &["public"]),
            ("community string private was refused", &["private"]),
            ("SNMP community:public", &["public"]),
            (
                "tried hunter2, P@ssword, pass_word and hUnter",
                &["hunter2", "P@", "pass_", "hUn"],
            ),
            ("key MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", &["MIIE"]),
            ("abcdefghijklmnopqrstuvwxyz is what it is", &["abc"]),
            (
                "see https://portal.example/x?sig=1 or /home/alice/.ssh",
                &["portal", "sig", "alice"],
            ),
            ("serial 123456789", &["123"]),
            ("-----BEGIN PRIVATE KEY-----\nabcd", &["PRIVATE"]),
            (
                "pass\u{200b}word hunter\u{202e}x",
                &["hunter", "\u{202e}", "\u{200b}"],
            ),
        ] {
            clean_of(text, secrets);
        }
    }

    #[test]
    fn what_is_long_or_empty_is_bounded() {
        assert_eq!(clean(" \n\u{0} : "), "");
        let long = clean(&"word ".repeat(100_000));
        assert_eq!(long.chars().count(), KEPT + 1);
        assert_eq!(clean(&"10.0.0.1 ".repeat(100_000)), REDACTED);
        let cut = format!("{}hunter2", "1.1 ".repeat(READ / 4 - 1));
        assert_eq!(clean(&cut), REDACTED);
    }
}

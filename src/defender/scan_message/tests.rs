use super::*;

/// Passwords, accounts and host names that are often used.
const COMMON: &str = include_str!("common_names.txt");

fn clean(text: &str) -> String {
    let names = spellings(["fileserver.corp.example", "jumphost"]);
    let clean = scan_message(text, &names);
    clean.as_deref().unwrap_or_default().to_owned()
}

#[test]
fn the_lists_are_sorted_and_share_nothing() {
    for list in [PLAIN, LINKING, DOUBTFUL, PHRASES, COMMON] {
        let lines: Vec<_> = list.lines().collect();
        assert!(lines.is_sorted_by(|one, next| one < next), "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.trim() == *line && !line.is_empty())
        );
    }
    let all = [PLAIN, LINKING, DOUBTFUL].map(|list| list.lines().count());
    assert_eq!(WORDS.len(), all.iter().sum::<usize>());
}

#[test]
fn no_word_that_always_stays_is_a_common_name_or_password() {
    let common: HashSet<_> = COMMON.lines().collect();
    let known = [PLAIN, LINKING].into_iter().flat_map(str::lines);
    let both: Vec<_> = known
        .filter(|word| common.contains(&*word.to_lowercase()))
        .collect();
    assert!(both.is_empty(), "{both:?}");
}

#[test]
fn phrases_save_none_but_doubtful_words_and_numbers() {
    for phrase in SET_PHRASES.values().flatten() {
        let kinds = phrase.iter().map(|word| match *word {
            "#" => Kind::Number,
            word => Word::new(word).kind,
        });
        let kinds: Vec<_> = kinds.collect();
        assert!(
            kinds.contains(&Kind::Doubtful) || kinds.contains(&Kind::Number),
            "{phrase:?}"
        );
        assert!(!kinds.contains(&Kind::Unknown), "{phrase:?}");
        assert!(kinds.len() > 1, "{phrase:?}");
    }
}

#[test]
fn plain_messages_stay_as_they_are() {
    let messages = include_str!("readable.txt");
    assert!(messages.lines().count() > 150);
    for text in messages.lines() {
        assert_eq!(clean(text), text);
    }
}

#[test]
fn of_other_messages_the_sense_stays() {
    for (text, expected) in [
        ("password was not hunter", "password was not [redacted]"),
        (
            "password was refused. public",
            "password was refused. [redacted]",
        ),
        (
            "password unknown; tried hunter",
            "password [redacted] tried [redacted]",
        ),
        (
            "Login failed for user: alice",
            "Login failed for user: [redacted]",
        ),
        ("Login failed for server", "Login failed for [redacted]"),
        ("db-primary is down", "[redacted] is down"),
        ("cannot reach web-frontend", "cannot reach [redacted]"),
        (
            "SNMPv3: auth passphrase ambitious and priv passphrase opulent were refused",
            "SNMPv3: auth passphrase [redacted] and [redacted] were refused",
        ),
        (
            "ssh: connect to host srv01 port 22: Connection refused",
            "ssh: connect to host [redacted] port 22: Connection refused",
        ),
        (
            "No target in 10.99.0.0/24 answered within 30 seconds to community opendoor",
            "No target in [redacted] answered within 30 seconds to community [redacted]",
        ),
        (
            "Error - access denied (5)",
            "Error access denied [redacted]",
        ),
        (
            "the passphrase “connection refused” was wrong",
            "the passphrase [redacted] was wrong",
        ),
        // Languages other than English.
        ("Zugriff verweigert: error 5", "[redacted] error 5"),
        ("the jumphost's port 22", "the [redacted] port 22"),
    ] {
        assert_eq!(clean(text), expected, "{text}");
    }
}

#[test]
fn a_listed_word_goes_if_the_record_has_it_as_a_name() {
    let clean = scan_message("The server is down", &spellings(["Server.corp.example"]));
    assert_eq!(clean.as_deref(), Some("The [redacted] is down"));
}

/// What could be a name or a secret, in all shapes.
const CANARIES: &str = "hunter Hunter hunter2 HUNTER hUnter alice Alice Smith mallory O'Hara o’hara \
    d'artagnan FileStamp db-primary web-frontend DB-PRIMARY fileserver jumphost srv01 \
    srv-01.corp.example corp.example CORP\\alice alice@corp.example .\\admin 10.1.2.3 10.1.2.0/24 \
    fe80::1%eth0 00:1a:2b:3c:4d:5e münchen Müller Пароль 小明 ｐａｓｓ pa\u{200b}ss \u{202e}ssap \
    pаssword P@ssword p,a,s;s pa$$ s3cr3t! #1cat 12345 4711 0000 123456789 0xdeadbeef 1.2 99s \
    public private admin Administrator root guest secret default cisco manager letmein welcome \
    c2VjcmV0LTEyMzQ1Njc4 /home/alice/.ssh/id_rsa https://u:p@web.example/?k=v open-sesame \
    ReFused x=y {z} <b> correcthorsebatterystaple kennwort";

/// Words of the list that may be a name or a secret as well.
const DOUBTS: &str = "server Server SERVER access network security \
    system snmp router switch gateway service computer client support test sudo unknown temporary \
    will Will may May workgroup ssh";

/// Words that say what something is, and could be it.
const LABELS: &str = "user password login community host";

/// Where they may stand without that a word says what they are.
const BARE: &str = "{}
{} is down
{} refused the connection
cannot reach {}
No answer from {}, {} or {}
({}) timed out
[{}] {} closed
error 5 {}
denied:{}
the “{}” was refused
The password is incorrect.{}";

/// Where a word says what they are.
const NAMED: &str = "password {}
password: {}
password : {}
Password={}
password = {} was refused
password is {}
password was not {}
password isn't {}
the password was refused. {}
the password was refused! {}
the password was refused; {}
the password was refused ({})
the password was refused: {}
the password was refused - {}
the password was refused [{}]
password unknown; tried {}
passwords tried: {}, {}, {}
passwd {}
pw {}
pwd:{}
PIN {}
psk '{}'
passphrase \"{}\"
passphrase `{}`
passphrase «{}»
SNMP {}
SNMP: {}
SNMPv2c {} timed out
SNMPv3 auth passphrase {} priv passphrase {}
SNMPv3 authPriv SHA {} AES {}
SNMP community {} was refused
snmpCommunity {}
community string {}
community strings: {} and {}
Login failed for {}
Login failed for user: {}
Login failed: {}
Login as {} failed
Login by {} failed with {}
Login to {} failed
login {}
user {} was denied
user {} or {}
for user '{}' was denied
User name {}; password {}
the user's password {}
account {} is locked
host {} is unreachable
host name: {}
Host {}:22 refused
server {} answered
Cannot resolve host {}
domain {}, user {}
key {}
token={}
--password {}
--user={}
-u alice -p {}
{\"password\": \"{}\"}
{\"user\":\"{}\",\"host\":\"{}\"}
{user: {}, password: {}}
<password>{}</password>
<user name={} password={}/>
<host> {} </host>
user,password,{}
user;host;{}
user\t{}\tpassword\t{}
user|{}|password|{}
password:\u{2028}{}
password\u{0}{}
ssh://{}@host:22
host=db-primary; user={}; password={};
Benutzer {} und Kennwort {}
mot de passe : {}
10.1.2.3: {}";

/// Counts the messages; none holds a canary more often than if something else were in its place.
fn assert_gone(templates: &str, canaries: &str) -> usize {
    let (mut messages, mut leaks) = (0, Vec::new());
    for template in templates.lines() {
        for canary in canaries.split_whitespace() {
            let with = |value: &str| clean(&template.replace("{}", value)).to_lowercase();
            let count = |text: &str| text.matches(&canary.to_lowercase()).count();
            if count(&with(canary)) > count(&with("xyzzy-1")) {
                leaks.push((canary, template, with(canary)));
            }
            messages += 1;
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    messages
}

#[test]
fn no_canary_survives() {
    let bare = assert_gone(BARE, CANARIES);
    let named = assert_gone(NAMED, CANARIES) + assert_gone(NAMED, DOUBTS);
    // These make a set phrase with other words, as in *SNMP community*.
    let apart = NAMED.lines().filter(|template| {
        !["SNMP", "Login", " or ", " and "]
            .iter()
            .any(|word| template.contains(word))
    });
    assert_gone(&apart.collect::<Vec<_>>().join("\n"), LABELS);
    assert!(bare + named > 5_000, "{bare} and {named}");
    for common in COMMON.lines().filter(|word| !WORDS.contains_key(word)) {
        assert_gone("{}\npassword {}\nrefused {}", common);
    }
}

#[test]
fn what_is_long_or_empty_is_bounded() {
    assert_eq!(clean(" \n\u{0} : "), "");
    let long = clean(&"error ".repeat(100_000));
    assert_eq!(long.chars().count(), KEPT + 1);
    assert_eq!(clean(&"10.0.0.1 ".repeat(100_000)), REDACTED);
    let cut = format!("{}refused2", "1.1 ".repeat(READ / 4 - 2));
    assert_eq!(clean(&cut), REDACTED);
}

#[test]
fn an_account_with_its_domain_is_a_name_without_it_too_and_addresses_are_no_codes() {
    let names = spellings(["CORP\\scan", "corp/service"]);
    let clean = |text: &str| {
        scan_message(text, &names)
            .expect("there is some")
            .to_string()
    };
    assert!(!clean("scan timed out").contains("scan"));
    assert!(!clean("service timed out").contains("service"));
    assert!(!clean("host 0xC0A80101 is not reachable").contains("C0A8"));
    assert!(!clean("key 0x80ABCDEF").contains("ABCDEF"));
    assert!(clean("failed with 0x80070005").contains("0x80070005"));
}

//! The service's words about a scan that failed, without what is nobody's business: targets,
//! names and credentials.
//!
//! Such words are written by the scanned network as much as by the service, and any word can be
//! a password or a host's name. So they are not searched for secrets: only words of these lists
//! stay, and everything else is replaced.
//!
//! - `plain.txt`: what such messages say, and what is no usual name or password. It stays.
//! - `linking.txt`: the same, but a name or a secret may follow, as in *the password is …*.
//! - `doubtful.txt`: what such messages need, but what may be a name or a secret as well, such
//!   as *server*. It stays until something is said that can have a name, and from then on only
//!   right after a plain word: *denied access* stays, the end of *for user server* does not.
//! - `phrases.txt`: where doubtful words stay in any case, and numbers (`#`), too, which stay
//!   nowhere else.
//!
//! Nothing in quotation marks stays, nor does a name that the same record has.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::scrub::{REDACTED, shortened};

/// What codes of Windows' errors begin with: of COM, Win32, WMI, the security packages, `WinRM` and
/// the kernel. Others may be addresses in hexadecimal.
const FACILITIES: [&str; 7] = ["8000", "8004", "8007", "8009", "8033", "C000", "8002"];

/// How much of a text is looked at, in characters.
const READ: usize = 2_000;

/// How much of it is kept, in characters.
const KEPT: usize = 200;

const PLAIN: &str = include_str!("scan_message/plain.txt");
const LINKING: &str = include_str!("scan_message/linking.txt");
const DOUBTFUL: &str = include_str!("scan_message/doubtful.txt");
const PHRASES: &str = include_str!("scan_message/phrases.txt");

/// What a word is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Linking,
    Doubtful,
    Number,
    Unknown,
}

static WORDS: LazyLock<HashMap<&str, Kind>> = LazyLock::new(|| {
    let lists = [
        (PLAIN, Kind::Plain),
        (LINKING, Kind::Linking),
        (DOUBTFUL, Kind::Doubtful),
    ];
    let words = lists
        .into_iter()
        .flat_map(|(list, kind)| list.lines().map(move |word| (word, kind)));
    words.collect()
});

/// The phrases by their first word.
static SET_PHRASES: LazyLock<HashMap<&str, Vec<Vec<&str>>>> = LazyLock::new(|| {
    let mut phrases: HashMap<_, Vec<_>> = HashMap::new();
    for line in PHRASES.lines() {
        let phrase: Vec<_> = line.split(' ').collect();
        phrases.entry(phrase[0]).or_default().push(phrase);
    }
    phrases
});

/// What stands between white space.
struct Word<'t> {
    text: &'t str,
    /// In lower case and without punctuation, of which some words consist; `#` is any number.
    core: String,
    kind: Kind,
}

impl<'t> Word<'t> {
    fn new(text: &'t str) -> Self {
        let core = text.trim_matches(is_punctuation);
        let mut lower = core.replace('’', "'").to_ascii_lowercase();
        if let Some(owner) = lower.strip_suffix("'s") {
            lower.truncate(owner.len());
        }
        let kind = if is_number(core) {
            "#".clone_into(&mut lower);
            Kind::Number
        } else if is_error_code(core) {
            Kind::Plain
        } else {
            // Odd capitals make another word, unless it is listed with them.
            let known = WORDS.get(core);
            let known = known.or_else(|| WORDS.get(&*lower).filter(|_| !has_odd_capitals(core)));
            known.copied().unwrap_or(Kind::Unknown)
        };
        Self {
            text,
            core: lower,
            kind,
        }
    }
}

/// The text without what could name a target, an account or a secret; `names` are those that
/// the record has besides. `None` if there is none.
pub(super) fn scan_message(text: &str, names: &HashSet<String>) -> Option<Arc<str>> {
    let text = without_quotations(beginning(text));
    let words: Vec<Word<'_>> = text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
        .map(Word::new)
        .collect();
    let in_phrase = in_phrases(&words);
    let mut said: Vec<&str> = Vec::new();
    // Whether anything was said that can have a name, and whether a plain word was just said.
    let (mut subject, mut after_plain) = (false, false);
    for (word, in_phrase) in words.iter().zip(in_phrase) {
        if word.core.is_empty() {
            // Such as the colon of `password : x`.
            after_plain = false;
            continue;
        }
        let stays = match word.kind {
            Kind::Plain | Kind::Linking => true,
            Kind::Doubtful => {
                let joined = after_plain && !word.text.starts_with(is_punctuation);
                in_phrase || joined || !subject
            }
            Kind::Number => in_phrase,
            Kind::Unknown => false,
        };
        let stays = stays && !names.contains(&word.core);
        if stays {
            said.push(word.text);
        } else if said.last() != Some(&REDACTED) {
            said.push(REDACTED);
        }
        subject |= !stays || word.kind == Kind::Doubtful;
        after_plain = stays && word.kind == Kind::Plain && !word.text.ends_with(is_punctuation);
    }
    let text = shortened(said.join(" "), KEPT);
    (!text.is_empty()).then(|| text.into())
}

/// Which words are part of a set phrase.
fn in_phrases(words: &[Word<'_>]) -> Vec<bool> {
    let mut found = vec![false; words.len()];
    for start in 0..words.len() {
        let before = words[..start].last();
        // After a word that can have a name, the first word of a phrase may be that name.
        let may_start = before.is_none_or(|before| {
            matches!(before.kind, Kind::Plain | Kind::Linking)
                || words[start].kind != Kind::Doubtful
                || is_apart(before, &words[start])
        });
        let phrases = SET_PHRASES.get(&*words[start].core);
        for phrase in phrases.filter(|_| may_start).into_iter().flatten() {
            let end = start + phrase.len();
            if words.get(start..end).is_some_and(|here| is(here, phrase)) {
                found[start..end].fill(true);
            }
        }
    }
    found
}

/// Whether the words are that phrase, with punctuation before its numbers alone.
fn is(words: &[Word<'_>], phrase: &[&str]) -> bool {
    let mut pairs = words.iter().zip(&words[1..]);
    words
        .iter()
        .map(|word| &*word.core)
        .eq(phrase.iter().copied())
        && pairs.all(|(one, next)| next.kind == Kind::Number || !is_apart(one, next))
}

/// Whether there is punctuation between two words.
fn is_apart(one: &Word<'_>, next: &Word<'_>) -> bool {
    one.text.ends_with(is_punctuation) || next.text.starts_with(is_punctuation)
}

/// As much of a text as is looked at. A word that would be cut could become a known one.
fn beginning(text: &str) -> &str {
    let Some((end, _)) = text.char_indices().nth(READ) else {
        return text;
    };
    let end = text[..end].rfind(char::is_whitespace);
    &text[..end.unwrap_or_default()]
}

/// Names as a message may write them: in any case, whole and without the domain.
pub(super) fn spellings<'n>(names: impl IntoIterator<Item = &'n str>) -> HashSet<String> {
    let names = names.into_iter().flat_map(|name| {
        let name = name.trim().to_lowercase();
        let first = name.split(['.', '@']).next().unwrap_or_default();
        let last = name.rsplit(['\\', '/']).next().unwrap_or_default();
        [first.to_owned(), last.to_owned(), name]
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

fn is_punctuation(letter: char) -> bool {
    "()[]{}<>.,:;!?\"'=|-–—".contains(letter)
}

/// `22`, `1.2`, and `30s` or `500ms`.
fn is_number(word: &str) -> bool {
    let seconds = word.strip_suffix("ms").or_else(|| word.strip_suffix('s'));
    let digits = seconds.unwrap_or(word);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (1..=5).contains(&whole.len()) && part.len() == 1 && is_digits(whole) && is_digits(part)
}

/// A failure's `HRESULT` or `NTSTATUS`: `0x80070005`, `0xC000006D`.
fn is_error_code(word: &str) -> bool {
    let Some(code) = word.strip_prefix("0x") else {
        return false;
    };
    let is_known = FACILITIES.iter().any(|facility| {
        let start = code.get(..facility.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(facility))
    });
    code.len() == 8 && is_known && code.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether capitals stand anywhere but at the beginning, or everywhere.
fn has_odd_capitals(word: &str) -> bool {
    let is_upper = |letter: char| letter.is_ascii_uppercase();
    word.chars().skip(1).any(is_upper) && word.chars().any(|letter| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;

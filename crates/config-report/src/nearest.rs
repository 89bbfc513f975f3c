//! Did you mean …?

/// The known key that differs least, if it is near enough to be meant.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |key: &str| key.to_ascii_lowercase().replace(['-', ' '], "_");
    let key = plain(key);
    let most = |candidate: &str| 1 + candidate.len() / 5;
    known
        .iter()
        // The distance is no less than what the lengths differ by; a value may be long.
        .filter(|candidate| key.len().abs_diff(candidate.len()) <= most(candidate))
        .map(|candidate| (distance(&key, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= most(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The name that `value` was meant to be: as [`nearest`], but numbers are never misspelt.
pub(crate) fn meant<'k>(value: &str, names: &[&'k str]) -> Option<&'k str> {
    fn digits(text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(char::is_ascii_digit)
    }
    nearest(value, names).filter(|name| digits(name).eq(digits(value)))
}

/// Levenshtein's distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("tenant", "tenants"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_value_is_meant_but_no_other_number() {
        let names = ["TLS12", "TLS13", "gcc-high"];
        for (value, name) in [
            ("tls1.2", Some("TLS12")),
            ("TLS10", None),
            ("TLS14", None),
            ("GCC High", Some("gcc-high")),
        ] {
            assert_eq!(meant(value, &names), name, "{value}");
        }
    }

    #[test]
    fn the_nearest_key_must_be_near() {
        let known = ["name", "tenant_id", "keepAlive", "a_b_c_d"];
        for (key, meant) in [
            ("tennant_id", Some("tenant_id")),
            ("Tenant-ID", Some("tenant_id")),
            ("keepalive", Some("keepAlive")),
            ("A-b-c-d", Some("a_b_c_d")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, &known), meant, "{key}");
        }
    }
}

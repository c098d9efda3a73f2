//! The nearest known word to one that is not known, for hints.

/// Longest word that is compared; the work grows with the square of it.
const MAX_WORD_CHARS: usize = 64;
/// Most words it is compared with.
const MAX_CANDIDATES: usize = 500;
/// Words further away than this share of their length are not offered.
const MAX_DISTANCE_SHARE: f64 = 0.4;

/// The candidate with the smallest edit distance to `word`, if one is near enough to be meant.
///
/// Case and the difference between `-`, `_` and a blank count for nothing, transposed letters once. Among equals the
/// first candidate wins, so the answer is stable.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.chars().count() > MAX_WORD_CHARS {
        return None;
    }
    let plain = flatten(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
        let distance = strsim::damerau_levenshtein(&plain, &flatten(candidate));
        let length = word.chars().count().max(candidate.chars().count());
        let near = distance == 0 || distance as f64 <= (length as f64 * MAX_DISTANCE_SHARE).max(1.0);
        if near && best.is_none_or(|(known, _)| distance < known) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// “did you mean …?”, if anything is near.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean “{candidate}”?"))
}

fn flatten(word: &str) -> String {
    word.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_table_of_slips() {
        let keys =
            ["connect_timeout", "enabled", "keepalive", "keepalive_timeout", "pool", "port", "protocol"];
        for (word, expected) in [
            ("prot", Some("port")),
            ("poort", Some("port")),
            ("pol", Some("pool")),
            ("keep_alive", Some("keepalive")),
            ("keepAlive", Some("keepalive")),
            ("connect-timeout", Some("connect_timeout")),
            ("Enabled", Some("enabled")),
            ("enable", Some("enabled")),
            ("protocoll", Some("protocol")),
            ("monitors", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest(&"p".repeat(100_000), keys), None, "long words cost nothing");
    }
}

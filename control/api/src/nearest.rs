//! The name somebody probably meant.
//!
//! Used by the daemon for names in requests and by the configuration for keys and names, so that both guess alike.

/// The candidate closest to `word`, when it is close enough to be worth saying.
///
/// Close enough is one edit in every three letters (Damerau-Levenshtein, so a swapped pair is one edit), or one being
/// the other's beginning: `address` for `addresses`. A wilder guess misleads more than it helps.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

fn distance(word: &str, candidate: &str) -> usize {
    let prefix =
        word.len() >= 3 && (candidate.starts_with(word) || (candidate.len() >= 3 && word.starts_with(candidate)));
    if prefix { 1 } else { strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()) }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_understood_and_a_stranger_is_not() {
        let keys = ["gateways", "gateway_mac", "mtu", "mac_age", "learning"];
        assert_eq!(nearest("gatways", keys), Some("gateways"));
        assert_eq!(nearest("mut", keys), Some("mtu"));
        assert_eq!(nearest("Learning", keys), Some("learning"));
        assert_eq!(nearest("mac", keys), Some("mac_age"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("mtu", keys), None, "the word itself is no suggestion");
    }
}

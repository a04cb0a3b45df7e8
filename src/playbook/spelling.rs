//! What a misspelt word was meant to be.
//!
//! A suggestion that is wrong is worse than none, so only near misses count: the same word in
//! another notation, or few edits for its length.

/// The candidate that `word` was most likely meant to be.
pub(super) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Nothing that long is a near miss, and the distance takes quadratic time.
    if word.len() > 64 {
        return None;
    }
    let word = plain(word);
    let allowed = match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Lower case without separators: `minRequests`, `min-requests` and `min_requests` are one word.
fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(ca != cb);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let fields = ["stages", "service", "min_requests", "bake"];
        assert_eq!(closest("stage", fields), Some("stages"));
        assert_eq!(closest("minRequests", fields), Some("min_requests"));
        assert_eq!(closest("sevrice", fields), Some("service"));
        assert_eq!(closest("Bake", fields), Some("bake"));
        assert_eq!(closest("wait", fields), None);
        assert_eq!(closest("", fields), None);
    }
}

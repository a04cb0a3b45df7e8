//! The tags by which a run knows what it made.
//!
//! Keys that start with `migrate:` are marks. What bears the marks of a wish is its outcome, whoever
//! called; what does not is somebody else's, and is neither adopted nor touched.

use std::collections::BTreeMap;

/// The marks among these tags.
pub(super) fn marks(tags: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    tags.iter()
        .filter(|(key, _)| key.starts_with("migrate:"))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Whether something with these tags was made for this wish. A wish without marks knows nothing
/// again.
pub(super) fn bears_marks(tags: &BTreeMap<String, String>, wish: &BTreeMap<String, String>) -> bool {
    let wanted = marks(wish);
    let found = marks(tags);
    !wanted.is_empty() && wanted.iter().all(|(key, value)| found.get(key) == Some(value))
}

/// Whether AWS keeps this tag for itself, and refuses it from us.
pub(super) fn is_reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn marks_make_it_ours() {
        let wish = tags(&[("migrate:run", "web"), ("team", "a")]);
        assert!(bears_marks(&tags(&[("migrate:run", "web")]), &wish));
        assert!(bears_marks(&tags(&[("migrate:run", "web"), ("x", "y")]), &wish));
        assert!(!bears_marks(&tags(&[("migrate:run", "api"), ("team", "a")]), &wish));
        assert!(!bears_marks(&tags(&[("team", "a")]), &wish));
        assert!(!bears_marks(&tags(&[("team", "a")]), &tags(&[("team", "a")])));
    }

    #[test]
    fn aws_keeps_its_own() {
        assert!(is_reserved("aws:cloudformation:stack-name"));
        assert!(is_reserved("AWS:x"));
        assert!(!is_reserved("awsome"));
        assert!(!is_reserved("a"));
    }
}

//! Whatever the input is: no panic, and every refusal can be shown and acted on.

use migrate::finding::{Severity, blocks};
use migrate::playbook::{Decoded, decode};
use migrate::report::diagnostic::render;
use proptest::prelude::*;

use super::value::FULL;

/// What must hold for every answer of the decoder.
fn check(bytes: &[u8]) -> Decoded {
    let lookup = |name: &str| name.len().is_multiple_of(2).then(|| name.to_owned());
    let decoded = decode(bytes, &lookup);
    assert_eq!(decoded.playbook.is_none(), blocks(&decoded.findings));
    let text = String::from_utf8_lossy(bytes);
    for finding in &decoded.findings {
        assert!(
            !finding.message.is_empty() && (!finding.remedy.is_empty() || finding.severity == Severity::Info),
            "{finding:?}"
        );
        if let Some(place) = finding.place {
            let lines = text[..place.start].bytes().filter(|b| *b == b'\n').count();
            assert_eq!(place.line, lines + 1, "{finding:?}");
            assert!(place.start <= place.end && text.get(place.start..place.end).is_some(), "{finding:?}");
        }
    }
    for color in [false, true] {
        let shown = render(&decoded.findings, "playbook.yaml", &text, color);
        assert_eq!(shown.is_empty(), decoded.findings.is_empty());
    }
    decoded
}

/// Pieces of which broken playbooks are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "\t",
            "\n",
            "\r\n",
            " ",
            "  ",
            "- ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "&a ",
            "*a",
            "!!str ",
            "!x ",
            "? ",
            "<<: ",
            "|\n",
            ">-\n",
            "\"",
            "'",
            "#",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "${",
            "}",
            "$${",
            "${A}",
            "no",
            "~",
            "0x1F",
            ".inf",
            "1e999",
            "10",
            "100%",
            "15M",
            "1h30m",
            "s3://",
            "arn:aws:",
            "\u{feff}",
            "é",
            "\u{1f600}",
            "\u{2028}",
            "stages",
            "green",
            "variables: ",
            "\u{7f}",
            "\0",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_text(text in "(?s).{0,200}") {
        check(text.as_bytes());
    }

    #[test]
    fn arbitrary_yaml(pieces in proptest::collection::vec(piece(), 0..40)) {
        check(pieces.concat().as_bytes());
    }

    /// A whole playbook with pieces put in, cut out or repeated.
    #[test]
    fn mutated_playbooks(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..20, piece()), 1..6)) {
        let mut text: Vec<char> = FULL.chars().collect();
        for (at, cut, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        check(text.into_iter().collect::<String>().as_bytes());
    }
}

#[test]
fn hostile_sizes_end_quickly() {
    let deep_flow = "[".repeat(100_000);
    let deep_block = (0..500).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    let wide = "x: 1\n".repeat(150_000);
    let one_line = format!("a: [{}]\n", "no, ".repeat(200_000));
    let anchors = (0..5000).map(|n| format!("k{n}: &a{n} x\n")).collect::<String>();
    let quotes = "\"".repeat(1 << 19);
    let variables = format!("a: \"{}\"\n", "${A".repeat(100_000));
    let tags = format!("a: {}\n", "!a ".repeat(100_000));
    let merge = format!("a: &a {{ x: 1 }}\nb: {{ {} }}\n", "<<: *a, ".repeat(10_000));
    let questions = "? ".repeat(300_000);
    let dashes = "- ".repeat(300_000);
    for text in [deep_flow, deep_block, wide, one_line, anchors, quotes, variables, tags, merge, questions, dashes] {
        let begun = std::time::Instant::now();
        let decoded = check(text.as_bytes());
        assert!(decoded.playbook.is_none());
        assert!(decoded.findings.len() <= 101);
        assert!(begun.elapsed().as_secs() < 20, "{:?} for {:?}", begun.elapsed(), &text[..20]);
    }
}

/// A line that is too long to be shown is still named.
#[test]
fn an_endless_line_is_named_without_being_shown() {
    let text = format!("{{ \"version\": 1, {} \"colour\": 1 }}", " ".repeat(5000));
    let shown = render(&check(text.as_bytes()).findings, "playbook.yaml", &text, false);
    assert!(shown.contains("unknown field `colour`\n--> playbook.yaml:1:5018\n"), "{shown}");
    assert!(shown.len() < 2000);
}

/// Remedies, places and evidence of a long list are cut off rather than endless.
#[test]
fn endless_mistakes_are_counted() {
    let text = (0..300).map(|n| format!("field{n}: 1\n")).collect::<String>();
    let findings = check(text.as_bytes()).findings;
    assert_eq!(findings.len(), 101);
    assert_eq!(findings[100].rule, "more-mistakes");
}

#[test]
fn a_playbook_cannot_drive_the_terminal() {
    let text = "version: 1\nname: \"\\e[2J\\a\"\n\"\\e]0;owned\\a\": 1\nregion: \"\\e[31m\"\n";
    let findings = check(text.as_bytes()).findings;
    let shown = render(&findings, "play\u{1b}book.yaml", text, false);
    assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
}

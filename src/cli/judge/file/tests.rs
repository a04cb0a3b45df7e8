//! The file of `--input`: what is taken, what is refused and where.

use super::*;
use crate::gate::Verdict;
use crate::gate::course::Course;

const MINUTE: &str = r#"{"green":{"requests":300,"bad":1},"blue":{"requests":5700,"bad":6}}"#;

#[test]
fn what_is_absent_has_its_default() {
    let ledger = parse(&format!(r#"{{"minutes":[{MINUTE}]}}"#)).unwrap();
    assert_eq!(ledger.starts, Starts::planned(60, &[0, 12]));
    assert_eq!((ledger.false_rollback, ledger.metrics.len(), ledger.metrics[0].phi), (0.01, 1, 1.0));
    let full = format!(
        r#"{{"planned_minutes":30,"stage_starts":[0],"false_rollback":0.05,"rho0":1.5,"delta0":0,"phi":2.5,"hard_limit":0.02,"minutes":[{MINUTE}]}}"#
    );
    let ledger = parse(&full).unwrap();
    assert_eq!((ledger.false_rollback, ledger.metrics.len(), ledger.metrics[0].phi), (0.05, 2, 2.5));
}

#[test]
fn what_was_not_reported_is_no_number() {
    let text =
        r#"{"minutes":[{"green":{"requests":null},"blue":null},{"green":{}},{"blue":{"requests":7,"bad":null}}]}"#;
    let ledger = parse(text).unwrap();
    assert_eq!(ledger.minutes.len(), 3);
    assert!(ledger.minutes.iter().all(|row| row.pair(0).is_none()));
    assert_eq!(Course::of(&ledger).verdict, Verdict::NotEnoughEvidence);
    assert_eq!(Course::of(&parse(r#"{"minutes":[]}"#).unwrap()).verdict, Verdict::NotEnoughEvidence);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let table = [
        ("{", "EOF", 1, "{"),
        ("", "EOF", 1, ""),
        ("{\n  \"minutes\": [],\n  \"fi\": 3\n}", "unknown field `fi`", 3, "fi"),
        (r#"{"minutes":[{"green":{"requests":1,"errors":2}}]}"#, "unknown field `errors`", 1, "errors"),
        (r#"{"phi":0.5,"minutes":[]}"#, "0.5 is not a factor of at least 1", 1, "0.5"),
        (r#"{"false_rollback":1,"minutes":[]}"#, "1 is not a chance between 0 and 1", 1, "1"),
        (r#"{"delta0":-1e-4,"minutes":[]}"#, "-0.0001 is not a rate from 0 to 1", 1, "-1e-4"),
        (r#"{"hard_limit":0,"minutes":[]}"#, "0 is not a rate above 0", 1, "0"),
        (r#"{"planned_minutes":0,"minutes":[]}"#, "at least one planned minute", 1, "0"),
        (r#"{"minutes":[{"green":{"requests":NaN}}]}"#, "expected value", 1, "N"),
        (r#"{"minutes":[{"green":{"requests":1e999}}]}"#, "number out of range", 1, "1e999"),
        (r#"{"minutes":[],"minutes":[]}"#, "duplicate field", 1, "minutes"),
        ("{\"minutes\":[],\n\"stage_starts\":[0,60]}", "minute 60 of 60 planned", 2, "stage_starts"),
        (r#"{"minutes":[]} x"#, "trailing characters", 1, "x"),
    ];
    for (text, message, line, underlined) in table {
        let finding = parse(text).unwrap_err();
        assert!(finding.message.contains(message), "{text}: {}", finding.message);
        assert!(!finding.remedy.is_empty(), "{text}");
        let place = finding.place.unwrap();
        assert_eq!((place.line, &text[place.start..place.end]), (line, underlined), "{text}: {}", finding.message);
        let before = text[..place.start].lines().last().filter(|_| !text[..place.start].ends_with('\n'));
        assert_eq!(place.column, before.map_or(0, |line| line.chars().count()) + 1, "{text}");
    }
}

#[test]
fn minutes_cannot_be_left_out() {
    let missing = parse(r#"{"phi":1}"#).unwrap_err();
    assert_eq!((missing.message.as_str(), missing.place), ("the field `minutes` is missing", None));
    assert!(parse("[]").is_err() && parse("3").is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_answer(text in r#"[{}\[\]":,0-9a-zäé \n.-]{0,60}"#) {
        if let Err(finding) = parse(&text) {
            let rendered = render(std::slice::from_ref(&finding), "minutes.json", &text, false);
            proptest::prop_assert!(!rendered.is_empty());
        }
    }
}

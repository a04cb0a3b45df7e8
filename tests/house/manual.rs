//! README and CHANGELOG against the code: what they list is what there is.

use std::collections::BTreeSet;

use super::none;
use super::source::{root, tree};

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The part of a Markdown text under a heading, up to the next heading of the same rank.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rest = &text[start + heading.len() + 2..];
    let rank = heading.split(' ').next().unwrap();
    rest.find(&format!("\n{rank} ")).map_or(rest, |end| &rest[..end])
}

#[test]
fn the_changelog_keeps_its_shape() {
    let text = file("CHANGELOG.md");
    assert!(text.starts_with("# Changelog\n"), "the title is `# Changelog`");
    assert!(text.contains("keepachangelog.com"), "it says which shape it keeps");
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    let mut offences = Vec::new();
    let releases: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    if releases.first() != Some(&"[Unreleased]") {
        offences.push("the first release is `## [Unreleased]`".to_owned());
    }
    let dated = |release: &&str| {
        release.split_once("] - ").is_some_and(|(name, date)| name.starts_with('[') && date.len() == 10)
    };
    offences.extend(
        releases.iter().skip(1).filter(|r| !dated(r)).map(|r| format!("`## {r}` is not `## [1.2.3] - 2026-01-31`")),
    );
    let known = |line: &&str| kinds.contains(&line.trim_start_matches("### "));
    offences.extend(
        text.lines().filter(|l| l.starts_with("### ")).filter(|l| !known(l)).map(|l| format!("unknown kind `{l}`")),
    );
    none(offences);
}

/// The policy allows every call that the adapter makes, and nothing that it does not need.
#[test]
fn the_policy_in_the_readme_is_what_the_adapter_calls() {
    // What AWS asks for beside the call itself: tags at creation, roles that are handed over, the
    // alarms that Application Auto Scaling keeps for a target tracking policy, and what WAF asks of both sides.
    let beside = [
        "cloudwatch:DeleteAlarms",
        "cloudwatch:PutMetricAlarm",
        "ecs:TagResource",
        "elasticloadbalancing:AddTags",
        "elasticloadbalancing:SetWebACL",
        "iam:PassRole",
        "wafv2:GetWebACL",
    ];
    let services =
        ["ecs", "elasticloadbalancing", "cloudwatch", "application-autoscaling", "route53", "sns", "sts", "wafv2"];
    let action = |word: &str| {
        let (service, call) = word.split_once(':')?;
        let is_call = call.len() > 3 && call.chars().all(char::is_alphanumeric) && call.starts_with(char::is_uppercase);
        (services.contains(&service) && is_call).then(|| word.to_owned())
    };
    let adapter: Vec<_> = tree().into_iter().filter(|file| file.path.starts_with("src/cloud/aws")).collect();
    let quoted = adapter.iter().flat_map(|file| file.text.split('"')).filter_map(action);
    let called: BTreeSet<String> = quoted.chain(beside.map(str::to_owned)).collect();
    assert!(called.len() > 20, "the adapter names its calls otherwise now: {called:?}");
    let readme = file("README.md");
    let json = section(&readme, "### Permissions").split("```json").nth(1).and_then(|rest| rest.split("```").next());
    let policy: serde_json::Value = serde_json::from_str(json.expect("a JSON policy")).expect("the policy is JSON");
    let statements = policy["Statement"].as_array().unwrap();
    let listed = statements.iter().flat_map(|s| s["Action"].as_array().unwrap()).filter_map(|a| a.as_str());
    let allowed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let missing: Vec<_> = called.difference(&allowed).map(|a| format!("the policy lacks {a}")).collect();
    let surplus: Vec<_> = allowed.difference(&called).map(|a| format!("nothing calls {a}")).collect();
    none([missing, surplus].concat());
}

/// Every field that the decoder knows is explained.
#[test]
fn the_readme_explains_every_field() {
    let readme = file("README.md");
    let reference = section(&readme, "## The playbook");
    let fields = migrate::playbook::SECTIONS.iter().flat_map(|section| {
        let path =
            |field: &str| if section.path.is_empty() { field.to_owned() } else { format!("{}.{field}", section.path) };
        section.fields.iter().map(move |field| path(field.name)).collect::<Vec<_>>()
    });
    let unexplained = fields.filter(|field| !reference.contains(&format!("| `{field}` |")));
    none(unexplained.map(|field| format!("README.md, The playbook: no row for `{field}`")).collect());
}

#[test]
fn the_readme_lists_the_exit_codes() {
    let readme = file("README.md");
    let table = section(&readme, "## Exit codes");
    let codes = [
        (0, "ok"),
        (1, "error"),
        (2, "usage"),
        (3, "blocked"),
        (4, "held"),
        (5, "rolled_back"),
        (6, "stuck"),
        (7, "locked"),
        (8, "drift"),
        (9, "credentials"),
    ];
    let rows = codes.map(|(code, word)| format!("| {code} | `{word}` |"));
    let rows = rows.into_iter().chain(["| 130, 143 | `interrupted` |".to_owned()]);
    none(rows.filter(|row| !table.contains(row)).map(|row| format!("no row {row}")).collect());
}

/// A stranger's machine knows nothing of ours.
#[test]
fn no_file_names_a_machine() {
    let mut offences = Vec::new();
    // Spelled in parts, so that this file does not offend.
    let foreign =
        [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/tm", "p/wt"].concat(), ["sha", "red/design"].concat()];
    for name in ["README.md", "CHANGELOG.md", ".ci/run", "Cargo.toml", ".gitignore"] {
        let text = file(name);
        offences.extend(foreign.iter().filter(|f| text.contains(*f)).map(|f| format!("{name} names {f}")));
    }
    none(offences);
}

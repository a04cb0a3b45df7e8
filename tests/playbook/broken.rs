//! Broken playbooks and what is said about each.
//!
//! Read a snapshot as somebody who is tired: it must name the line, underline exactly the text that is
//! wrong, and say what to write instead.

use insta::assert_snapshot;

use super::{SOUND, and, but, decode, read, shown};

#[test]
fn unknown_field_with_a_near_miss() {
    assert_snapshot!(shown(&and("on_cancle: hold\n")), @"");
}

#[test]
fn unknown_field_that_belongs_elsewhere() {
    assert_snapshot!(shown(&but("  network:", "  subnets: [subnet-0a1]\n  network:")), @"");
}

#[test]
fn unknown_field_that_is_like_nothing() {
    assert_snapshot!(shown(&but("bake: 15m", "bake: 15m, colour: red")), @"");
}

#[test]
fn missing_sections() {
    assert_snapshot!(shown(&"version: 1\nname: web\nshift: { listener_weights: {} }\n".to_owned()), @"");
}

#[test]
fn missing_field_of_a_stage() {
    assert_snapshot!(shown(&but("{ green: 1%, bake: 15m }", "{ green: 1% }")), @"");
}

#[test]
fn missing_field_of_a_block_section() {
    assert_snapshot!(shown(&but("{ cluster: prod, name: web }", "\n  cluster: prod")), @"");
}

#[test]
fn several_mistakes_at_once() {
    assert_snapshot!(shown(&"version: 2\nname: Web_Shop\nservice: { cluster: prod, nmae: web }\ngreen:\n  network: { subnets: subnet-0a1 }\nshift: listener_weights\nstages:\n  - { green: 10, bake: 15 }\n  - { green: 50%, bake: soon }\n".to_owned()), @"");
}

#[test]
fn percentage_without_a_unit() {
    assert_snapshot!(shown(&but("green: 1%", "green: 10")), @"");
}

#[test]
fn fraction_for_a_percentage() {
    assert_snapshot!(shown(&but("green: 1%", "green: 0.25")), @"");
}

#[test]
fn percentage_above_the_whole() {
    assert_snapshot!(shown(&but("green: 100%", "green: 110%")), @"");
}

#[test]
fn percentage_too_fine() {
    assert_snapshot!(shown(&but("green: 1%", "green: 0.25%")), @"");
}

#[test]
fn duration_without_a_unit() {
    assert_snapshot!(shown(&but("bake: 15m", "bake: 15")), @"");
}

#[test]
fn duration_in_months() {
    assert_snapshot!(shown(&but("bake: 15m", "bake: 15M")), @"");
}

#[test]
fn duration_too_long() {
    assert_snapshot!(shown(&but("bake: 15m", "bake: 20d")), @"");
}

#[test]
fn stages_that_do_not_ascend() {
    assert_snapshot!(shown(&but("  - { green: 100%", "  - { green: 50%, bake: 1h }\n  - { green: 20%, bake: 1h }\n  - { green: 100%")), @"");
}

#[test]
fn last_stage_that_is_not_all() {
    assert_snapshot!(shown(&but("green: 100%", "green: 90%")), @"");
}

#[test]
fn no_stages() {
    assert_snapshot!(shown(&"version: 1\nname: web\nservice: { cluster: prod, name: web }\ngreen: { network: { subnets: [subnet-0a1] } }\nshift: { listener_weights: {} }\nstages: []\n".to_owned()), @"");
}

#[test]
fn stages_that_are_no_list() {
    assert_snapshot!(shown(&but("  - { green: 1%, bake: 15m }\n  - { green: 100%, bake: 1h }\n", "  green: 100%\n  bake: 1h\n")), @"");
}

#[test]
fn subnet_given_twice() {
    assert_snapshot!(shown(&but("subnet-0b2", "subnet-0a1")), @"");
}

#[test]
fn name_of_a_subnet_for_its_id() {
    assert_snapshot!(shown(&but("subnet-0b2", "private-b")), @"");
}

#[test]
fn no_subnets() {
    assert_snapshot!(shown(&but("[subnet-0a1, subnet-0b2]", "[]")), @"");
}

#[test]
fn too_many_security_groups() {
    assert_snapshot!(shown(&but("[subnet-0a1, subnet-0b2]", "[subnet-0a1]\n    , security_groups: [sg-1, sg-2, sg-3, sg-4, sg-5, sg-6]")), @"");
}

#[test]
fn boolean_for_a_name() {
    assert_snapshot!(shown(&but("name: web\n", "name: no\n")), @"");
}

#[test]
fn number_for_an_environment_variable() {
    assert_snapshot!(shown(&but("shift:", "  task:\n    environment:\n      PORT: 8080\n      DEBUG: off\nshift:")), @"");
}

#[test]
fn word_for_a_boolean() {
    assert_snapshot!(shown(&but("bake: 1h", "bake: 1h, approve: yes")), @"");
}

#[test]
fn name_too_long() {
    assert_snapshot!(shown(&but("name: web\n", "name: web-shop-of-the-northern-countries\n")), @"");
}

#[test]
fn arn_for_a_service() {
    assert_snapshot!(shown(&but("cluster: prod, name: web", "cluster: prod, name: \"arn:aws:ecs:eu-west-1:123456789012:service/prod/web\"")), @"");
}

#[test]
fn green_named_like_blue() {
    assert_snapshot!(shown(&but("  network:", "  name: web\n  network:")), @"");
}

#[test]
fn key_given_twice() {
    assert_snapshot!(shown(&and("name: shop\n")), @"");
}

#[test]
fn tab() {
    assert_snapshot!(shown(&but("  network:", "\tnetwork:")), @"");
}

#[test]
fn bracket_that_is_not_closed() {
    assert_snapshot!(shown(&but("subnet-0b2] }", "subnet-0b2 }")), @"");
}

#[test]
fn quote_that_is_not_closed() {
    assert_snapshot!(shown(&but("name: web\n", "name: \"web\n")), @"");
}

#[test]
fn indentation() {
    assert_snapshot!(shown(&but("  - { green: 100%", " - { green: 100%")), @"");
}

#[test]
fn colon_in_a_value() {
    assert_snapshot!(shown(&but("name: web\n", "name: web: shop\n")), @"");
}

#[test]
fn alias_of_nothing() {
    assert_snapshot!(shown(&but("subnet-0b2", "*other")), @"");
}

#[test]
fn anchor_bomb() {
    assert_snapshot!(shown(&bomb()), @"");
}

#[test]
fn several_documents() {
    assert_snapshot!(shown(&and("---\nversion: 1\n")), @"");
}

#[test]
fn empty_file() {
    assert_snapshot!(shown(&String::new()), @"");
}

#[test]
fn only_comments() {
    assert_snapshot!(shown(&"# later\n".to_owned()), @"");
}

#[test]
fn not_a_map() {
    assert_snapshot!(shown(&"- version: 1\n".to_owned()), @"");
}

#[test]
fn variable_that_is_not_set() {
    assert_snapshot!(shown(&but("cluster: prod", "cluster: \"${CLUSTRE}\"") + "variables: { CLUSTER: prod }\n"), @"");
}

#[test]
fn variable_with_a_shell_default() {
    assert_snapshot!(shown(&but("cluster: prod", "cluster: \"${CLUSTER:-prod}\"")), @"");
}

#[test]
fn variable_with_a_bad_value() {
    assert_snapshot!(shown(&but("green: 1%", "green: \"${SHARE}\"") + "variables: { SHARE: one }\n"), @"");
}

#[test]
fn unknown_shift() {
    assert_snapshot!(shown(&but("listener_weights: {}", "canary: {}")), @"");
}

#[test]
fn shift_as_a_word() {
    assert_snapshot!(shown(&but("{ listener_weights: {} }", "listener_weights")), @"");
}

#[test]
fn fields_that_are_not_built_yet() {
    assert_snapshot!(shown(&but("shift: { listener_weights: {} }", "shift: { dns_weights: { zone: Z1 } }").replace("subnets: [subnet-0a1, subnet-0b2]", "create: { zones: 2 }").replace("bake: 1h", "bake: 1h, smoke: ./check") + "notify: { sns: topic }\nstate: s3://bucket/prefix\nhealth: { hard_limit: 5%, metrics: [], false_rollback: 1% }\n"), @"");
}

#[test]
fn criteria_that_judge_nothing_or_wrongly() {
    assert_snapshot!(shown(&and("health:\n  errors: { ceiling: 5, ratio: 0.5 }\n  latency: { statistic: P99 }\n  alarms: [web, web]\n  min_requests: 1.5\n  on_no_data: continue\n  start_timeout: 0s\n")), @"");
}

#[test]
fn field_without_a_value() {
    assert_snapshot!(shown(&and("region:\nhealth:\n")), @"");
}

#[test]
fn zone_for_a_region() {
    assert_snapshot!(shown(&and("region: eu-west-1a\n")), @"");
}

#[test]
fn words_with_hyphens() {
    assert_snapshot!(shown(&and("finish: { blue: scale-to-zero, keep_blue: 1 day 5 }\n")), @"");
}

#[test]
fn merge_key() {
    assert_snapshot!(shown(&but("{ green: 1%, bake: 15m }", "&first { green: 1%, bake: 15m }").replace("{ green: 100%, bake: 1h }", "{ <<: *first, green: 100% }")), @"");
}

#[test]
fn warnings_do_not_block() {
    assert_snapshot!(shown(&but("green: 1%, bake: 15m", "green: 30%, bake: 1m") + "variables: { TEAM: shop }\n"), @"");
}

/// Nine levels of nine aliases each: 9^9 values in 500 bytes.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    text
}

#[test]
fn what_is_no_text_is_refused_before_any_parser_sees_it() {
    let large = vec![b'#'; 20 << 20];
    let cases: [&[u8]; 5] = [&large, b"\x7fELF\x02\x01\x01\0\0", b"version: 1\nname: caf\xe9\n", b"\xff\xfev\0e\0", b"name: \x1b[31m\x07"];
    let shown: Vec<String> = cases
        .iter()
        .map(|bytes| {
            let decoded = decode(bytes, super::NO_VARIABLES);
            assert!(decoded.playbook.is_none());
            migrate::report::diagnostic::render(&decoded.findings, "playbook.yaml", &String::from_utf8_lossy(bytes), false)
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @"");
}

#[test]
fn the_sound_playbook_has_no_finding() {
    let decoded = read(SOUND);
    assert_eq!(decoded.findings, []);
    assert!(decoded.playbook.is_some());
}

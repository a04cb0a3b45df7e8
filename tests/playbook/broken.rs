//! Broken playbooks and what is said about each.
//!
//! Read a snapshot as somebody who is tired: it must name the line, underline exactly the text that is
//! wrong, and say what to write instead.

use insta::assert_snapshot;

use super::{SOUND, and, but, decode, read, rules, shown};

#[test]
fn unknown_field_with_a_near_miss() {
    let text = and("on_cancle: hold\n");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-field]: unknown field `on_cancle`
      --> playbook.yaml:10:1
       |
    10 | on_cancle: hold
       | ^^^^^^^^^
       |
       = help: did you mean `on_cancel`?
    "#);
}

#[test]
fn unknown_field_that_belongs_elsewhere() {
    let text = but("  network:", "  subnets: [subnet-0a1]\n  network:");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-field]: unknown field `subnets` in `green`
     --> playbook.yaml:5:3
      |
    5 |   subnets: [subnet-0a1]
      |   ^^^^^^^
      |
      = help: `subnets` belongs in `green.network`
    "#);
}

#[test]
fn unknown_field_that_is_like_nothing() {
    let text = but("bake: 15m", "bake: 15m, colour: red");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-field]: unknown field `colour` in stage 1
     --> playbook.yaml:8:29
      |
    8 |   - { green: 1%, bake: 15m, colour: red }
      |                             ^^^^^^
      |
      = help: remove it, or use one of `green`, `bake`, `approve`, `smoke`, `hooks`
    "#);
}

#[test]
fn missing_sections() {
    let text = "version: 1\nname: web\nshift: { listener_weights: {} }\n".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[missing-field]: the playbook has no `service`
    --> playbook.yaml
     = help: add, for example, `service: { cluster: prod, name: web }`

    error[missing-field]: the playbook has no `green`
    --> playbook.yaml
     = help: add, for example, `green: { network: { subnets: [subnet-0a1, subnet-0b2] } }`

    error[missing-field]: the playbook has no `stages`
    --> playbook.yaml
     = help: add, for example, `stages: [{ green: 10%, bake: 15m }, { green: 100%, bake: 1h }]`
    "#);
}

#[test]
fn missing_field_of_a_stage() {
    let text = but("{ green: 1%, bake: 15m }", "{ green: 1% }");
    assert_snapshot!(shown(&text), @r#"
    error[missing-field]: stage 1 has no `bake`
     --> playbook.yaml:8:5
      |
    8 |   - { green: 1% }
      |     ^^^^^^^^^^^^^
      |
      = help: add, for example, `bake: 15m`
    "#);
}

#[test]
fn missing_field_of_a_block_section() {
    let text = but("{ cluster: prod, name: web }", "\n  cluster: prod");
    assert_snapshot!(shown(&text), @r#"
    error[missing-field]: `service` has no `name`
     --> playbook.yaml:4:3
      |
    4 |   cluster: prod
      |   ^^^^^^^^^^^^^
      |
      = help: add, for example, `name: web`
    "#);
}

#[test]
fn several_mistakes_at_once() {
    let text = "version: 2\nname: Web_Shop\nservice: { cluster: prod, nmae: web }\ngreen:\n  network: { subnets: subnet-0a1 }\nshift: listener_weights\nstages:\n  - { green: 10, bake: 15 }\n  - { green: 50%, bake: soon }\n".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[unknown-version]: version 2 of the playbook's format is not known
     --> playbook.yaml:1:10
      |
    1 | version: 2
      |          ^
      |
      = help: write `version: 1`, or use a newer `migrate`

    error[bad-name]: `Web_Shop` cannot name a run
     --> playbook.yaml:2:7
      |
    2 | name: Web_Shop
      |       ^^^^^^^^
      |
      = note: a name has `a-z`, `0-9` and `-`, and begins with a letter
      = help: write, for example, `web-shop`

    error[unknown-field]: unknown field `nmae` in `service`
     --> playbook.yaml:3:27
      |
    3 | service: { cluster: prod, nmae: web }
      |                           ^^^^
      |
      = help: did you mean `name`?

    error[wrong-type]: `subnets` must be a list, but a single value is given
     --> playbook.yaml:5:23
      |
    5 |   network: { subnets: subnet-0a1 }
      |                       ^^^^^^^^^^
      |
      = help: write, for example, `subnets: [subnet-0a1, subnet-0b2]`

    error[wrong-type]: `shift` must be a map, of the way to shift and its settings
     --> playbook.yaml:6:8
      |
    6 | shift: listener_weights
      |        ^^^^^^^^^^^^^^^^
      |
      = help: write `shift: { listener_weights: {} }`

    error[bad-percentage]: `10` is a number without a unit, not a percentage
     --> playbook.yaml:8:14
      |
    8 |   - { green: 10, bake: 15 }
      |              ^^
      |
      = help: write `10%`

    error[bad-duration]: `15` is a number without a unit, not a duration
     --> playbook.yaml:8:24
      |
    8 |   - { green: 10, bake: 15 }
      |                        ^^
      |
      = help: write the unit as well: `15m` for minutes, or `15s` for seconds

    error[bad-duration]: `soon` is not a duration
     --> playbook.yaml:9:25
      |
    9 |   - { green: 50%, bake: soon }
      |                         ^^^^
      |
      = help: write a duration such as `90s`, `15m` or `1h30m`
    "#);
}

#[test]
fn percentage_without_a_unit() {
    let text = but("green: 1%", "green: 10");
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `10` is a number without a unit, not a percentage
     --> playbook.yaml:8:14
      |
    8 |   - { green: 10, bake: 15m }
      |              ^^
      |
      = help: write `10%`
    "#);
}

#[test]
fn fraction_for_a_percentage() {
    let text = but("green: 1%", "green: 0.25");
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `0.25` is a number without a unit, not a percentage
     --> playbook.yaml:8:14
      |
    8 |   - { green: 0.25, bake: 15m }
      |              ^^^^
      |
      = help: write `25%` if a fraction of all traffic is meant
    "#);
}

#[test]
fn percentage_above_the_whole() {
    let text = but("green: 100%", "green: 110%");
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `110%` is not between 0% and 100%
     --> playbook.yaml:9:14
      |
    9 |   - { green: 110%, bake: 1h }
      |              ^^^^
      |
      = help: write a percentage from `0%` to `100%`
    "#);
}

#[test]
fn percentage_too_fine() {
    let text = but("green: 1%", "green: 0.25%");
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `0.25%` is finer than the load balancer's weights
     --> playbook.yaml:8:14
      |
    8 |   - { green: 0.25%, bake: 15m }
      |              ^^^^^
      |
      = help: write at most one digit behind the point, such as `0.5%`
    "#);
}

#[test]
fn duration_without_a_unit() {
    let text = but("bake: 15m", "bake: 15");
    assert_snapshot!(shown(&text), @r#"
    error[bad-duration]: `15` is a number without a unit, not a duration
     --> playbook.yaml:8:24
      |
    8 |   - { green: 1%, bake: 15 }
      |                        ^^
      |
      = help: write the unit as well: `15m` for minutes, or `15s` for seconds
    "#);
}

#[test]
fn duration_in_months() {
    let text = but("bake: 15m", "bake: 15M");
    assert_snapshot!(shown(&text), @r#"
    error[bad-duration]: `15M` is a number of months
     --> playbook.yaml:8:24
      |
    8 |   - { green: 1%, bake: 15M }
      |                        ^^^
      |
      = help: minutes have a small m: write `15m`
    "#);
}

#[test]
fn duration_too_long() {
    let text = but("bake: 15m", "bake: 20d");
    assert_snapshot!(shown(&text), @r#"
    error[out-of-range]: `bake` must be at most 15 days
     --> playbook.yaml:8:24
      |
    8 |   - { green: 1%, bake: 20d }
      |                        ^^^
      |
      = note: CloudWatch keeps metrics of single minutes for 15 days
      = help: write a shorter time, for example `15m`
    "#);
}

#[test]
fn stages_that_do_not_ascend() {
    let text =
        but("  - { green: 100%", "  - { green: 50%, bake: 1h }\n  - { green: 20%, bake: 1h }\n  - { green: 100%");
    assert_snapshot!(shown(&text), @r#"
    error[stages-not-ascending]: 20% is not more than the 50% of the stage before
      --> playbook.yaml:10:14
       |
    10 |   - { green: 20%, bake: 1h }
       |              ^^^
       |
       = help: order the stages by their share, each larger than the one before; `migrate rollback` is the way back
    "#);
}

#[test]
fn last_stage_that_is_not_all() {
    let text = but("green: 100%", "green: 90%");
    assert_snapshot!(shown(&text), @r#"
    error[last-stage-not-all]: the last stage ends at 90%, so blue could never be retired
     --> playbook.yaml:9:14
      |
    9 |   - { green: 90%, bake: 1h }
      |              ^^^
      |
      = help: add a stage behind it: `- { green: 100%, bake: 1h }`
    "#);
}

#[test]
fn no_stages() {
    let text = "version: 1\nname: web\nservice: { cluster: prod, name: web }\ngreen: { network: { subnets: [subnet-0a1] } }\nshift: { listener_weights: {} }\nstages: []\n".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[no-stages]: a playbook needs at least one stage
     --> playbook.yaml:6:9
      |
    6 | stages: []
      |         ^^
      |
      = help: write, for example, `stages: [{ green: 10%, bake: 15m }, { green: 100%, bake: 1h }]`
    "#);
}

#[test]
fn stages_that_are_no_list() {
    let text = but("  - { green: 1%, bake: 15m }\n  - { green: 100%, bake: 1h }\n", "  green: 100%\n  bake: 1h\n");
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: `stages` must be a list, but a map is given
     --> playbook.yaml:8:3
      |
    8 |   green: 100%
      |   ^^^^^^^^^^^
      |
      = help: write, for example, `stages: [{ green: 10%, bake: 15m }, { green: 100%, bake: 1h }]`
    "#);
}

#[test]
fn subnet_given_twice() {
    let text = but("subnet-0b2", "subnet-0a1");
    assert_snapshot!(shown(&text), @r#"
    error[duplicate-subnet]: `subnet-0a1` is given twice in `subnets`
     --> playbook.yaml:5:36
      |
    5 |   network: { subnets: [subnet-0a1, subnet-0a1] }
      |                                    ^^^^^^^^^^
      |
      = note: first given on line 5
      = help: remove one of the two
    "#);
}

#[test]
fn name_of_a_subnet_for_its_id() {
    let text = but("subnet-0b2", "private-b");
    assert_snapshot!(shown(&text), @r#"
    error[bad-id]: `private-b` is not the id of a subnet
     --> playbook.yaml:5:36
      |
    5 |   network: { subnets: [subnet-0a1, private-b] }
      |                                    ^^^^^^^^^
      |
      = help: write the id, not a name or an ARN: it begins with `subnet-`, as in `subnet-0a1`
    "#);
}

#[test]
fn no_subnets() {
    let text = but("[subnet-0a1, subnet-0b2]", "[]");
    assert_snapshot!(shown(&text), @r#"
    error[no-subnets]: green needs at least one subnet
     --> playbook.yaml:5:23
      |
    5 |   network: { subnets: [] }
      |                       ^^
      |
      = help: write, for example, `subnets: [subnet-0a1, subnet-0b2]`
    "#);
}

#[test]
fn too_many_security_groups() {
    let text =
        but("[subnet-0a1, subnet-0b2]", "[subnet-0a1]\n    , security_groups: [sg-1, sg-2, sg-3, sg-4, sg-5, sg-6]");
    assert_snapshot!(shown(&text), @r#"
    error[too-many-security-groups]: 6 security groups are given, and a service can have 5
     --> playbook.yaml:6:55
      |
    6 |     , security_groups: [sg-1, sg-2, sg-3, sg-4, sg-5, sg-6] }
      |                                                       ^^^^
      |
      = help: remove this one and those behind it, or choose which 5 to keep
    "#);
}

#[test]
fn boolean_for_a_name() {
    let text = but("name: web\n", "name: no\n");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-boolean]: `name` must be text, but YAML reads `no` as a boolean
     --> playbook.yaml:2:7
      |
    2 | name: no
      |       ^^
      |
      = help: put it in quotes: `"no"`
    "#);
}

#[test]
fn number_for_an_environment_variable() {
    let text = but("shift:", "  task:\n    environment:\n      PORT: 8080\n      DEBUG: off\nshift:");
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: `environment.PORT` must be text, but YAML reads `8080` as a number
     --> playbook.yaml:8:13
      |
    8 |       PORT: 8080
      |             ^^^^
      |
      = help: put it in quotes: `"8080"`

    error[yaml-boolean]: `environment.DEBUG` must be text, but YAML reads `off` as a boolean
     --> playbook.yaml:9:14
      |
    9 |       DEBUG: off
      |              ^^^
      |
      = help: put it in quotes: `"off"`
    "#);
}

#[test]
fn word_for_a_boolean() {
    let text = but("bake: 1h", "bake: 1h, approve: yes");
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: `approve` must be true or false
     --> playbook.yaml:9:39
      |
    9 |   - { green: 100%, bake: 1h, approve: yes }
      |                                       ^^^
      |
      = help: write `true`
    "#);
}

#[test]
fn name_too_long() {
    let text = but("name: web\n", "name: web-shop-of-the-northern-countries\n");
    assert_snapshot!(shown(&text), @r#"
    error[name-too-long]: the name has 34 characters, and a run's has at most 24
     --> playbook.yaml:2:7
      |
    2 | name: web-shop-of-the-northern-countries
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: it becomes part of the names of target groups, to which AWS gives 32 characters
      = help: write, for example, `web-shop-of-the-northern`
    "#);
}

#[test]
fn arn_for_a_service() {
    let text =
        but("cluster: prod, name: web", "cluster: prod, name: \"arn:aws:ecs:eu-west-1:123456789012:service/prod/web\"");
    assert_snapshot!(shown(&text), @r#"
    error[bad-name]: `name` must be the name of the service, not its ARN
     --> playbook.yaml:3:33
      |
    3 | service: { cluster: prod, name: "arn:aws:ecs:eu-west-1:123456789012:service/prod/web" }
      |                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `web`
    "#);
}

#[test]
fn green_named_like_blue() {
    let text = but("  network:", "  name: web\n  network:");
    assert_snapshot!(shown(&text), @r#"
    error[same-name]: green cannot have blue's name, `web`
     --> playbook.yaml:5:9
      |
    5 |   name: web
      |         ^^^
      |
      = note: both services run side by side in one cluster
      = help: write another name, for example `web-ipv6`, or remove the line
    "#);
}

#[test]
fn key_given_twice() {
    let text = and("name: shop\n");
    assert_snapshot!(shown(&text), @r#"
    error[duplicate-key]: `name` is given twice
      --> playbook.yaml:10:1
       |
    10 | name: shop
       | ^^^^
       |
       = note: first given on line 2
       = help: keep one of the two; YAML readers disagree on which of them counts
    "#);
}

#[test]
fn tab() {
    let text = but("  network:", "\tnetwork:");
    assert_snapshot!(shown(&text), @r#"
    error[tab]: this line is indented with a tab
     --> playbook.yaml:5:1
      |
    5 |     network: { subnets: [subnet-0a1, subnet-0b2] }
      | ^^^^
      |
      = help: indent with spaces: YAML allows no tabs there
    "#);
}

#[test]
fn bracket_that_is_not_closed() {
    let text = but("subnet-0b2] }", "subnet-0b2 }");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: `[` is closed by `}`
     --> playbook.yaml:5:23
      |
    5 |   network: { subnets: [subnet-0a1, subnet-0b2 }
      |                       ^^^^^^^^^^^^
      |
      = note: the YAML parser says: mismatched bracket '[' closed by '}'
      = help: close it with `]`
    "#);
}

#[test]
fn quote_that_is_not_closed() {
    let text = but("name: web\n", "name: \"web\n");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: a quoted text is not closed
     --> playbook.yaml:2:7
      |
    2 | name: "web
      |       ^^^^
      |
      = note: the YAML parser says: unclosed quote
      = help: close it with the quote that opened it
    "#);
}

#[test]
fn indentation() {
    let text = but("  - { green: 100%", " - { green: 100%");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: the indentation does not fit
     --> playbook.yaml:9:2
      |
    9 |  - { green: 100%, bake: 1h }
      |  ^
      |
      = note: the YAML parser says: while parsing a block mapping, did not find expected key
      = help: indent the fields of one section by the same number of spaces
    "#);
}

#[test]
fn colon_in_a_value() {
    let text = but("name: web\n", "name: web: shop\n");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: a `:` is not expected here
     --> playbook.yaml:2:10
      |
    2 | name: web: shop
      |          ^
      |
      = note: the YAML parser says: mapping values are not allowed in this context
      = help: put a value that contains `: ` in double quotes, and begin every field on a line of its own
    "#);
}

#[test]
fn alias_of_nothing() {
    let text = but("subnet-0b2", "*other");
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: this alias refers to an anchor that does not exist
     --> playbook.yaml:5:36
      |
    5 |   network: { subnets: [subnet-0a1, *other] }
      |                                    ^^^^^^^
      |
      = note: the YAML parser says: while parsing node, found unknown anchor
      = help: put text that begins with `*` in quotes, or write the value out
    "#);
}

#[test]
fn anchor_bomb() {
    let text = bomb();
    assert_snapshot!(shown(&text), @r#"
    error[too-many-values]: the playbook holds more than 10000 values
     --> playbook.yaml:5:10
      |
    5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
      |          ^^^
      |
      = note: aliases such as this one multiply what they refer to
      = help: write the values out instead of repeating them with `*aliases`
    "#);
}

#[test]
fn several_documents() {
    let text = and("---\nversion: 1\n");
    assert_snapshot!(shown(&text), @r#"
    error[several-documents]: a second YAML document begins here
      --> playbook.yaml:10:1
       |
    10 | ---
       | ^^^
       |
       = help: remove this `---` and what follows, or put it into a playbook of its own
    "#);
}

#[test]
fn empty_file() {
    let text = String::new();
    assert_snapshot!(shown(&text), @r#"
    error[empty-playbook]: the playbook is empty
    --> playbook.yaml
     = help: start from a copy of `playbooks/quickstart.yaml`
    "#);
}

#[test]
fn only_comments() {
    let text = "# later\n".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[empty-playbook]: the playbook is empty
    --> playbook.yaml
     = help: start from a copy of `playbooks/quickstart.yaml`
    "#);
}

#[test]
fn not_a_map() {
    let text = "- version: 1\n".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: the playbook must be a map, but a list is given
     --> playbook.yaml:1:1
      |
    1 | - version: 1
      | ^^^^^^^^^^^^
      |
      = help: begin with `version: 1`; `playbooks/quickstart.yaml` shows a whole one
    "#);
}

#[test]
fn variable_that_is_not_set() {
    let text = but("cluster: prod", "cluster: \"${CLUSTRE}\"") + "variables: { CLUSTER: prod }\n";
    assert_snapshot!(shown(&text), @r#"
    error[unset-variable]: the variable `CLUSTRE` is not set
     --> playbook.yaml:3:22
      |
    3 | service: { cluster: "${CLUSTRE}", name: web }
      |                      ^^^^^^^^^^
      |
      = help: did you mean `${CLUSTER}`? Otherwise pass `--var CLUSTRE=...`, export CLUSTRE, or give it a default: `variables: { CLUSTRE: ... }`
    "#);
}

#[test]
fn variable_with_a_shell_default() {
    let text = but("cluster: prod", "cluster: \"${CLUSTER:-prod}\"");
    assert_snapshot!(shown(&text), @r#"
    error[bad-variable]: `${CLUSTER:-prod}` does not name a variable
     --> playbook.yaml:3:22
      |
    3 | service: { cluster: "${CLUSTER:-prod}", name: web }
      |                      ^^^^^^^^^^^^^^^^
      |
      = help: write `${CLUSTER}`, and give the default in the section `variables: { CLUSTER: ... }`
    "#);
}

#[test]
fn variable_with_a_bad_value() {
    let text = but("green: 1%", "green: \"${SHARE}\"") + "variables: { SHARE: one }\n";
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `one` is not a percentage
     --> playbook.yaml:8:14
      |
    8 |   - { green: "${SHARE}", bake: 15m }
      |              ^^^^^^^^^^
      |
      = note: with its variables filled in it is `one`
      = help: write a percentage such as `10%` or `0.5%`
    "#);
}

#[test]
fn unknown_shift() {
    let text = but("listener_weights: {}", "canary: {}");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-shift]: unknown way to shift traffic: `canary`
     --> playbook.yaml:6:10
      |
    6 | shift: { canary: {} }
      |          ^^^^^^
      |
      = help: remove it, or use one of `listener_weights`, `dns_weights`, `listener_swap`, `in_place`
    "#);
}

#[test]
fn shift_as_a_word() {
    let text = but("{ listener_weights: {} }", "listener_weights");
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: `shift` must be a map, of the way to shift and its settings
     --> playbook.yaml:6:8
      |
    6 | shift: listener_weights
      |        ^^^^^^^^^^^^^^^^
      |
      = help: write `shift: { listener_weights: {} }`
    "#);
}

#[test]
fn fields_that_are_not_built_yet() {
    let text = but("subnets: [subnet-0a1, subnet-0b2]", "create: { zones: 2 }") + "state: s3://bucket/prefix\n";
    assert_snapshot!(shown(&text), @r#"
    error[not-supported]: `create` is not supported by this version
     --> playbook.yaml:5:14
      |
    5 |   network: { create: { zones: 2 } }
      |              ^^^^^^
      |
      = help: create the IPv6-only subnets yourself and list them: `network: { subnets: [subnet-0a1, subnet-0b2] }`

    error[not-supported]: journals in S3 are not supported by this version
      --> playbook.yaml:10:8
       |
    10 | state: s3://bucket/prefix
       |        ^^^^^^^^^^^^^^^^^^
       |
       = help: write a directory that outlives the process, for example `state: .migrate`
    "#);
}

#[test]
fn hooks_smoke_and_notices() {
    let text =
        but("bake: 1h", "bake: 1h, smoke: { http: api.example.com, timeout: 5m, attempts: 0, via: { host: \"*.x\" } }")
            + r#"
hooks:
  before_shift:
    - command: { run: [] }
    - command: { run: ["./x"], timeout: 1h }
      webhook: { url: "https://example.com" }
    - webhook: { url: "ftp://example.com", headers: { "a b": c } }
    - {}
  on_hold: [{ command: { run: [x], on_failure: hold } }]
  on_finish: [{ command: { run: [x], on_failure: rollback } }]
  on_start: []
notify: { sns: [topic], on: [everything] }
"#;
    assert_snapshot!(shown(&text), @r#"
    error[bad-url]: `api.example.com` is not an address to ask
     --> playbook.yaml:9:45
      |
    9 |   - { green: 100%, bake: 1h, smoke: { http: api.example.com, timeout: 5m, attempts: 0, via: { host: "*.x" } } }
      |                                             ^^^^^^^^^^^^^^^
      |
      = note: it has no scheme
      = help: write, for example, `http: "https://api.example.com/health"`

    error[out-of-range]: `timeout` must be at most 1 minute
     --> playbook.yaml:9:71
      |
    9 |   - { green: 100%, bake: 1h, smoke: { http: api.example.com, timeout: 5m, attempts: 0, via: { host: "*.x" } } }
      |                                                                       ^^
      |
      = note: the load balancer itself gives up on a target after a minute
      = help: write a shorter time, for example `5s`

    error[out-of-range]: `attempts` must be between 1 and 20
     --> playbook.yaml:9:85
      |
    9 |   - { green: 100%, bake: 1h, smoke: { http: api.example.com, timeout: 5m, attempts: 0, via: { host: "*.x" } } }
      |                                                                                     ^
      |
      = help: write, for example, `attempts: 3`

    error[bad-condition]: `*.x` cannot be asked for in a rule
     --> playbook.yaml:9:101
      |
    9 |   - { green: 100%, bake: 1h, smoke: { http: api.example.com, timeout: 5m, attempts: 0, via: { host: "*.x" } } }
      |                                                                                                     ^^^^^
      |
      = help: write letters, digits, `-` and `.`, at most 128 characters

    error[empty-command]: the command names no program
      --> playbook.yaml:13:23
       |
    13 |     - command: { run: [] }
       |                       ^^
       |
       = help: write, for example, `run: [./check.sh, argument]`

    error[two-hooks]: a hook is a command or a webhook, not both
      --> playbook.yaml:15:16
       |
    15 |       webhook: { url: "https://example.com" }
       |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write two hooks, each with a `-` of its own

    error[bad-url]: `ftp://example.com` is not an address to ask
      --> playbook.yaml:16:23
       |
    16 |     - webhook: { url: "ftp://example.com", headers: { "a b": c } }
       |                       ^^^^^^^^^^^^^^^^^^^
       |
       = note: `ftp` is no scheme that is spoken here
       = help: write, for example, `url: "https://hooks.example.com/migrate"`

    error[bad-header]: `a b` cannot be the name of a header
      --> playbook.yaml:16:55
       |
    16 |     - webhook: { url: "ftp://example.com", headers: { "a b": c } }
       |                                                       ^^^^^
       |
       = help: write letters, digits and `-`

    error[missing-field]: a hook of `before_shift` has no `command`
      --> playbook.yaml:17:7
       |
    17 |     - {}
       |       ^^
       |
       = help: add, for example, `command: { run: [./check.sh] }`

    error[no-effect]: the failure of a hook of `on_hold` changes nothing
      --> playbook.yaml:18:48
       |
    18 |   on_hold: [{ command: { run: [x], on_failure: hold } }]
       |                                                ^^^^
       |
       = help: remove `on_failure`; the failure is recorded and shown

    error[no-effect]: `migrate finish` does not roll back
      --> playbook.yaml:19:50
       |
    19 |   on_finish: [{ command: { run: [x], on_failure: rollback } }]
       |                                                  ^^^^^^^^
       |
       = help: write `hold`: blue is kept as it is, and `migrate rollback` still works

    error[unknown-field]: unknown field `on_start` in `hooks`
      --> playbook.yaml:20:3
       |
    20 |   on_start: []
       |   ^^^^^^^^
       |
       = help: remove it, or use one of `before_shift`, `after_shift`, `on_hold`, `on_rollback`, `on_finish`

    error[bad-topic]: `topic` is not the ARN of an SNS topic
      --> playbook.yaml:21:17
       |
    21 | notify: { sns: [topic], on: [everything] }
       |                 ^^^^^
       |
       = help: write the ARN of the topic: `arn:aws:sns:REGION:ACCOUNT:NAME`

    error[unknown-value]: `on` must be `stage` or `hold` or `rollback` or `finish`
      --> playbook.yaml:21:30
       |
    21 | notify: { sns: [topic], on: [everything] }
       |                              ^^^^^^^^^^
       |
       = help: write `stage` or `hold` or `rollback` or `finish`
    "#);
}

/// An address is judged before anything is sent there.
#[test]
fn addresses() {
    let finding = |url: &str| {
        let found = rules(&format!("{SOUND}notify: {{ webhook: [\"{url}\"] }}\n"));
        found.first().cloned().unwrap_or_default()
    };
    for good in ["https://example.com", "http://127.0.0.1:8080/x?y=z", "https://[::1]:443/", "https://a.b.c/d"] {
        assert_eq!(finding(good), "", "{good}");
    }
    for bad in [
        "example.com",
        "https://",
        "https://:80/",
        "https://x:99999/",
        "https://x:0",
        "https://u:p@x/",
        "https://a b/",
        "https://[::g]/",
        "file:///x",
    ] {
        assert_eq!(finding(bad), "bad-url", "{bad}");
    }
    assert_eq!(rules(&format!("{SOUND}notify: {{ on: [hold] }}\n")), ["nobody-to-tell"]);
}

#[test]
fn metrics_that_judge_nothing_or_wrongly() {
    let text = and(
        "health:\n  metrics:\n    - { name: a, namespace: N, metric: M }\n    - { name: a, namespace: N, ceiling: 5% }\n    - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }\n    - { id: migrate_1, expression: \"SEARCH('x', 'Sum')\", ceiling: \"5\" }\n    - { name: c, id: c, expression: c + 1, ceiling: 1 }\n    - { name: d, expression: 1 + 1, ceilling: 1 }\n  alarms: []\n",
    );
    assert_snapshot!(shown(&text), @r#"
    error[no-bound]: this metric has no bound, so it would judge nothing
      --> playbook.yaml:12:7
       |
    12 |     - { name: a, namespace: N, metric: M }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `ceiling: 5` or `floor: 100`; `of: requests` or `ratio: 1.5` to compare green with blue; or `id: m1`, where another entry refers to it

    error[missing-field]: `metric` is missing
      --> playbook.yaml:13:7
       |
    13 |     - { name: a, namespace: N, ceiling: 5% }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `metric: CheckoutErrors`; or `expression:` with metric math over other entries

    error[duplicate-metric]: `a` is given to two metrics
      --> playbook.yaml:13:7
       |
    13 |     - { name: a, namespace: N, ceiling: 5% }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = note: first given on line 12
       = help: give one of the two another

    error[wrong-type]: `ceiling` must be a finite number
      --> playbook.yaml:13:41
       |
    13 |     - { name: a, namespace: N, ceiling: 5% }
       |                                         ^^
       |
       = help: write the number in the metric's own unit, without the unit: `ceiling: 5`

    error[two-sources]: `expression` and `metric` are both given
      --> playbook.yaml:14:7
       |
    14 |     - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: give the metric an entry of its own with an `id`, and use that in the expression

    error[silence-condemns]: with `missing: zero` silence alone would be beyond this bound
      --> playbook.yaml:14:7
       |
    14 |     - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = note: a monitoring outage would roll green back
       = help: drop `missing: zero`: silence then holds the run

    error[unknown-id]: no other metric has the id `x`
      --> playbook.yaml:14:7
       |
    14 |     - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: give the entry that is meant `id: x`

    error[bad-id]: `Bad` cannot be an id in an expression
      --> playbook.yaml:14:22
       |
    14 |     - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }
       |                      ^^^
       |
       = note: CloudWatch wants a small letter, then letters, digits and `_`; `migrate_` is ours
       = help: write, for example, `id: errors`

    error[bad-statistic]: `sum` is not a statistic
      --> playbook.yaml:14:68
       |
    14 |     - { name: b, id: Bad, expression: x + y, metric: M, statistic: sum, floor: 1, missing: zero }
       |                                                                    ^^^
       |
       = help: write `Sum`

    error[missing-field]: an entry of `health.metrics` has no `name`
      --> playbook.yaml:15:7
       |
    15 |     - { id: migrate_1, expression: "SEARCH('x', 'Sum')", ceiling: "5" }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add, for example, `name: checkout-errors`

    error[bad-id]: `migrate_1` cannot be an id in an expression
      --> playbook.yaml:15:13
       |
    15 |     - { id: migrate_1, expression: "SEARCH('x', 'Sum')", ceiling: "5" }
       |             ^^^^^^^^^
       |
       = note: CloudWatch wants a small letter, then letters, digits and `_`; `migrate_` is ours
       = help: write, for example, `id: errors`

    error[wrong-type]: `ceiling` must be a finite number
      --> playbook.yaml:15:67
       |
    15 |     - { id: migrate_1, expression: "SEARCH('x', 'Sum')", ceiling: "5" }
       |                                                                   ^^^
       |
       = help: write `5` without quotes

    error[unknown-id]: no other metric has the id `c`
      --> playbook.yaml:16:7
       |
    16 |     - { name: c, id: c, expression: c + 1, ceiling: 1 }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: give the entry that is meant `id: c`

    error[no-bound]: this metric has no bound, so it would judge nothing
      --> playbook.yaml:17:7
       |
    17 |     - { name: d, expression: 1 + 1, ceilling: 1 }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `ceiling: 5` or `floor: 100`; `of: requests` or `ratio: 1.5` to compare green with blue; or `id: m1`, where another entry refers to it

    error[unknown-id]: the expression names no other metric
      --> playbook.yaml:17:7
       |
    17 |     - { name: d, expression: 1 + 1, ceilling: 1 }
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: give the metrics ids, and use those: `expression: "100 * errors / requests"`

    error[unknown-field]: unknown field `ceilling` in an entry of `health.metrics`
      --> playbook.yaml:17:37
       |
    17 |     - { name: d, expression: 1 + 1, ceilling: 1 }
       |                                     ^^^^^^^^
       |
       = help: did you mean `ceiling`?
    "#);
}

#[test]
fn criteria_that_judge_nothing_or_wrongly() {
    let text = and(
        "health:\n  errors: { ceiling: 5, ratio: 0.5 }\n  latency: { statistic: P99 }\n  alarms: [web, web]\n  min_requests: 1.5\n  on_no_data: continue\n  start_timeout: 0s\n",
    );
    assert_snapshot!(shown(&text), @r#"
    error[bad-percentage]: `5` is a number without a unit, not a percentage
      --> playbook.yaml:11:22
       |
    11 |   errors: { ceiling: 5, ratio: 0.5 }
       |                      ^
       |
       = help: write `5%`

    error[out-of-range]: `ratio` must be at least 1
      --> playbook.yaml:11:32
       |
    11 |   errors: { ceiling: 5, ratio: 0.5 }
       |                                ^^^
       |
       = note: green is compared with blue: below 1 it would be degraded while it is better
       = help: write, for example, `3` for three times blue's value

    error[no-bound]: `health.latency` has neither a ceiling nor a ratio
      --> playbook.yaml:12:12
       |
    12 |   latency: { statistic: P99 }
       |            ^^^^^^^^^^^^^^^^^^
       |
       = note: requests that are slow by blue's last 24 hours are counted without it, too
       = help: add `ceiling: 800ms`, or `ratio: 1.1` to compare this statistic with blue's; or remove the line

    error[bad-statistic]: `P99` is not a statistic for latency
      --> playbook.yaml:12:25
       |
    12 |   latency: { statistic: P99 }
       |                         ^^^
       |
       = help: write `p99`

    error[duplicate-alarm]: `web` is given twice in `alarms`
      --> playbook.yaml:13:17
       |
    13 |   alarms: [web, web]
       |                 ^^^
       |
       = note: first given on line 13
       = help: remove one of the two

    error[wrong-type]: `min_requests` must be a whole number
      --> playbook.yaml:14:17
       |
    14 |   min_requests: 1.5
       |                 ^^^
       |
       = help: write, for example, `min_requests: 50`

    error[unknown-value]: `on_no_data` must be `hold` or `advance` or `rollback`
      --> playbook.yaml:15:15
       |
    15 |   on_no_data: continue
       |               ^^^^^^^^
       |
       = help: write `hold` or `advance` or `rollback`

    error[out-of-range]: `start_timeout` must be at least 1m
      --> playbook.yaml:16:18
       |
    16 |   start_timeout: 0s
       |                  ^^
       |
       = help: write, for example, `20m`
    "#);
}

#[test]
fn field_without_a_value() {
    let text = and("region:\nhealth:\n");
    assert_snapshot!(shown(&text), @r#"
    error[empty-value]: `region` has no value
      --> playbook.yaml:10:1
       |
    10 | region:
       | ^^^^^^
       |
       = help: write, for example, `region: eu-west-1`, or remove the line

    error[wrong-type]: `health` must be a map, but nothing is given
      --> playbook.yaml:11:1
       |
    11 | health:
       | ^^^^^^
       |
       = help: give it fields of its own, indented below it: `false_rollback`, `errors`, `hard_limit`, `accepted_failures`, `latency`, `alarms`, `metrics`, `min_requests`, `on_no_data`, `start_timeout`
    "#);
}

#[test]
fn zone_for_a_region() {
    let text = and("region: eu-west-1a\n");
    assert_snapshot!(shown(&text), @r#"
    error[bad-name]: `eu-west-1a` is not an AWS region
      --> playbook.yaml:10:9
       |
    10 | region: eu-west-1a
       |         ^^^^^^^^^^
       |
       = note: this looks like an availability zone
       = help: write the region: `eu-west-1`
    "#);
}

#[test]
fn words_with_hyphens() {
    let text = and("finish: { blue: scale-to-zero, keep_blue: 1 day 5 }\n");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-value]: `blue` must be `scale_to_zero` or `remove`
      --> playbook.yaml:10:17
       |
    10 | finish: { blue: scale-to-zero, keep_blue: 1 day 5 }
       |                 ^^^^^^^^^^^^^
       |
       = help: did you mean `scale_to_zero`?

    error[bad-duration]: `1 day 5` is not a duration
      --> playbook.yaml:10:43
       |
    10 | finish: { blue: scale-to-zero, keep_blue: 1 day 5 }
       |                                           ^^^^^^^
       |
       = help: write a duration such as `90s`, `15m` or `1h30m`
    "#);
}

#[test]
fn merge_key() {
    let text = but("{ green: 1%, bake: 15m }", "&first { green: 1%, bake: 15m }")
        .replace("{ green: 100%, bake: 1h }", "{ <<: *first, green: 100% }");
    assert_snapshot!(shown(&text), @r#"
    error[not-supported]: merge keys (`<<`) are not supported
     --> playbook.yaml:9:7
      |
    9 |   - { <<: *first, green: 100% }
      |       ^^
      |
      = help: write the fields out, or refer to a whole value with `*alias`
    "#);
}

#[test]
fn warnings_do_not_block() {
    let text = but("green: 1%, bake: 15m", "green: 30%, bake: 1m") + "variables: { TEAM: shop }\n";
    assert_snapshot!(shown(&text), @r#"
    warning[bold-first-stage]: the first stage exposes 30% of the traffic at once
     --> playbook.yaml:8:14
      |
    8 |   - { green: 30%, bake: 1m }
      |              ^^^
      |
      = help: begin with a small share, such as `1%` or `5%`, so that few users meet a fault

    warning[short-bake]: a bake of 1m may end before there is anything to judge
     --> playbook.yaml:8:25
      |
    8 |   - { green: 30%, bake: 1m }
      |                         ^^
      |
      = note: CloudWatch shows a minute's numbers up to three minutes later
      = help: bake for `3m` at least; 15 minutes and more let slow faults show

    warning[unused-variable]: the variable `TEAM` is not used
      --> playbook.yaml:10:14
       |
    10 | variables: { TEAM: shop }
       |              ^^^^
       |
       = help: write `${TEAM}` where its value belongs, or remove it
    "#);
}

#[test]
fn variable_without_quotes_in_brackets() {
    let text = but("cluster: prod", "cluster: ${CLUSTER}") + "variables: { CLUSTER: prod }\n";
    assert_snapshot!(shown(&text), @r#"
    error[yaml-syntax]: inside `{ }` and `[ ]`, YAML takes the braces of a variable for its own
     --> playbook.yaml:3:21
      |
    3 | service: { cluster: ${CLUSTER}, name: web }
      |                     ^^^^^^^^^^
      |
      = help: put the value in double quotes: `"${NAME}"`
    "#);
}

#[test]
fn name_that_is_misspelt_is_not_missing_too() {
    let text = but("cluster: prod, name: web", "Cluster: prod, nmae: web");
    assert_snapshot!(shown(&text), @r#"
    error[unknown-field]: unknown field `Cluster` in `service`
     --> playbook.yaml:3:12
      |
    3 | service: { Cluster: prod, nmae: web }
      |            ^^^^^^^
      |
      = help: did you mean `cluster`?

    error[unknown-field]: unknown field `nmae` in `service`
     --> playbook.yaml:3:27
      |
    3 | service: { Cluster: prod, nmae: web }
      |                           ^^^^
      |
      = help: did you mean `name`?
    "#);
}

#[test]
fn text_instead_of_a_playbook() {
    let text = "Dear colleague,\nplease find attached".to_owned();
    assert_snapshot!(shown(&text), @r#"
    error[wrong-type]: the playbook must be a map, but a single value is given
     --> playbook.yaml:1:1
      |
    1 | Dear colleague,
      | ^^^^^^^^^^^^^^^
      |
      = help: begin with `version: 1`; `playbooks/quickstart.yaml` shows a whole one
    "#);
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
    let cases: [&[u8]; 5] =
        [&large, b"\x7fELF\x02\x01\x01\0\0", b"version: 1\nname: caf\xe9\n", b"\xff\xfev\0e\0", b"name: \x1b[31m\x07"];
    let shown: Vec<String> = cases
        .iter()
        .map(|bytes| {
            let decoded = decode(bytes, super::NO_VARIABLES);
            assert!(decoded.playbook.is_none());
            migrate::report::diagnostic::render(
                &decoded.findings,
                "playbook.yaml",
                &String::from_utf8_lossy(bytes),
                false,
            )
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    error[file-too-large]: the file is larger than a playbook may be
    --> playbook.yaml
     = note: 20971520 bytes; the limit is 1048576
     = help: check the path: a playbook is a few kilobytes of YAML

    error[binary-file]: this is a binary file, not a playbook
    --> playbook.yaml
     = note: a NUL byte on line 1
     = help: give the path of a YAML file; `playbooks/quickstart.yaml` is one to start from

    error[not-utf8]: line 2 is not UTF-8 text
    --> playbook.yaml
     = note: byte 0xe9 at offset 20
     = help: save the file as UTF-8, or check that it is a playbook at all

    error[not-utf8]: the file is UTF-16, not UTF-8
    --> playbook.yaml
     = help: save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`

    error[yaml-syntax]: a value cannot begin with `\u{1b}`
     --> playbook.yaml:1:7
      |
    1 | name: ␛[31m␇
      |       ^^^^^^
      |
      = note: the YAML parser says: unexpected character: `\u{1b}'
      = help: put the text in double quotes
    "#);
}

#[test]
fn the_sound_playbook_has_no_finding() {
    let decoded = read(SOUND);
    assert_eq!(decoded.findings, []);
    assert!(decoded.playbook.is_some());
}

/// Weights of records are coarser than those of target groups; the line is that of the share.
#[test]
fn shares_that_records_cannot_express() {
    let text = but("shift: { listener_weights: {} }", "shift: { dns_weights: {} }");
    let decoded = super::read(&text);
    assert!(decoded.findings.is_empty(), "{:?}", decoded.findings);
    for (share, can) in [("0.3%", false), ("0.4%", true), ("0.1%", false)] {
        let first = text.find("- { green: ").expect("a stage") + "- { green: ".len();
        let end = first + text[first..].find(',').expect("a bake");
        let text = format!("{}{share}{}", &text[..first], &text[end..]);
        let refused = super::rules(&text).contains(&"share-not-expressible".to_owned());
        assert_eq!(refused, !can, "{share}");
        let shown = shown(&text);
        assert_eq!(shown.contains(&format!("weighted records cannot give green {share}")), !can, "{shown}");
        assert!(can || shown.contains("write `0.4%`"), "{shown}");
    }
}

/// What in_place, hooks, smoke tests and metrics refuse: each with its line, the text that is meant, and a remedy.
#[test]
fn refusals_of_the_newer_fields() {
    let in_place = |settings: &str, green: &str| {
        but("shift: { listener_weights: {} }", &format!("shift: {{ in_place: {settings} }}"))
            .replace("  network: {", &format!("{green}  network: {{"))
    };
    let metric = |fields: &str| {
        but("bake: 1h", "bake: 1h")
            + &format!("\nhealth:\n  metrics: [{{ name: a, namespace: N, metric: M, {fields} }}]\n")
    };
    let cases = [
        (in_place("{}", "  name: web-v6\n"), "no-effect", "name", "or use `staged: true`"),
        (in_place("{}", "  desired_count: 3\n"), "no-effect", "desired_count", "remove the line"),
        (in_place("{ staged: true }", "  desired_count: 3\n"), "no-effect", "desired_count", "remove the line"),
        (in_place("{ staged: true, registry: web-v6 }", ""), "no-effect", "web-v6", "at once with `in_place: {}`"),
        (in_place("{ staged: perhaps }", ""), "wrong-type", "perhaps", "write `true` or `false`"),
        (in_place("{ registry: [a] }", ""), "wrong-type", "[a]", "registry: web-ipv6"),
        (in_place("{ stages: true }", ""), "unknown-field", "stages", "staged"),
        (metric("ceiling: 1, floor: 9"), "contrary-bounds", "{ name: a", "write `ceiling: 9` and `floor: 1`"),
        (metric("ceiling: .inf"), "wrong-type", ".inf", "ceiling: 5"),
        (metric("floor: 1, missing: zero"), "silence-condemns", "{ name: a", "drop `missing: zero`"),
        (but("bake: 1h", "bake: 1h, smoke: yes"), "wrong-type", "yes", "`http`, `expect`"),
        (but("bake: 1h", "bake: 1h, smoke: {}"), "missing-field", "{}", "http:"),
        (but("bake: 1h", "bake: 1h, hooks: []"), "wrong-type", "[]", "`before_shift`, `after_shift`"),
        (but("bake: 1h", "bake: 1h, hooks: { on_hold: [] }"), "unknown-field", "on_hold", "belongs in `hooks`"),
        (
            but("bake: 1h", "bake: 1h, hooks: { after_shift: [{ command: { run: [x], timeout: 11m } }] }"),
            "out-of-range",
            "11m",
            "write",
        ),
    ];
    for (text, rule, meant, remedy) in cases {
        let found = super::read(&text).findings;
        let finding = found.iter().find(|f| f.rule == rule).unwrap_or_else(|| panic!("no {rule}: {found:?}\n{text}"));
        let place = finding.place.unwrap_or_else(|| panic!("{finding:?} has no place"));
        assert!(text[place.start..].starts_with(meant), "{rule}: {:?} is not at {meant}", &text[place.start..]);
        assert!(finding.remedy.contains(remedy), "{rule}: {}", finding.remedy);
    }
}

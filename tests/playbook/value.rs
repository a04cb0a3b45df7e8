//! What is read from playbooks without a mistake.

use std::collections::BTreeMap;

use migrate::playbook::{Period, Playbook, decode};
use migrate::traffic::{Share, ShareError};
use proptest::prelude::*;

use super::{SOUND, and, but, read, rules};

/// A playbook that gives every field there is.
pub const FULL: &str = r#"
version: 1
name: web
region: eu-west-1
state: /var/lib/migrate
variables: { TEAM: payments }
service:
  cluster: arn:aws:ecs:eu-west-1:123456789012:cluster/prod
  name: web
  container: app
  target_groups: [web-http, "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123"]
green:
  name: web-six
  network:
    subnets: [subnet-0a1, subnet-0b2]
    security_groups: [sg-0c3]
  task:
    images: { app: "registry.example.com/app:1.2" }
    environment: { LISTEN: "::", PORT: "8080", EMPTY: "" }
  desired_count: 4
  tags: { team: "${TEAM}", price: "$${5}" }
shift:
  listener_weights: { stickiness: 5m, fallback: { dns_weights: { zone: example.com } } }
stages:
  - { green: 0.5%, bake: 90s }
  - green: "25 %"
    bake: 1h 30m
    approve: true
    smoke:
      http: "https://api.example.com:8443/health?deep=1"
      expect: { status: 204, body: ok, headers: { X-Green: "yes" } }
      ipv6: true
      timeout: 7s
      attempts: 4
      via: { header: { name: x-smoke, value: "1.2" } }
      insecure: true
    hooks:
      before_shift: [{ command: { run: [./check.sh, ""], timeout: 2m, on_failure: rollback } }]
      after_shift: [{ webhook: { url: "http://[::1]:8080/x", headers: { X-A: b }, timeout: 1s, on_failure: continue } }]
  - { green: 100%, bake: 1.5h, approve: false }
health:
  false_rollback: 0.05%
  errors: { ceiling: 2.5%, ratio: 1.5 }
  hard_limit: 2.5%
  accepted_failures: 250
  latency: { statistic: p99.9, ceiling: 800ms, ratio: 2 }
  alarms: [web 5xx, "composite: all"]
  metrics:
    - { name: slow answers, id: slow, namespace: Shop/Web, metric: Slow, dimensions: { Service: web, Count: "2" }, statistic: Sum, ceiling: 2.5e1, missing: zero }
    - { name: answered, expression: "100 * slow / 2", floor: -1 }
    - { name: calls, id: calls, namespace: Shop/Web, metric: Calls, dimensions: { Service: "{service}", Path: "/{{id}}" }, statistic: SampleCount }
    - { name: good, of: calls, direction: decrease, weight: 0.25, namespace: Shop/Web, metric: Good, dimensions: { Service: "{service}" }, statistic: Sum }
    - { name: time, ratio: 1.5, namespace: Shop/Web, metric: Time, dimensions: { Family: "{family}", Group: "{target_group}" }, ceiling: 9 }
  min_requests: 1000
  on_no_data: rollback
  start_timeout: 30m
rollback: { green: remove }
on_cancel: rollback
finish: { keep_blue: 0s, blue: remove }
hooks:
  on_hold: [{ command: { run: [hold] } }]
  on_finish: [{ command: { run: [finish], on_failure: continue } }]
notify:
  sns: ["arn:aws-cn:sns:cn-north-1:123456789012:deploys"]
  webhook: ["https://hooks.slack.com/services/T0/B0/x"]
  on: [stage, hold, rollback, finish]
"#;

#[test]
fn every_field_arrives() {
    let decoded = read(FULL);
    let rules: Vec<&str> = decoded.findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!(rules, ["short-bake"]);
    let playbook = decoded.playbook.unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&playbook).unwrap(), @r#"
    {
      "version": 1,
      "name": "web",
      "region": "eu-west-1",
      "state": "/var/lib/migrate",
      "service": {
        "cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        "name": "web",
        "container": "app",
        "target_groups": [
          "web-http",
          "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123"
        ]
      },
      "green": {
        "name": "web-six",
        "network": {
          "subnets": [
            "subnet-0a1",
            "subnet-0b2"
          ],
          "security_groups": [
            "sg-0c3"
          ]
        },
        "task": {
          "images": {
            "app": "registry.example.com/app:1.2"
          },
          "environment": {
            "EMPTY": "",
            "LISTEN": "::",
            "PORT": "8080"
          }
        },
        "desired_count": 4,
        "tags": {
          "price": "${5}",
          "team": "payments"
        }
      },
      "shift": {
        "listener_weights": {
          "stickiness": "5m",
          "fallback": {
            "dns_weights": {
              "records": [],
              "zone": "example.com",
              "green_load_balancer": null
            }
          }
        }
      },
      "stages": [
        {
          "green": "0.5%",
          "bake": "1m30s",
          "approve": false,
          "hooks": {
            "before_shift": [],
            "after_shift": []
          }
        },
        {
          "green": "25%",
          "bake": "1h30m",
          "approve": true,
          "smoke": {
            "http": "https://api.example.com:8443/health?deep=1",
            "expect": {
              "status": 204,
              "body": "ok",
              "headers": {
                "X-Green": "yes"
              }
            },
            "ipv6": true,
            "timeout": "7s",
            "attempts": 4,
            "via": {
              "header": {
                "name": "x-smoke",
                "value": "1.2"
              }
            },
            "insecure": true
          },
          "hooks": {
            "before_shift": [
              {
                "command": {
                  "run": [
                    "./check.sh",
                    ""
                  ],
                  "timeout": "2m",
                  "on_failure": "rollback"
                }
              }
            ],
            "after_shift": [
              {
                "webhook": {
                  "url": "http://[::1]:8080/x",
                  "timeout": "1s",
                  "headers": {
                    "X-A": "b"
                  },
                  "on_failure": "continue"
                }
              }
            ]
          }
        },
        {
          "green": "100%",
          "bake": "1h30m",
          "approve": false,
          "hooks": {
            "before_shift": [],
            "after_shift": []
          }
        }
      ],
      "health": {
        "false_rollback": "0.05%",
        "errors": {
          "ceiling": "2.5%",
          "ratio": 1.5
        },
        "hard_limit": "2.5%",
        "accepted_failures": 250,
        "latency": {
          "statistic": "p99.9",
          "ceiling": "800ms",
          "ratio": 2.0
        },
        "alarms": [
          "web 5xx",
          "composite: all"
        ],
        "metrics": [
          {
            "name": "slow answers",
            "id": "slow",
            "namespace": "Shop/Web",
            "metric": "Slow",
            "dimensions": {
              "Count": "2",
              "Service": "web"
            },
            "statistic": "Sum",
            "ceiling": 25.0,
            "missing": "zero"
          },
          {
            "name": "answered",
            "expression": "100 * slow / 2",
            "floor": -1.0,
            "missing": "blind"
          },
          {
            "name": "calls",
            "id": "calls",
            "namespace": "Shop/Web",
            "metric": "Calls",
            "dimensions": {
              "Path": "/{{id}}",
              "Service": "{service}"
            },
            "statistic": "SampleCount",
            "missing": "blind"
          },
          {
            "name": "good",
            "namespace": "Shop/Web",
            "metric": "Good",
            "dimensions": {
              "Service": "{service}"
            },
            "statistic": "Sum",
            "of": "calls",
            "direction": "decrease",
            "weight": 0.25,
            "missing": "blind"
          },
          {
            "name": "time",
            "namespace": "Shop/Web",
            "metric": "Time",
            "dimensions": {
              "Family": "{family}",
              "Group": "{target_group}"
            },
            "ratio": 1.5,
            "ceiling": 9.0,
            "missing": "blind"
          }
        ],
        "min_requests": 1000,
        "on_no_data": "rollback",
        "start_timeout": "30m"
      },
      "rollback": {
        "green": "remove"
      },
      "on_cancel": "rollback",
      "finish": {
        "keep_blue": "0s",
        "blue": "remove"
      },
      "hooks": {
        "before_shift": [],
        "after_shift": [],
        "on_hold": [
          {
            "command": {
              "run": [
                "hold"
              ],
              "timeout": "30s"
            }
          }
        ],
        "on_rollback": [],
        "on_finish": [
          {
            "command": {
              "run": [
                "finish"
              ],
              "timeout": "30s",
              "on_failure": "continue"
            }
          }
        ]
      },
      "notify": {
        "sns": [
          "arn:aws-cn:sns:cn-north-1:123456789012:deploys"
        ],
        "webhook": [
          "https://hooks.slack.com/services/T0/B0/x"
        ],
        "on": [
          "stage",
          "hold",
          "rollback",
          "finish"
        ]
      }
    }
    "#);
}

#[test]
fn the_shortest_one_has_the_documented_defaults() {
    let playbook = read(SOUND).playbook.unwrap();
    assert_eq!(playbook.green_name(), "web-ipv6");
    assert_eq!(playbook.health.min_requests, 50);
    assert_eq!(playbook.health.false_rollback.to_string(), "1%");
    assert_eq!((playbook.health.limit(), &playbook.health.latency), (None, &None));
    assert_eq!(playbook.health.accepted_failures, 500);
    assert_eq!(playbook.finish.keep_blue, Period::minutes(24 * 60));
}

#[test]
fn style_does_not_matter() {
    let plain = read(SOUND).playbook;
    assert!(plain.is_some());
    let windows = SOUND.replace('\n', "\r\n");
    let marked = format!("\u{feff}---\n{SOUND}...\n");
    let quoted = SOUND.replace("name: web", "name: 'web'").replace("1%", "\"1%\"");
    let aliased =
        but("cluster: prod, name: web", "cluster: &c prod, name: web").replace("name: web\n", "name: &n web\n");
    let json = serde_json::to_string(&serde_saphyr::from_str::<serde_json::Value>(SOUND).unwrap()).unwrap();
    for text in [windows, marked, quoted, aliased, json] {
        let decoded = read(&text);
        assert_eq!(decoded.playbook, plain, "{text}\n{:?}", decoded.findings);
    }
}

#[test]
fn places_survive_a_byte_order_mark_and_windows_line_ends() {
    let text = format!("\u{feff}{}", but("green: 1%", "green: 10")).replace('\n', "\r\n");
    let finding = read(&text).findings.remove(0);
    let place = finding.place.unwrap();
    assert_eq!((place.line, place.column, &text[place.start..place.end]), (8, 14, "10"));
}

#[test]
fn the_command_line_and_environment_come_before_the_playbook() {
    let text = but("cluster: prod", "cluster: '${A}-${B}'") + "variables: { A: file, B: file }\n";
    let lookup = |name: &str| (name == "A").then(|| "outside".to_owned());
    let decoded = decode(text.as_bytes(), &lookup);
    assert_eq!(decoded.playbook.unwrap().service.cluster, "outside-file");
    assert_eq!(decoded.variables.into_iter().collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn a_variable_never_changes_the_structure() {
    let text = but("{ cluster: prod, name: web }", "\n  cluster: ${A}\n  name: web");
    let lookup = |_: &str| Some("prod, name: evil".to_owned());
    let decoded = decode(text.as_bytes(), &lookup);
    assert!(decoded.playbook.is_none());
    assert_eq!(decoded.findings[0].rule, "bad-name");
    // Text from outside is text, even where YAML would guess otherwise.
    let lookup = |_: &str| Some("no".to_owned());
    assert_eq!(decode(text.as_bytes(), &lookup).playbook.unwrap().service.cluster, "no");
}

#[test]
fn a_doubled_dollar_is_a_literal() {
    let text = but("shift:", "  tags: { a: '$${X}', b: '$$${X}', c: $X }\nshift:");
    let tags = read(&text).playbook.unwrap().green.tags;
    let expected = [("a", "${X}"), ("b", "$${X}"), ("c", "$X")];
    assert_eq!(tags, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect::<BTreeMap<_, _>>());
}

#[test]
fn a_misspelt_field_is_not_missing_as_well() {
    assert_eq!(rules(&but("bake: 15m", "Bake: 15m")), ["unknown-field"]);
    assert_eq!(rules(&but("service:", "source:")), ["unknown-field"]);
}

#[test]
fn nested_errors_are_found_in_every_part_at_once() {
    let text = and("health: { alarms: ['arn:aws:cloudwatch:eu-west-1:1:alarm:web'] }\nfinish: { keep: 1h }\n")
        .replace("1h }", "1 }");
    assert_eq!(rules(&text), ["bad-duration", "bad-name", "unknown-field"]);
}

#[test]
fn shares_are_read_as_people_write_them() {
    for (text, permille) in [("0%", 0), ("1%", 10), ("0.5%", 5), ("12.50 %", 125), (" 100.0% ", 1000)] {
        assert_eq!(text.parse::<Share>().map(Share::permille), Ok(permille), "{text}");
    }
    for (text, error) in [
        ("10", ShareError::Form),
        ("%", ShareError::Form),
        ("-1%", ShareError::Form),
        ("1.%", ShareError::Form),
        (".5%", ShareError::Form),
        ("1e1%", ShareError::Form),
        ("100.1%", ShareError::Range),
        ("99999999999999999999%", ShareError::Range),
        ("0.25%", ShareError::Step),
    ] {
        assert_eq!(text.parse::<Share>(), Err(error), "{text}");
    }
}

#[test]
fn a_sum_of_huge_terms_is_no_duration() {
    for text in ["18446744073709551615s 1000ms", "99999999999y", &"1s".repeat(40)] {
        assert!(text.parse::<Period>().is_err(), "{text}");
    }
}

/// `playbook` as somebody could have written it.
fn written(playbook: &Playbook) -> String {
    let mut value = serde_json::to_value(playbook).unwrap();
    drop_nulls(&mut value);
    serde_saphyr::to_string(&value).unwrap()
}

fn drop_nulls(value: &mut serde_json::Value) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, inner| !inner.is_null());
        object.values_mut().for_each(drop_nulls);
    }
}

proptest! {
    #[test]
    fn a_share_reads_what_it_writes(permille in 0u16..=1000) {
        let share = Share::from_permille(permille);
        prop_assert_eq!(share.to_string().parse::<Share>(), Ok(share));
    }

    #[test]
    fn a_period_reads_what_it_writes(seconds in 0u64..40_000_000, millis in 0u64..1000) {
        let period = Period(std::time::Duration::from_secs(seconds) + std::time::Duration::from_millis(millis));
        prop_assert_eq!(period.to_string().parse::<Period>().ok(), Some(period));
    }

    /// Writing a playbook out and decoding it again gives the same one, as does serde.
    #[test]
    fn a_playbook_reads_what_it_writes(
        shares in proptest::collection::btree_set(1u16..1000, 0..12),
        bake in 180u64..90_000,
        ratio in 1.0f64..100.0,
        minimum in any::<u64>(),
        environment in proptest::collection::btree_map("[A-Z]{1,6}", "[^\\p{Cc}$]{0,12}", 0..4),
        approve in any::<bool>(),
    ) {
        let mut playbook = read(FULL).playbook.unwrap();
        let bake = Period(std::time::Duration::from_secs(bake));
        playbook.stages = shares.into_iter().chain([1000])
            .map(|p| migrate::playbook::Stage {
                green: Share::from_permille(p),
                bake,
                approve,
                smoke: None,
                hooks: migrate::playbook::StageHooks::default(),
            })
            .collect();
        playbook.health.errors.ratio = ratio;
        playbook.health.min_requests = minimum;
        playbook.green.task.environment = environment;
        playbook.green.tags.clear();
        let text = written(&playbook);
        let decoded = read(&text);
        prop_assert_eq!(decoded.playbook.as_ref(), Some(&playbook), "{}\n{:?}", text, decoded.findings);
        prop_assert_eq!(serde_saphyr::from_str::<Playbook>(&text).ok(), Some(playbook));
    }
}

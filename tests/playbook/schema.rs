//! The JSON Schema against the decoder and the playbooks.

use std::collections::BTreeSet;

use migrate::playbook::{SECTIONS, schema};
use serde_json::{Value, json};

use super::{SOUND, but, read, rules, shipped_playbooks, value::FULL};

fn json_of(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn accepts(text: &str) -> bool {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    validator.is_valid(&json_of(text))
}

#[test]
fn it_is_a_schema_of_the_named_draft() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$id"], "urn:migrate:schema:playbook:1");
    assert!(schema["title"].is_string() && schema["description"].is_string());
    assert!(jsonschema::meta::is_valid(&schema));
}

#[test]
fn it_accepts_what_is_shipped_and_a_playbook_with_every_field() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, text) in shipped_playbooks() {
        let errors: Vec<String> =
            validator.iter_errors(&json_of(&text)).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    }
    assert!(accepts(FULL));
    assert!(accepts(SOUND));
}

/// Structural mistakes: both the editor and `migrate validate` refuse them.
#[test]
fn it_rejects_structural_mistakes_as_the_decoder_does() {
    let cases = [
        but("version: 1", "version: 2"),
        but("version: 1\n", ""),
        but("name: web\n", "name: Web_Shop\n"),
        but("name: web\n", "name: web-shop-of-the-northern-countries\n"),
        but("cluster: prod, ", ""),
        but("cluster: prod", "cluster: prod, kluster: prod"),
        but("green: 1%", "green: 10"),
        but("green: 1%", "green: 0.25%"),
        but("bake: 15m", "bake: 15"),
        but("bake: 15m", "bake: soon"),
        but("bake: 15m", "bake: 15m, approve: 1"),
        but("listener_weights: {}", "canary: {}"),
        but("{ listener_weights: {} }", "{}"),
        but("{ listener_weights: {} }", "listener_weights"),
        but("[subnet-0a1, subnet-0b2]", "[]"),
        but("[subnet-0a1, subnet-0b2]", "[subnet-0a1, subnet-0a1]"),
        but("[subnet-0a1, subnet-0b2]", "subnet-0a1"),
        but("[subnet-0a1, subnet-0b2]", "[private-a]"),
        format!("{SOUND}health: {{ errors: {{ ratio: 0.5 }} }}\n"),
        format!("{SOUND}health: {{ min_requests: -1 }}\n"),
        format!("{SOUND}health: {{ latency: {{ statistic: P99, ratio: 2 }} }}\n"),
        format!("{SOUND}health: {{ on_no_data: continue }}\n"),
        format!("{SOUND}on_cancel: stop\n"),
        format!("{SOUND}region: null\n"),
        format!("{SOUND}health: null\n"),
        format!("{SOUND}variables: {{ A: [1] }}\n"),
        format!("{SOUND}variables: {{ A-B: x }}\n"),
        but("shift:", "  desired_count: 0\nshift:"),
        but("shift:", "  tags: { team: 7 }\nshift:"),
    ];
    for text in cases {
        assert!(!rules(&text).is_empty(), "the decoder accepts:\n{text}");
        assert!(!accepts(&text), "the schema accepts:\n{text}");
    }
}

#[test]
fn single_values_may_come_from_variables() {
    let text = "\
version: 1
name: '${NAME}'
service: { cluster: '${CLUSTER}', name: web }
green: { network: { subnets: ['${SUBNET}'] }, desired_count: '${COUNT}' }
shift: { listener_weights: {} }
stages: [{ green: '${SHARE}', bake: '${BAKE}', approve: '${APPROVE}' }]
health: { errors: { ratio: '${RATIO}' }, latency: { statistic: '${STATISTIC}', ceiling: '${CEILING}' }, on_no_data: '${WHAT}' }
on_cancel: '${CANCEL}'
variables:
  { NAME: web, CLUSTER: prod, SUBNET: subnet-1, COUNT: 2, SHARE: 100%, BAKE: 1h, APPROVE: true, RATIO: 2, STATISTIC: p99,
    CEILING: 1s, WHAT: hold, CANCEL: rollback }
";
    assert!(accepts(text));
    let decoded = read(text);
    assert!(decoded.playbook.is_some(), "{:?}", decoded.findings);
}

/// The decoder's tables and the types name the same fields, section by section.
#[test]
fn its_properties_are_the_fields_that_the_decoder_knows() {
    let schema = schema();
    let mut sections = BTreeSet::new();
    for section in SECTIONS {
        sections.insert(section.name);
        let definition = if section.path.is_empty() { &schema } else { &schema["$defs"][section.name] };
        let known: BTreeSet<&str> = section.fields.iter().map(|field| field.name).collect();
        assert_eq!(properties(definition), known, "{}", section.name);
        for (name, remedy) in section.unsupported {
            assert!(!known.contains(name) && !remedy.is_empty());
        }
    }
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        assert!(properties(definition).is_empty() || sections.contains(name.as_str()), "no table for {name}");
    }
}

fn properties(definition: &Value) -> BTreeSet<&str> {
    let variants = definition["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let objects = std::iter::once(definition).chain(variants);
    objects
        .filter_map(|object| object["properties"].as_object())
        .flat_map(|fields| fields.keys().map(String::as_str))
        .collect()
}

#[test]
fn every_field_is_described() {
    let schema = schema();
    let mut bare = Vec::new();
    for (name, definition) in schema["$defs"].as_object().unwrap().iter().chain([(&"Playbook".to_owned(), &schema)]) {
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            let referred = property["$ref"].as_str().or(property["anyOf"][0]["$ref"].as_str());
            let described = property.get("description").is_some()
                || referred
                    .is_some_and(|r| schema["$defs"][r.trim_start_matches("#/$defs/")].get("description").is_some());
            if !described {
                bare.push(format!("{name}.{field}"));
            }
        }
    }
    assert_eq!(json!(bare), json!([]));
}

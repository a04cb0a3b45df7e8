//! The JSON Schema of a playbook, for editors.
//!
//! It is made of the types, then widened by what the types cannot say: the section `variables`, and
//! that every single value may also be text with a `${VAR}` in it. It checks structure; what needs
//! comparison (stages that ascend, names that differ) only `migrate validate` checks.

use serde_json::{Map, Value, json};

use super::Playbook;

/// Names the format, not a place to fetch it from: `migrate schema` prints it.
const ID: &str = "urn:migrate:schema:playbook:1";

/// JSON Schema (draft 2020-12) of a playbook's text.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Playbook).to_value();
    for property in properties(&mut schema) {
        allow_variable(property);
    }
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        for definition in definitions.values_mut() {
            for property in properties(definition) {
                allow_variable(property);
            }
        }
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".into(), json!(ID));
        root.insert("title".into(), json!("Playbook of migrate"));
        root.insert("description".into(), json!("How one Amazon ECS service moves from dual-stack to IPv6 only."));
        if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("variables".into(), variables());
        }
    }
    schema
}

fn variables() -> Value {
    json!({
        "description": "Default values for ${NAME} in this playbook. `--var NAME=value` and the environment come before them.",
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties": { "type": ["string", "number", "boolean"] }
    })
}

/// The schemas of all fields of an object, and of an enum's variants.
fn properties(schema: &mut Value) -> Vec<&mut Value> {
    let mut found = Vec::new();
    let Some(object) = schema.as_object_mut() else { return found };
    for (keyword, value) in object.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(fields)) => found.extend(fields.values_mut()),
            ("oneOf", Value::Array(variants)) => found.extend(variants.iter_mut().flat_map(properties)),
            _ => {}
        }
    }
    found
}

/// Widens the schema of a field: a single value may be text with a variable in it. `null` is taken
/// away, because a field without a value is a mistake and an absent one is not there.
fn allow_variable(field: &mut Value) {
    let Some(object) = field.as_object_mut() else { return };
    drop_null(object);
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(keyword).filter(|inner| inner.is_object()) {
            allow_variable(inner);
        }
    }
    let scalar = match object.get("type").and_then(Value::as_str) {
        Some("integer" | "number" | "boolean") => true,
        Some("string") => object.contains_key("pattern") || object.contains_key("enum"),
        Some(_) => false,
        None => object.get("$ref").and_then(Value::as_str).is_some_and(is_scalar_definition),
    };
    if !scalar {
        return;
    }
    let mut narrow = std::mem::take(object);
    for annotation in ["description", "default"] {
        if let Some(value) = narrow.remove(annotation) {
            object.insert(annotation.into(), value);
        }
    }
    object.insert("anyOf".into(), json!([narrow, { "type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}" }]));
}

fn is_scalar_definition(reference: &str) -> bool {
    [
        "Share",
        "Period",
        "Rate",
        "Worse",
        "OnNoData",
        "OnCancel",
        "AfterRollback",
        "RetireBlue",
        "Missing",
        "OnFailure",
        "Occasion",
    ]
    .iter()
    .any(|name| reference.strip_prefix("#/$defs/") == Some(name))
}

fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

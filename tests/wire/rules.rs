//! What the load balancer does, as the AWS CLI reads it, and what a migration may have changed in it.

use serde_json::Value;

/// The listener and all its rules, word for word.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub rules: Value,
    pub listeners: Value,
}

impl Snapshot {
    /// Fails unless every word is as before.
    #[track_caller]
    pub fn assert_same_as(&self, original: &Snapshot) {
        assert_eq!(self.listeners, original.listeners, "the listener differs from the original");
        assert_eq!(self.rules, original.rules, "the rules differ from the original");
    }

    /// Fails unless this is the original with `percent` of blue's share on green: everywhere, and nothing else changed.
    #[track_caller]
    pub fn assert_shifted_from(&self, original: &Snapshot, blue: &str, green: &str, percent: u32) {
        let wrong = self.differences(original, blue, green, percent);
        assert!(wrong.is_empty(), "at {percent} %:\n{}\nnow: {:#}", wrong.join("\n"), self.rules);
    }

    pub fn differences(&self, original: &Snapshot, blue: &str, green: &str, percent: u32) -> Vec<String> {
        let mut wrong = Vec::new();
        let (now, before) = (self.without_probe(green), original.rules.as_array().cloned().unwrap_or_default());
        if now.len() != before.len() {
            wrong.push(format!("{} rules, not {}", now.len(), before.len()));
        }
        for (after, earlier) in now.iter().zip(&before) {
            compare(after, earlier, "Actions", [blue, green], percent, &mut wrong);
        }
        let (after, earlier) = (&self.listeners[0], &original.listeners[0]);
        compare(after, earlier, "DefaultActions", [blue, green], percent, &mut wrong);
        wrong
    }

    /// The rules without the one that associates green with the load balancer and that no request can match.
    fn without_probe(&self, green: &str) -> Vec<Value> {
        let unmatchable = |rule: &Value| {
            let text = rule["Conditions"].to_string();
            text.contains(".invalid") && text.contains("host-header") && rule["Actions"].to_string().contains(green)
        };
        self.rules.as_array().into_iter().flatten().filter(|rule| !unmatchable(rule)).cloned().collect()
    }

    /// The weights of a group in each rule that has it (priority, weight).
    pub fn weights_of(&self, group: &str) -> Vec<(String, u64)> {
        let rules = self.rules.as_array().into_iter().flatten();
        rules
            .filter(|rule| rule.to_string().contains(group))
            .map(|rule| {
                let actions = rule["Actions"].as_array().into_iter().flatten();
                (rule["Priority"].to_string(), actions.map(|action| weight(action, group)).sum())
            })
            .collect()
    }
}

fn groups(action: &Value) -> &[Value] {
    action["ForwardConfig"]["TargetGroups"].as_array().map_or(&[], Vec::as_slice)
}

fn weight(action: &Value, group: &str) -> u64 {
    groups(action)
        .iter()
        .filter(|entry| entry["TargetGroupArn"] == group)
        .filter_map(|entry| entry["Weight"].as_u64())
        .sum()
}

fn total(action: &Value) -> u64 {
    groups(action).iter().filter_map(|entry| entry["Weight"].as_u64()).sum()
}

/// Compares a rule (or a listener) with what it was; `[blue, green]` are the two groups whose weights may differ.
fn compare(after: &Value, earlier: &Value, key: &str, pair: [&str; 2], percent: u32, wrong: &mut Vec<String>) {
    let name = earlier["Priority"].as_str().map_or_else(|| key.to_string(), |priority| format!("rule {priority}"));
    let [blue, green] = pair;
    let actions = |side: &Value| side[key].as_array().cloned().unwrap_or_default();
    for (now, before) in actions(after).iter().zip(&actions(earlier)) {
        if weight(before, blue) == 0 {
            continue;
        }
        let (all_before, all_now) = (total(before), total(now));
        let both = weight(now, blue) + weight(now, green);
        // Shares are compared as products of whole numbers: no rounding, no tolerance.
        if both * all_before != weight(before, blue) * all_now {
            wrong.push(format!(
                "{name}: blue and green together have {both} of {all_now}, blue had {} of {all_before}",
                weight(before, blue)
            ));
        }
        if weight(now, green) * 100 != u64::from(percent) * both {
            wrong.push(format!("{name}: green has {} of {both}, not {percent} %", weight(now, green)));
        }
        for other in groups(before).iter().filter(|entry| entry["TargetGroupArn"] != blue) {
            let arn = other["TargetGroupArn"].as_str().unwrap_or_default();
            if weight(now, arn) * all_before != weight(before, arn) * all_now {
                wrong.push(format!(
                    "{name}: {arn} has {} of {all_now}, it had {} of {all_before}",
                    weight(now, arn),
                    weight(before, arn)
                ));
            }
        }
    }
    let (now, before) = (blanked(after, key, pair), blanked(earlier, key, pair));
    if now != before {
        wrong.push(format!("{name} differs in more than weights:\n{now:#}\nwas\n{before:#}"));
    }
}

/// The rule with green taken out and all weights of blue's forwards blanked: what must not change.
fn blanked(rule: &Value, key: &str, [blue, green]: [&str; 2]) -> Value {
    let mut rule = rule.clone();
    for action in rule[key].as_array_mut().into_iter().flatten() {
        if !groups(action).iter().any(|entry| entry["TargetGroupArn"] == blue || entry["TargetGroupArn"] == green) {
            continue;
        }
        // AWS answers TargetGroupArn where there is one group only, so its coming and going says nothing.
        if let Some(action) = action.as_object_mut() {
            action.remove("TargetGroupArn");
        }
        if let Some(entries) = action["ForwardConfig"]["TargetGroups"].as_array_mut() {
            entries.retain(|entry| entry["TargetGroupArn"] != green);
            for entry in entries {
                entry["Weight"] = Value::Null;
            }
        }
    }
    rule
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(weights: &[(&str, u64)], stickiness: bool) -> Snapshot {
        let groups: Vec<Value> =
            weights.iter().map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight})).collect();
        let forward = json!({"TargetGroups": groups, "TargetGroupStickinessConfig": {"Enabled": stickiness}});
        let actions = json!([{"Type": "forward", "ForwardConfig": forward}]);
        Snapshot {
            rules: json!([{"Priority": "10", "Conditions": [], "Actions": actions}]),
            listeners: json!([{"Port": 443, "DefaultActions": actions}]),
        }
    }

    #[test]
    fn a_true_shift_is_seen_as_one_and_planted_mistakes_are_not() {
        let original = snapshot(&[("blue", 90), ("third", 10)], true);
        let shifted = |weights: &[(&str, u64)]| snapshot(weights, true).differences(&original, "blue", "green", 10);
        assert_eq!(shifted(&[("blue", 81), ("third", 10), ("green", 9)]), Vec::<String>::new());
        assert_eq!(shifted(&[("blue", 810), ("third", 100), ("green", 90)]), Vec::<String>::new());
        assert!(!shifted(&[("blue", 90), ("third", 10), ("green", 10)]).is_empty(), "the third group lost share");
        assert!(!shifted(&[("blue", 80), ("third", 10), ("green", 10)]).is_empty(), "green has more than a tenth");
        assert!(!shifted(&[("blue", 90), ("third", 10)]).is_empty(), "nothing moved");
        assert!(!shifted(&[("blue", 81), ("green", 9)]).is_empty(), "the third group is gone");
        let loose = snapshot(&[("blue", 81), ("third", 10), ("green", 9)], false);
        assert!(!loose.differences(&original, "blue", "green", 10).is_empty(), "the stickiness is gone");
    }
}

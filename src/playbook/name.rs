//! Names of a run and of AWS resources, as far as they can be judged offline.
//!
//! A name that AWS could never have given is refused here with what to write; whether the thing
//! exists is for `assess`. Where an ARN is given although a name is wanted, the name is in it.

use super::reader::{Reader, shortened};
use super::tree::Node;
use crate::finding::Finding;

/// Longest name of a run: it becomes part of the names of target groups, which have 32 characters.
const MAX_RUN_NAME: usize = 24;
const MAX_ECS_NAME: usize = 255;

/// What a name of an AWS resource looks like.
pub(super) struct Form {
    /// What is named, in words.
    pub thing: &'static str,
    pub longest: usize,
    pub allows: fn(char) -> bool,
    pub allowed: &'static str,
    /// What stands before the name in an ARN, and whether the ARN itself may be given.
    pub arn_part: &'static str,
    pub arn: bool,
}

fn ecs(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn load_balancing(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

impl Form {
    pub const CLUSTER: Form = Form { thing: "cluster", arn_part: ":cluster/", arn: true, ..Form::SERVICE };
    pub const SERVICE: Form = Form {
        thing: "service",
        longest: MAX_ECS_NAME,
        allows: ecs,
        allowed: "letters, digits, `-` and `_`",
        arn_part: ":service/",
        arn: false,
    };
    pub const CONTAINER: Form = Form { thing: "container", arn_part: ":container/", ..Form::SERVICE };
    pub const TARGET_GROUP: Form = Form {
        thing: "target group",
        longest: 32,
        allows: load_balancing,
        allowed: "letters, digits and `-`",
        arn_part: ":targetgroup/",
        arn: true,
    };
    pub const LOAD_BALANCER: Form = Form { thing: "load balancer", arn_part: ":loadbalancer/", ..Form::TARGET_GROUP };
    pub const RECORD: Form = Form {
        thing: "record",
        longest: 255,
        allows: |c| c.is_ascii_alphanumeric() || "-_.*".contains(c),
        allowed: "letters, digits, `-`, `_`, `.` and `*`",
        arn_part: ":recordset/",
        arn: false,
    };
    pub const ZONE: Form = Form { thing: "hosted zone", arn_part: ":hostedzone/", ..Form::RECORD };
    pub const REGISTRY: Form = Form {
        thing: "Cloud Map service",
        longest: 127,
        allows: |c| c.is_ascii_alphanumeric() || "-_.".contains(c),
        allowed: "letters, digits, `-`, `_` and `.`",
        arn_part: ":service/",
        arn: false,
    };
    pub const ALARM: Form = Form {
        thing: "alarm",
        longest: 255,
        allows: |c| !c.is_control(),
        allowed: "printable characters",
        arn_part: ":alarm:",
        arn: false,
    };
}

/// A list of ids in `green.network`.
pub(super) struct Ids {
    pub field: &'static str,
    /// What one of them is called, and several.
    pub thing: &'static str,
    pub words: &'static str,
    pub prefix: &'static str,
    pub one: &'static str,
    pub example: &'static str,
    pub least: usize,
    pub most: usize,
    pub duplicate: &'static str,
    pub too_many: &'static str,
}

impl Ids {
    pub const SUBNETS: Ids = Ids {
        field: "subnets",
        thing: "subnet",
        words: "subnets",
        prefix: "subnet-",
        one: "subnet-0a1",
        example: "subnets: [subnet-0a1, subnet-0b2]",
        least: 1,
        most: 16,
        duplicate: "duplicate-subnet",
        too_many: "too-many-subnets",
    };
    pub const SECURITY_GROUPS: Ids = Ids {
        field: "security_groups",
        thing: "security group",
        words: "security groups",
        prefix: "sg-",
        one: "sg-0c3",
        example: "security_groups: [sg-0c3]",
        least: 0,
        most: 5,
        duplicate: "duplicate-security-group",
        too_many: "too-many-security-groups",
    };
}

impl Reader<'_, '_> {
    /// Name of the run.
    pub fn run_name(&mut self, node: &Node) -> Option<String> {
        let name = self.text(node, "name", "name: web")?;
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        let allowed = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let length = name.chars().count();
        let finding = if !begins || !allowed {
            Finding::block("bad-name", format!("`{}` cannot name a run", shortened(name)))
                .evidence("a name has `a-z`, `0-9` and `-`, and begins with a letter")
                .remedy(run_name_remedy(name))
        } else if length > MAX_RUN_NAME {
            Finding::block(
                "name-too-long",
                format!("the name has {length} characters, and a run's has at most {MAX_RUN_NAME}"),
            )
            .evidence("it becomes part of the names of target groups, to which AWS gives 32 characters")
            .remedy(run_name_remedy(name))
        } else {
            return Some(name.to_owned());
        };
        self.block(&node.span, finding);
        None
    }

    /// Name, or where the form allows it the ARN, of an AWS resource.
    pub fn resource(&mut self, node: &Node, what: &str, example: &str, form: &Form) -> Option<String> {
        let text = self.text(node, what, example)?;
        let thing = form.thing;
        let finding = if text.starts_with("arn:") {
            match text.split_once(form.arn_part) {
                Some(_) if form.arn => return Some(text.to_owned()),
                Some((_, rest)) => {
                    let name = if form.thing == "alarm" { rest } else { rest.rsplit('/').next().unwrap_or(rest) };
                    Finding::block("bad-name", format!("`{what}` must be the name of the {thing}, not its ARN"))
                        .remedy(format!("write `{}`", shortened(name)))
                }
                None => Finding::block("bad-name", format!("this is not the ARN of a {thing}"))
                    .remedy(format!("write the name of the {thing}, for example `{example}`")),
            }
        } else if text.chars().count() > form.longest {
            Finding::block("name-too-long", format!("the name of a {thing} has at most {} characters", form.longest))
                .remedy(format!("write the name of the {thing} as AWS shows it"))
        } else if let Some(c) = text.chars().find(|c| !(form.allows)(*c)) {
            Finding::block("bad-name", format!("the name of a {thing} cannot contain `{}`", c.escape_default()))
                .evidence(format!("it may have {}", form.allowed))
                .remedy(format!("write the name of the {thing} as AWS shows it, for example `{example}`"))
        } else {
            return Some(text.to_owned());
        };
        self.block(&node.span, finding);
        None
    }

    /// An id such as `subnet-0a1`: the prefix, then digits and small letters.
    pub fn id(&mut self, node: &Node, ids: &Ids) -> Option<String> {
        let text = self.text(node, ids.field, ids.one)?;
        let rest = text.strip_prefix(ids.prefix).unwrap_or("");
        if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            return Some(text.to_owned());
        }
        let finding =
            Finding::block("bad-id", format!("`{}` is not the id of a {}", shortened(text), ids.thing)).remedy(
                format!("write the id, not a name or an ARN: it begins with `{}`, as in `{}`", ids.prefix, ids.one),
            );
        self.block(&node.span, finding);
        None
    }

    /// An AWS region.
    pub fn region(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "region", "region: eu-west-1")?;
        let parts: Vec<&str> = text.split('-').collect();
        let numbered = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let worded = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
        if let Some((number, words)) = parts.split_last()
            && words.len() >= 2
            && words.iter().all(worded)
            && numbered(number)
        {
            return Some(text.to_owned());
        }
        let region = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let finding = Finding::block("bad-name", format!("`{}` is not an AWS region", shortened(text)));
        let finding =
            match parts.len() >= 3 && region.len() < text.len() && region.ends_with(|c: char| c.is_ascii_digit()) {
                true => finding
                    .evidence("this looks like an availability zone")
                    .remedy(format!("write the region: `{region}`")),
                false => finding.remedy("write the region's code, for example `eu-west-1`"),
            };
        self.block(&node.span, finding);
        None
    }
}

/// A name that would do, made of the one that was given.
fn run_name_remedy(name: &str) -> String {
    let mut made = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => made.push(c),
            _ if made.is_empty() || made.ends_with('-') => {}
            _ => made.push('-'),
        }
    }
    let made: String = made.trim_start_matches(|c: char| !c.is_ascii_lowercase()).chars().take(MAX_RUN_NAME).collect();
    match made.trim_end_matches('-') {
        "" => "write, for example, `web`".to_owned(),
        made => format!("write, for example, `{made}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_do_is_proposed() {
        assert_eq!(run_name_remedy("Web_Shop (EU)"), "write, for example, `web-shop-eu`");
        assert_eq!(run_name_remedy("42"), "write, for example, `web`");
        assert_eq!(run_name_remedy("2-web"), "write, for example, `web`");
    }
}

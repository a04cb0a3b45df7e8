//! The stages of a playbook, each and together.

use super::field;
use super::quantity::Bounds;
use super::reader::Reader;
use super::tree::{Kind, Node};
use super::{Period, Shift, Stage};
use crate::finding::Finding;
use crate::traffic::Share;
use crate::traffic::records::expressible;

/// More traffic than this in the first stage makes an experiment of most of the users.
const BOLD_FIRST_SHARE: Share = Share::from_permille(250);
/// CloudWatch shows a minute's numbers minutes later.
const SHORT_BAKE: Period = Period::minutes(3);

impl Reader<'_, '_> {
    /// All stages: ascending, and the last of them for all traffic.
    pub fn stages(&mut self, node: &Node, shift: Option<&Shift>) -> Option<Vec<Stage>> {
        let example = field::PLAYBOOK.field("stages").map_or("stages: []", |field| field.example);
        if let Kind::List(items) = &node.kind
            && items.is_empty()
        {
            let finding = Finding::block("no-stages", "a playbook needs at least one stage")
                .remedy(format!("write, for example, `{example}`"));
            self.block(&node.span, finding);
            return None;
        }
        let Kind::List(items) = &node.kind else {
            return self.list(node, "stages", example, |_, _| None);
        };
        let mut shares: Vec<(Share, &Node)> = Vec::new();
        let mut stages = Vec::new();
        for (item, number) in items.iter().zip(1..) {
            let (share, stage) = self.stage(item, number, shift);
            shares.extend(share);
            stages.extend(stage);
        }
        self.ascending(&shares);
        // Which stage is the last is only known when each of them has a share.
        if shares.len() == items.len()
            && let Some((share, at)) = shares.last()
        {
            self.ends_at_all(*share, at);
        }
        (stages.len() == items.len()).then_some(stages)
    }

    fn stage<'n>(
        &mut self,
        node: &'n Node,
        number: usize,
        shift: Option<&Shift>,
    ) -> (Option<(Share, &'n Node)>, Option<Stage>) {
        let Some(fields) = self.section(node, &field::STAGE, &format!("stage {number}")) else { return (None, None) };
        let share = self.required(&fields, "green").and_then(|n| Some((self.share(n, "green")?, n)));
        let bake =
            self.required(&fields, "bake").and_then(|n| Some((self.period(n, "bake", "15m", &Bounds::BAKE)?, n)));
        let approve = fields.get("approve").and_then(|n| self.boolean(n, "approve")).unwrap_or_default();
        if let Some((share, at)) = share
            && number == 1
            && !shift.is_some_and(Shift::at_once)
        {
            self.first_share(share, at);
        }
        if let Some((share, at)) = share
            && let Some(Shift::DnsWeights(_)) = shift
        {
            self.share_of_records(share, at);
        }
        if let Some((bake, at)) = bake
            && bake < SHORT_BAKE
        {
            let finding =
                Finding::warn("short-bake", format!("a bake of {bake} may end before there is anything to judge"))
                    .evidence("CloudWatch shows a minute's numbers up to three minutes later")
                    .remedy("bake for `3m` at least; 15 minutes and more let slow faults show");
            self.block(&at.span, finding);
        }
        let smoke = fields.get("smoke").and_then(|n| self.smoke(n));
        let hooks = fields.get("hooks").map(|n| self.stage_hooks(n, number)).unwrap_or_default();
        let stage = share.zip(bake).map(|((green, _), (bake, _))| Stage { green, bake, approve, smoke, hooks });
        (share, stage)
    }

    /// What moves all at once has one stage.
    pub fn one_stage(&mut self, shift: &Shift, stages: &[Stage], node: &Node) {
        if !shift.at_once() || stages.len() == 1 {
            return;
        }
        let remedy = match shift {
            Shift::InPlace(_) => "write one stage, `- { green: 100%, bake: 1h }`, or `in_place: { staged: true }`",
            _ => "write one stage, `- { green: 100%, bake: 1h }`, or use `dns_weights`, which moves in steps",
        };
        let finding = Finding::block("one-stage", format!("`{}` moves all traffic at once", shift.name()))
            .evidence(format!("the playbook has {} stages", stages.len()))
            .remedy(remedy);
        self.block(&node.span, finding);
    }

    fn first_share(&mut self, share: Share, at: &Node) {
        if share == Share::NONE {
            let finding = Finding::block("empty-stage", "a stage without traffic cannot be judged")
                .evidence("`migrate start` already brings green up with a share of 0%")
                .remedy("begin with a small share, such as `1%`");
            self.block(&at.span, finding);
        } else if share > BOLD_FIRST_SHARE {
            let finding =
                Finding::warn("bold-first-stage", format!("the first stage exposes {share} of the traffic at once"))
                    .remedy("begin with a small share, such as `1%` or `5%`, so that few users meet a fault");
            self.block(&at.span, finding);
        }
    }

    /// Records have weights from 0 to 255, so not every share can be written.
    fn share_of_records(&mut self, share: Share, at: &Node) {
        if expressible(share) {
            return;
        }
        let nearest = if share < Share::from_permille(500) { "0.4%" } else { "99.6%" };
        let finding = Finding::block("share-not-expressible", format!("weighted records cannot give green {share}"))
            .evidence("their weights are 0 to 255")
            .remedy(format!("write `{nearest}`, the nearest that they can, or use `listener_weights`"));
        self.block(&at.span, finding);
    }

    fn ascending(&mut self, shares: &[(Share, &Node)]) {
        for pair in shares.windows(2) {
            let [(before, _), (share, at)] = pair else { continue };
            if share > before || *share == Share::NONE && *before == Share::NONE {
                continue;
            }
            let finding = Finding::block(
                "stages-not-ascending",
                format!("{share} is not more than the {before} of the stage before"),
            )
            .remedy(
                "order the stages by their share, each larger than the one before; `migrate rollback` is the way back",
            );
            self.block(&at.span, finding);
        }
    }

    fn ends_at_all(&mut self, share: Share, at: &Node) {
        if share != Share::ALL {
            let finding = Finding::block(
                "last-stage-not-all",
                format!("the last stage ends at {share}, so blue could never be retired"),
            )
            .remedy("add a stage behind it: `- { green: 100%, bake: 1h }`");
            self.block(&at.span, finding);
        }
    }
}

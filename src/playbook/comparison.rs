//! What the user's metrics are counted of, and compared with: `of` and `ratio`.
//!
//! Green can be held against blue only by metrics of their own: where both serve at the same time, each metric
//! must say whose it is, by a placeholder that is not the same on both sides. Where traffic moves all at once
//! the past is blue's, and one metric has both.

use super::reader::{Reader, shortened};
use super::sides::{Placeholder, names_in, reaching};
use super::tree::{Kind, Node};
use super::{CustomMetric, Shift};
use crate::finding::Finding;

/// Statistics that count.
const COUNTS: [&str; 2] = ["Sum", "SampleCount"];

/// An entry and where it stands.
type Read<'n> = (CustomMetric, &'n Node);

impl Reader<'_, '_> {
    pub(super) fn comparisons(&mut self, read: &[Read], shift: Option<&Shift>) {
        for (metric, node) in read {
            if let Some(of) = &metric.of {
                self.counted(metric, of, node, read);
            }
        }
        let Some(shift) = shift else { return };
        self.existing(read, shift);
        if !shift.at_once() {
            self.told_apart(read, shift);
            self.levels_compared(read);
        }
    }

    /// Whether `of` names another entry, and both are counts.
    fn counted(&mut self, metric: &CustomMetric, of: &str, node: &Node, read: &[Read]) {
        let all = read.iter().find(|(m, _)| m.id.as_deref() == Some(of) && m.name != metric.name);
        let Some((all, its_node)) = all else {
            let shown = shortened(of);
            let finding = Finding::block("unknown-id", format!("no other metric has the id `{shown}`"))
                .remedy(format!("give the entry that counts all of them `id: {shown}`"));
            return self.block(&part(node, "of").span, finding);
        };
        for (counting, at) in [(metric, node), (all, *its_node)] {
            if counting.expression.is_some() || COUNTS.contains(&counting.statistic.as_str()) {
                continue;
            }
            let text =
                format!("`{}` is no count: its statistic is `{}`", shortened(&counting.name), counting.statistic);
            let finding = Finding::block("not-a-count", text)
                .evidence(format!("`of: {}` takes the bad ones of all in each minute", shortened(of)))
                .remedy("write `statistic: Sum`, or `SampleCount` where each one is a sample");
            self.block(&part(at, "statistic").span, finding);
        }
    }

    /// Placeholders for what a service of this kind does not have.
    fn existing(&mut self, read: &[Read], shift: &Shift) {
        for (metric, node) in read {
            let Some(missing) = metric.placeholders().find(|placeholder| !placeholder.exists(shift)) else { continue };
            let name = missing.name();
            let text = format!("`{{{name}}}` stands for nothing: with `{}` there is no load balancer", shift.name());
            let finding = Finding::block("unknown-placeholder", text).remedy("use `{service}` or `{family}`");
            self.block(&part(node, "dimensions").span, finding);
        }
    }

    /// Whether what is compared is of each side.
    fn told_apart(&mut self, read: &[Read], shift: &Shift) {
        let metrics: Vec<CustomMetric> = read.iter().map(|(metric, _)| metric.clone()).collect();
        // What misspells a placeholder meant one, and has been told so.
        let misspelt = |metric: &CustomMetric| {
            let node = read.iter().find(|(m, _)| m == metric).map(|(_, node)| part(node, "dimensions"));
            metric.placeholders().next().is_none() && node.is_some_and(braced)
        };
        let apart =
            reaching(&metrics, |metric| metric.placeholders().any(|p| p.tells_apart(shift)) || misspelt(metric));
        let of = |metric: &CustomMetric| metrics.iter().position(|m| m.id.is_some() && m.id == metric.of);
        for (index, (metric, node)) in read.iter().enumerate() {
            let field = if metric.of.is_some() { "of" } else { "ratio" };
            let compared = metric.of.is_some() || metric.ratio.is_some();
            let common = [Some(index), of(metric)].into_iter().flatten().find(|used| !apart[*used]);
            let Some(common) = common.filter(|_| compared) else { continue };
            let name = shortened(&metrics[common].name);
            let same = metrics[common].placeholders().next();
            let why = match same {
                Some(same) => format!("`{{{}}}` is the same for both", same.name()),
                None => format!("with `{}` both serve at the same time", shift.name()),
            };
            let known = Placeholder::ALL.into_iter().filter(|p| p.tells_apart(shift));
            let known: Vec<String> = known.map(|p| format!("`\"{{{}}}\"`", p.name())).collect();
            let text = format!("`{name}` is of green and blue together, so `{field}` has nothing to compare");
            let finding = Finding::block("not-of-each-side", text).evidence(why).remedy(format!(
                "let the application report under the name of its service, and give that dimension one of {}",
                known.join(", ")
            ));
            self.block(&part(node, field).span, finding);
        }
    }

    /// A sum grows with the share of the traffic, so it is no level that could be compared.
    fn levels_compared(&mut self, read: &[Read]) {
        for (metric, node) in read {
            let sum = metric.expression.is_none() && COUNTS.contains(&metric.statistic.as_str());
            if !sum || metric.ratio.is_none() || metric.of.is_some() {
                continue;
            }
            let text = format!("`{}` of green and blue differ as their shares of the traffic do", metric.statistic);
            let finding = Finding::block("ratio-of-counts", text)
                .remedy("write `of:` with the id of what it is a part of, instead of `ratio`; or another statistic");
            self.block(&part(node, "ratio").span, finding);
        }
    }
}

/// Whether a value of these dimensions names something in braces.
fn braced(dimensions: &Node) -> bool {
    let Kind::Map(entries) = &dimensions.kind else { return false };
    entries.iter().any(|entry| match &entry.value.kind {
        Kind::Map(_) => true,
        Kind::Scalar(scalar) => !names_in(&scalar.text).is_empty(),
        Kind::List(_) | Kind::Broken => false,
    })
}

/// A field of an entry, or the entry where it has none.
fn part<'n>(node: &'n Node, name: &str) -> &'n Node {
    let Kind::Map(entries) = &node.kind else { return node };
    entries.iter().find(|entry| entry.key == name).map_or(node, |entry| &entry.value)
}

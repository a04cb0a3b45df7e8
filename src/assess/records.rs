//! Rules about Route 53 records and the two load balancers behind them.

use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::playbook::Playbook;

pub(super) fn findings(playbook: &Playbook, _: &Inventory) -> Vec<Finding> {
    let what = format!("this version cannot move traffic by `{}` yet", playbook.shift.name());
    vec![
        Finding::block("not-supported", what)
            .remedy("use `listener_weights` where there is an Application Load Balancer"),
    ]
}

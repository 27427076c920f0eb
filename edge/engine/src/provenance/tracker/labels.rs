//! What the operator says of the fields of a tool's results.

use crate::provenance::plan::is_step;
use proctor_model::catalogue::{CatalogueEntry, Trust};

/// The label of a field, if it has one: the longest that covers it, and of two as long the one that trusts less.
pub(super) fn labelled(entry: &CatalogueEntry, path: &str) -> Option<Trust> {
    let fields = entry.output_fields.iter();
    let covering = fields.filter(|(field, _)| covers(field, path));
    let closest = covering
        .max_by_key(|(field, trust)| (field.split('/').count(), **trust == Trust::Untrusted));
    closest.map(|(_, trust)| *trust)
}

/// Whether some fields of the results are set apart as another's words.
pub(super) fn sets_apart(entry: &CatalogueEntry) -> bool {
    let mut labels = entry.output_fields.values();
    labels.any(|trust| *trust == Trust::Untrusted)
}

/// Whether one of them may be below a place.
pub(super) fn sets_apart_below(entry: &CatalogueEntry, path: &str) -> bool {
    let below = |field: &str| {
        let mut steps = field.split('/').skip(1).zip(path.split('/').skip(1));
        field.split('/').count() > path.split('/').count()
            && steps.all(|(step, at)| is_step(step, at))
    };
    let mut labels = entry.output_fields.iter();
    labels.any(|(field, trust)| *trust == Trust::Untrusted && below(field))
}

/// Whether a label's pointer (`*` for any one step) is the path or an ancestor of it.
fn covers(label: &str, path: &str) -> bool {
    let mut steps = path.split('/').skip(1);
    label
        .split('/')
        .skip(1)
        .all(|step| steps.next().is_some_and(|at| is_step(step, at)))
}

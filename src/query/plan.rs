//! `Plan`: how a query runs, in words, for `explain`.

use std::fmt;

use super::criteria::{Criteria, hashes};
use super::matches::PATTERN_SHARE;
use super::{Query, fields};
use crate::index::{Field, Layer, Segment, Snapshot};

/// How a query runs on a snapshot, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The query in words.
    pub query: String,
    /// The base first, then the tiers from old to new.
    pub layers: Vec<LayerPlan>,
}

/// How a query runs on one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// How many files of the layer count.
    pub files: u64,
    /// The driver first, then the checks in their order; empty if all files match or none can.
    pub steps: Vec<PlanStep>,
    /// No file of the layer can match: a name does not occur in it.
    pub empty: bool,
}

/// One criterion in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// How it is looked up: `sorted list`, `bitmap`, `pair list`, `arena search`, `path by path`.
    pub access: &'static str,
    /// The criterion in words.
    pub criterion: String,
    /// At most this many files match it; for a pattern, what trying it is reckoned to cost.
    pub files: u64,
}

impl Plan {
    pub(super) fn new(query: &Query, snapshot: &Snapshot) -> Plan {
        let layers = snapshot
            .layers
            .iter()
            .map(|layer| LayerPlan::new(query, layer))
            .collect();
        Plan {
            query: query.to_string(),
            layers,
        }
    }
}

impl LayerPlan {
    fn new(query: &Query, layer: &Layer) -> LayerPlan {
        let segment = &*layer.segment;
        let terms = query
            .terms()
            .iter()
            .map(|(field, name)| term_step(*field, name, segment));
        let Some(mut steps) = terms.collect::<Option<Vec<_>>>() else {
            return LayerPlan {
                files: layer.live().into(),
                steps: Vec::new(),
                empty: true,
            };
        };
        steps.extend(query.patterns().iter().map(|pattern| PlanStep {
            access: "path by path",
            criterion: fields::describe_pattern(pattern),
            files: (segment.len() / PATTERN_SHARE).into(),
        }));
        steps.sort_by_key(|step| step.files);
        if let Some(driver) = steps
            .first_mut()
            .filter(|step| step.access == "path by path")
        {
            driver.access = "arena search";
        }
        LayerPlan {
            files: layer.live().into(),
            steps,
            empty: false,
        }
    }
}

/// A name, looked up alone as it is among others; `None` if the segment does not have it.
fn term_step(field: Field, name: &str, segment: &Segment) -> Option<PlanStep> {
    let query = Query::of_term(field, name);
    let criteria = Criteria::find(&query, &hashes(&query, segment), segment)?;
    let (access, files) = match (criteria.methods.first(), criteria.sorted.first()) {
        (Some(method), _) => ("pair list", method.files_at_most()),
        (None, Some(list)) => ("sorted list", list.ids.len() as u32),
        (None, None) => ("bitmap", criteria.dense_len),
    };
    Some(PlanStep {
        access,
        criterion: fields::describe_term(field, name),
        files: files.into(),
    })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "query  {}", self.query)?;
        for (at, layer) in self.layers.iter().enumerate() {
            let name = if at == 0 {
                "base".to_owned()
            } else {
                format!("tier {at}")
            };
            writeln!(f, "{name}  {} files", layer.files)?;
            if layer.empty {
                writeln!(f, "  none   a name does not occur here")?;
            } else if layer.steps.is_empty() {
                writeln!(f, "  all    every file in path order")?;
            }
            for (step, plan) in layer.steps.iter().enumerate() {
                let role = if step == 0 { "drive" } else { "check" };
                let (criterion, access, files) = (&plan.criterion, plan.access, plan.files);
                let how_many = match access {
                    "arena search" | "path by path" => "reckoned as",
                    _ => "at most",
                };
                writeln!(
                    f,
                    "  {role}  {criterion}  ({access}, {how_many} {files} files)"
                )?;
            }
        }
        Ok(())
    }
}

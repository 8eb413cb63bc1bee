//! `Plan`: how a query runs, in words, for `explain`.

use std::fmt;

use super::criteria::{Criteria, hashes};
use super::expression::{Conjunction, Group};
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

/// One criterion in a plan, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// How it is looked up: `sorted list`, `bitmap`, `pair list`, `arena search`, `path by path`. Of
    /// groups: `union` of alternatives, `together` of criteria that must all hold, `hidden` of a
    /// denial, and `in path order` of every file, where there is nothing else to hide from.
    pub access: &'static str,
    /// The criterion in words.
    pub criterion: String,
    /// At most this many files match it, or are hidden by it; for a pattern, what trying it is
    /// reckoned to cost.
    pub files: u64,
    /// What is inside a group: each of the alternatives that can match here, or what is hidden.
    pub inside: Vec<PlanStep>,
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
        let files = layer.live().into();
        let steps = steps(query.all(), &layer.segment);
        LayerPlan {
            files,
            empty: steps.is_none(),
            steps: steps.map_or_else(Vec::new, |steps| driven(steps, files)),
        }
    }
}

/// What must hold, the rarest first and denials last; `None` if a name does not occur that must.
fn steps(all: &Conjunction, segment: &Segment) -> Option<Vec<PlanStep>> {
    let terms = all.terms.iter();
    let terms = terms.map(|(field, name)| term_step(*field, name, segment));
    let mut steps = terms.collect::<Option<Vec<_>>>()?;
    steps.extend(all.patterns.iter().map(|pattern| PlanStep {
        access: "path by path",
        criterion: fields::describe_pattern(pattern),
        files: (segment.len() / PATTERN_SHARE).into(),
        inside: Vec::new(),
    }));
    let groups = all.groups.iter().map(|group| group_step(group, segment));
    steps.extend(groups.collect::<Option<Vec<_>>>()?);
    steps.sort_by_key(|step| (step.access == HIDDEN, step.files));
    Some(steps)
}

const HIDDEN: &str = "hidden";

/// The steps of whoever reads them: the first one drives.
fn driven(mut steps: Vec<PlanStep>, files: u64) -> Vec<PlanStep> {
    match steps.first_mut() {
        Some(driver) if driver.access == HIDDEN => steps.insert(
            0,
            PlanStep {
                access: "in path order",
                criterion: "every file".to_owned(),
                files,
                inside: Vec::new(),
            },
        ),
        Some(driver) if driver.access == "path by path" => driver.access = "arena search",
        Some(driver) if driver.access == "union" => {
            for branch in &mut driver.inside {
                match branch.access {
                    "path by path" => branch.access = "arena search",
                    "together" => {
                        branch.inside = driven(std::mem::take(&mut branch.inside), files);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    steps
}

fn group_step(group: &Group, segment: &Segment) -> Option<PlanStep> {
    let (access, files, inside) = match group {
        Group::AnyOf(branches) => {
            let branches = branches.iter().filter_map(|b| together(b, segment));
            let branches: Vec<PlanStep> = branches.collect();
            let files = branches.iter().map(|branch| branch.files).sum();
            if branches.is_empty() {
                return None;
            }
            ("union", files, branches)
        }
        Group::Not(denied) => match together(denied, segment) {
            None => (HIDDEN, 0, Vec::new()),
            Some(step) if step.inside.is_empty() => (HIDDEN, step.files, Vec::new()),
            Some(step) => (HIDDEN, step.files, vec![step]),
        },
    };
    Some(PlanStep {
        access,
        criterion: group.to_string(),
        files,
        inside,
    })
}

/// What must hold together as one step; `None` if it cannot.
fn together(all: &Conjunction, segment: &Segment) -> Option<PlanStep> {
    let mut steps = steps(all, segment)?;
    if steps.len() == 1 && steps[0].access != HIDDEN {
        return steps.pop();
    }
    let rarest = steps.iter().find(|step| step.access != HIDDEN);
    Some(PlanStep {
        access: "together",
        criterion: all.to_string(),
        files: rarest.map_or(segment.len().into(), |step| step.files),
        inside: steps,
    })
}

/// A name, looked up alone as it is among others; `None` if the segment does not have it.
fn term_step(field: Field, name: &str, segment: &Segment) -> Option<PlanStep> {
    let alone = Conjunction::of_term(field, name);
    let criteria = Criteria::find(&alone, &hashes(&alone, segment), segment)?;
    let (access, files) = match (criteria.methods.first(), criteria.sorted.first()) {
        (Some(method), _) => ("pair list", method.files_at_most()),
        (None, Some(list)) => ("sorted list", list.ids.len() as u32),
        (None, None) => ("bitmap", criteria.dense_len),
    };
    Some(PlanStep {
        access,
        criterion: fields::describe_term(field, name),
        files: files.into(),
        inside: Vec::new(),
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
                plan.write(f, &format!("  {role}"))?;
            }
        }
        Ok(())
    }
}

impl PlanStep {
    /// A line after its role, and what is inside below it.
    fn write(&self, f: &mut fmt::Formatter<'_>, role: &str) -> fmt::Result {
        let (criterion, access, files) = (&self.criterion, self.access, self.files);
        let how_many = match access {
            "arena search" | "path by path" => "reckoned as",
            _ => "at most",
        };
        writeln!(
            f,
            "{role}  {criterion}  ({access}, {how_many} {files} files)"
        )?;
        let blank = " ".repeat(role.len());
        let inside = match access {
            "union" => "or",
            _ => "of",
        };
        for step in &self.inside {
            step.write(f, &format!("{blank}  {inside}"))?;
        }
        Ok(())
    }
}
